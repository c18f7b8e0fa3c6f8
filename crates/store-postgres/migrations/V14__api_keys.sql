-- Service accounts, which programs use, and their API keys. Servers of the version before may run on this schema: they
-- show a service account as a person with an address that is none, nobody can log in with it, and they refuse API keys
-- as unknown tokens. If they disable or delete a service account, newer servers refuse its keys, because each key
-- states a revision of the account's revocations.

ALTER TABLE accounts
    -- `person` or `service`; a newer version may add holders. The column `email` of a service account begins with
    -- `service:` and is no address.
    ADD COLUMN holder text NOT NULL DEFAULT 'person';

CREATE INDEX service_accounts ON accounts (id) WHERE holder = 'service';

CREATE TABLE api_keys (
    id uuid NOT NULL PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    -- SHA-256 of the secret. The secret itself is nowhere.
    hash bytea NOT NULL,
    name text NOT NULL,
    -- Names of the scopes to which the key is restricted, separated by spaces; NULL for all scopes.
    scopes text,
    -- Revision of the account's last revocation when the key was created. A later one ends the key.
    as_of bigint NOT NULL,
    created_at_ns bigint NOT NULL,
    -- The admin; an id without an account for an operator.
    created_by uuid NOT NULL,
    expires_at_ns bigint,
    revoked_at_ns bigint,
    -- Written at most once a minute, later than the use itself.
    last_used_at_ns bigint,
    CONSTRAINT api_keys_hash UNIQUE (hash)
);

CREATE INDEX api_keys_of_account ON api_keys (account_id, id);

INSERT INTO schema_versions (version, compatible_from) VALUES (14, 8);
