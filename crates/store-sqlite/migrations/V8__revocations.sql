-- Accounts can be changed, disabled and deleted, and what was issued to them can be revoked. An earlier program may serve
-- this database: it shows and registers accounts, accepts revoked tokens and accepts the password of a disabled account.

-- Rises with every change. It is the entity tag.
ALTER TABLE accounts ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- Since when the account is disabled: nobody can use it.
ALTER TABLE accounts ADD COLUMN disabled_at_ns INTEGER;
-- Since when the account is deleted: disabled, and without name and e-mail address. A column `email` that begins with
-- `deleted:` is no address.
ALTER TABLE accounts ADD COLUMN deleted_at_ns INTEGER;

CREATE INDEX accounts_by_role ON accounts (role, id);

-- The last revocation of each subject: what was issued to it at a lower revision is void.
CREATE TABLE revocations (
    -- `account`; a newer version may add kinds.
    subject_kind TEXT NOT NULL,
    subject_id BLOB NOT NULL CHECK (length(subject_id) = 16),
    -- Revisions ascend in the order of the commits.
    revision INTEGER NOT NULL UNIQUE,
    revoked_at_ns INTEGER NOT NULL,
    PRIMARY KEY (subject_kind, subject_id)
) STRICT, WITHOUT ROWID;

-- The revision of the last revocation, in one row.
CREATE TABLE revocation_counter (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO schema_versions (version, compatible_from) VALUES (8, 7);
