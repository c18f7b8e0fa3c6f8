-- How far a shard has come in giving buckets away. Each step is one change of this row, and is made only if the row is what
-- the command expects. So a command that read an older state is refused, and no command reverts the decision of another one.

ALTER TABLE shard
    -- The name of the new shard, from when the buckets are given away until the new shard holds them.
    ADD COLUMN giving_to text,
    -- The one database that gets them, by a random name that is written there first. From then on nothing is taken back.
    ADD COLUMN decided_for text;

INSERT INTO schema_versions (version, compatible_from) VALUES (10, 8);
