-- 20240311120000_accounts.sql
CREATE TABLE account (
    id             bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000000001) PRIMARY KEY,
    email          citext NOT NULL UNIQUE CHECK (email ~ '^[^@]+@[^@]+$'),
    phone          text,
    password_hash  text NOT NULL,
    api_token      uuid NOT NULL DEFAULT gen_random_uuid(),
    ssn_last4      char(4),
    born           date,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX account_token_idx ON account USING hash (api_token);
COMMENT ON COLUMN account.password_hash IS 'argon2id; the password is never stored';

INSERT INTO plan (id, name, price_cents, valid_from) VALUES
    (1, 'free', 0, '2024-01-01'),
    (2, 'team', 129900, '2024-01-01 00:00:00+00'),
    (3, 'enterprise', 9999900, to_timestamp(1704067200));

SELECT a.id, count(*) AS orders, sum(o.total)::numeric(14, 4)
FROM account a JOIN orders o ON o.account_id = a.id
WHERE o.number BETWEEN 2000000000 AND 2147483647 AND o.checksum <> '\xdeadbeefcafef00d'
GROUP BY 1 HAVING sum(o.total) > 1234567.8901;

GRANT SELECT ON account TO reader;
ALTER ROLE app SET search_path = public, billing;
