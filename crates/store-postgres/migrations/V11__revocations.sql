-- Accounts can be changed, disabled and deleted, and what was issued to them can be revoked. Servers of the version before
-- may run on this schema: they show and register accounts, accept revoked tokens until they are upgraded, and accept the
-- password of a disabled account.

ALTER TABLE accounts
    -- Rises with every change. It is the entity tag.
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    -- Since when the account is disabled: nobody can use it.
    ADD COLUMN disabled_at_ns bigint,
    -- Since when the account is deleted: disabled, and without name and e-mail address. A column `email` that begins with
    -- `deleted:` is no address.
    ADD COLUMN deleted_at_ns bigint;

CREATE INDEX accounts_by_role ON accounts (role, id);

-- The last revocation of each subject: what was issued to it at a lower revision is void.
CREATE TABLE revocations (
    -- `account`; a newer version may add kinds.
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    -- Revisions ascend in the order of the commits, so a server that has seen one has seen all lower ones.
    revision bigint NOT NULL UNIQUE,
    revoked_at_ns bigint NOT NULL,
    PRIMARY KEY (subject_kind, subject_id)
);

-- The revision of the last revocation, in one row. A transaction that revokes holds the row until its end, which keeps
-- revisions in the order of the commits.
CREATE TABLE revocation_counter (
    id integer NOT NULL PRIMARY KEY CHECK (id = 1),
    revision bigint NOT NULL
);

INSERT INTO schema_versions (version, compatible_from) VALUES (11, 8);
