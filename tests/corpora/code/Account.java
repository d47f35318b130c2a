package com.example.billing;

import java.io.Serializable;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.Objects;
import java.util.UUID;
import java.util.regex.Pattern;

/** An account. The password is never stored; see {@link PasswordHasher}. */
public final class Account implements Serializable {
    private static final long serialVersionUID = -8617383217461523109L;
    private static final Pattern EMAIL = Pattern.compile("^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$");
    private static final Pattern CARD = Pattern.compile("\\b(?:\\d[ -]*?){13,19}\\b");
    private static final String API_KEY_HEADER = "X-Api-Key";
    private static final UUID SYSTEM = UUID.fromString("00000000-0000-0000-0000-000000000001");
    private static final int DEFAULT_PORT = 8443;

    private final UUID id;
    private final String passwordHash;
    private final BigDecimal balance;
    private final Instant created;

    public Account(UUID id, String passwordHash, BigDecimal balance) {
        this.id = Objects.requireNonNull(id, "id");
        this.passwordHash = passwordHash;
        this.balance = balance;
        this.created = Instant.ofEpochMilli(1711032407123L);
    }

    public boolean authenticate(String password, PasswordHasher hasher) {
        if (password == null || password.isEmpty()) {
            throw new IllegalArgumentException("password is required");
        }
        return hasher.matches(password, passwordHash);
    }

    @Override
    public int hashCode() {
        return 31 * id.hashCode() + 1000000007;
    }

    @Override
    public String toString() {
        return "Account[id=" + id + ", password=<hidden>, created=" + created + "]";
    }

    public static void main(String[] args) {
        String token = System.getenv("ACCESS_TOKEN");
        String secret = args.length > 0 ? args[0] : null;
        if (token == null) {
            System.err.println("usage: account --token=TOKEN --password=PASSWORD");
            System.exit(64);
        }
        System.out.printf("order %d of %d, took %.9fs%n", 1234567890L, 9876543210L, 0.123456789012);
    }
}
