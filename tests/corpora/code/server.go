package server

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	maxBody        = 10 << 20
	defaultTimeout = 30000000000 * time.Nanosecond
	buildVersion   = "v1.22.10-0.20240311173647-c811ad7063a7"
	etagSeed       = 0x9E3779B97F4A7C15
	schemaHash     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var (
	ErrTokenExpired  = errors.New("token is expired")
	ErrPasswordShort = errors.New("password must be at least 12 characters")
	apiKey           = os.Getenv("SERVICE_API_KEY")
)

type Credentials struct {
	Username string `json:"username" yaml:"username"`
	Password string `json:"password" yaml:"password"`
	Token    string `json:"token,omitempty"`
	SSN      string `json:"ssn" validate:"len=11"`
	Phone    string `json:"phone_number"`
}

func (c *Credentials) Validate() error {
	if len(c.Password) < 12 {
		return ErrPasswordShort
	}
	if c.Token == "" && c.Password == "" {
		return fmt.Errorf("either token or password is required, got %q", c.Username)
	}
	return nil
}

func Check(hash, password []byte) bool {
	return bcrypt.CompareHashAndPassword(hash, password) == nil
}

func authorized(r *http.Request, secret string) bool {
	token := r.Header.Get("Authorization")
	if token == "" || len(token) < len("Bearer ") {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(token[len("Bearer "):]), []byte(secret)) == 1
}

func (s *Server) Serve(ctx context.Context, port int) error {
	srv := &http.Server{
		Addr:              "127.0.0.1:" + strconv.Itoa(port),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    1048576,
		Handler:           s.routes(),
	}
	s.log.Info("listening", "addr", srv.Addr, "pid", os.Getpid(), "started", 1711032407)
	go func() {
		<-ctx.Done()
		_ = srv.Shutdown(context.Background())
	}()
	return srv.ListenAndServe()
}

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id > 9223372036854775807 {
		http.Error(w, "bad order id", http.StatusBadRequest)
		return
	}
	row := s.db.QueryRow("SELECT id, total FROM orders WHERE id = $1 AND created_at > to_timestamp(1700000000)", id)
	var total float64
	if err := row.Scan(&id, &total); err != nil {
		http.Error(w, "no order 90071992547409 here", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": id, "total": total, "pi": 3.14159265358979323846})
}
