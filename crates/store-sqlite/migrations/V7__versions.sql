-- Which programs may serve this database, and what an older one must leave alone.

-- Each migration from here on adds its row, in its own transaction. A program that knows a lower version serves this
-- database as long as the newest row is compatible with that version.
CREATE TABLE schema_versions (
    version INTEGER NOT NULL PRIMARY KEY,
    -- The lowest version that a program has to know to serve a database of this version.
    compatible_from INTEGER NOT NULL CHECK (compatible_from BETWEEN 1 AND version)
) STRICT;

INSERT INTO schema_versions (version, compatible_from) VALUES (7, 7);

-- What wrote a row, where an older program must not decide, price, replace or compare without understanding it. The
-- numbers are those of `ORDER_FORMAT`, `RESTAURANT_FORMAT` and `FINGERPRINT_VERSION`. A statement that writes version 1
-- of something leaves the column to its default.
ALTER TABLE orders ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE restaurants ADD COLUMN format INTEGER NOT NULL DEFAULT 1;
ALTER TABLE idempotency_keys ADD COLUMN fingerprint_version INTEGER NOT NULL DEFAULT 1;
