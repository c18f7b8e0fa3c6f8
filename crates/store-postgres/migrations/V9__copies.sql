-- A copy of an embedded database into this one. A row that is not finished keeps servers and workers away. Servers of
-- the version before may run on this schema, and do not see that a copy is not finished.

CREATE TABLE copies (
    is_the_only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    -- What is copied: which database, and the rows and the digest of each of its tables.
    contents json NOT NULL,
    -- The last row that was copied. Written by the transaction that writes the row.
    progress json NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    -- NULL until all rows are proved to be here.
    finished_at timestamptz
);

INSERT INTO schema_versions (version, compatible_from) VALUES (9, 8);
