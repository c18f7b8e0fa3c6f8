-- Service accounts, which programs use, and their API keys. An earlier program may serve this database: it shows a
-- service account as a person with an address that is none, nobody can log in with it, and it refuses API keys as
-- unknown tokens. If it disables or deletes a service account, newer programs refuse its keys, because each key states a
-- revision of the account's revocations.

-- `person` or `service`; a newer version may add holders. The column `email` of a service account begins with `service:`
-- and is no address.
ALTER TABLE accounts ADD COLUMN holder TEXT NOT NULL DEFAULT 'person';

CREATE INDEX service_accounts ON accounts (id) WHERE holder = 'service';

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    account_id BLOB NOT NULL REFERENCES accounts (id),
    -- SHA-256 of the secret. The secret itself is nowhere.
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    name TEXT NOT NULL,
    -- Names of the scopes to which the key is restricted, separated by spaces; NULL for all scopes.
    scopes TEXT,
    -- Revision of the account's last revocation when the key was created. A later one ends the key.
    as_of INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    -- The admin; an id without an account for an operator.
    created_by BLOB NOT NULL CHECK (length(created_by) = 16),
    expires_at_ns INTEGER,
    revoked_at_ns INTEGER,
    -- Written at most once a minute, later than the use itself.
    last_used_at_ns INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_of_account ON api_keys (account_id, id);

INSERT INTO schema_versions (version, compatible_from) VALUES (11, 7);
