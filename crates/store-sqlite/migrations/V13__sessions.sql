-- Sessions of persons, and one-time links that log a person in. An earlier program may serve this database: it knows no
-- session, so to its pages nobody is logged in, and it ignores the revocations of sessions, whose kind of subject it does
-- not know. If it disables an account or revokes its credentials, newer programs refuse the account's sessions and links,
-- because each states a revision of the account's revocations.

CREATE TABLE sessions (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    account_id BLOB NOT NULL REFERENCES accounts (id),
    -- SHA-256 of the secret in the cookie. The secret itself is nowhere.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- Revision of the account's last revocation when the session was created. A later one ends the session.
    as_of INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    -- Extended by uses, in batches; the time of the revocation for a revoked session.
    expires_at_ns INTEGER NOT NULL,
    -- Written at most once a minute, later than the use itself.
    last_used_at_ns INTEGER,
    revoked_at_ns INTEGER,
    -- What the client called itself at the login.
    user_agent TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_account ON sessions (account_id, id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_ns);

CREATE TABLE login_links (
    -- SHA-256 of the token. The token itself is nowhere.
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    account_id BLOB NOT NULL REFERENCES accounts (id),
    -- Revision of the account's last revocation when the link was created. A later one ends the link.
    as_of INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    -- The admin; an id without an account for an operator.
    created_by BLOB NOT NULL CHECK (length(created_by) = 16),
    expires_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_links_of_account ON login_links (account_id, created_at_ns);
CREATE INDEX login_links_by_expiry ON login_links (expires_at_ns);

INSERT INTO schema_versions (version, compatible_from) VALUES (13, 7);
