-- Commits lock `shard` first, and the tables below in an order of their own: without this lock both would wait for each
-- other.
LOCK TABLE shard IN ACCESS EXCLUSIVE MODE;

-- Which servers may run on this database while some of them are upgraded, and what an older one must leave alone.

-- Each migration from here on adds its row, in its own transaction. A server that knows a lower version runs on this
-- database as long as the newest row is compatible with that version.
CREATE TABLE schema_versions (
    version integer NOT NULL PRIMARY KEY,
    -- The lowest version that a server has to know to run on a database of this version.
    compatible_from integer NOT NULL CHECK (compatible_from BETWEEN 1 AND version)
);

INSERT INTO schema_versions (version, compatible_from) VALUES (8, 8);

-- What wrote a row, where an older server must not decide, price, replace or compare without understanding it. The
-- numbers are those of `ORDER_FORMAT`, `RESTAURANT_FORMAT` and `FINGERPRINT_VERSION`. A statement that writes version 1
-- of something leaves the column to its default.
ALTER TABLE orders ADD COLUMN format integer NOT NULL DEFAULT 1;
ALTER TABLE restaurants ADD COLUMN format integer NOT NULL DEFAULT 1;
ALTER TABLE idempotency_keys ADD COLUMN fingerprint_version integer NOT NULL DEFAULT 1;
