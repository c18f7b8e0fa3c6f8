-- Sessions of persons, and one-time links that log a person in. Servers of the version before may run on this schema: they
-- know no session, so to their pages nobody is logged in, and they ignore the revocations of sessions, whose kind of
-- subject they do not know. If they disable an account or revoke its credentials, newer servers refuse the account's
-- sessions and links, because each states a revision of the account's revocations.

CREATE TABLE sessions (
    id uuid NOT NULL PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    -- SHA-256 of the secret in the cookie. The secret itself is nowhere.
    hash bytea NOT NULL,
    -- Revision of the account's last revocation when the session was created. A later one ends the session.
    as_of bigint NOT NULL,
    created_at_ns bigint NOT NULL,
    -- Extended by uses, in batches; the time of the revocation for a revoked session.
    expires_at_ns bigint NOT NULL,
    -- Written at most once a minute, later than the use itself.
    last_used_at_ns bigint,
    revoked_at_ns bigint,
    -- What the client called itself at the login.
    user_agent text,
    CONSTRAINT sessions_hash UNIQUE (hash)
);

CREATE INDEX sessions_of_account ON sessions (account_id, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_ns);

CREATE TABLE login_links (
    -- SHA-256 of the token. The token itself is nowhere.
    hash bytea NOT NULL PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    -- Revision of the account's last revocation when the link was created. A later one ends the link.
    as_of bigint NOT NULL,
    created_at_ns bigint NOT NULL,
    -- The admin; an id without an account for an operator.
    created_by uuid NOT NULL,
    expires_at_ns bigint NOT NULL
);

CREATE INDEX login_links_of_account ON login_links (account_id, created_at_ns);
CREATE INDEX login_links_by_expiry ON login_links (expires_at_ns);

INSERT INTO schema_versions (version, compatible_from) VALUES (16, 8);
