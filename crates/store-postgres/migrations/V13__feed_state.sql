-- The state of the feed. Servers of the version before may run on this schema: they publish no events, and keep no
-- positions in the feed. They may not purge a shard: they would not record up to which position.

CREATE TABLE feed_state (
    is_the_only_row boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    -- Random name of this database's history. A physical copy keeps it; `dabba shards restored` replaces it after a
    -- restore, because a restored database gives the positions after its last event to other events.
    incarnation text NOT NULL CHECK (incarnation ~ '^[0-9a-f]{16}$'),
    -- A position after every event that a purge has deleted. The end of the feed is never before it: the last event may
    -- have been deleted, and cursors at its position are valid.
    purged_transaction_id xid8 NOT NULL DEFAULT '0',
    purged_sequence bigint NOT NULL DEFAULT 0
);

-- The first and the last eight digits of a random UUID are random.
INSERT INTO feed_state (incarnation)
SELECT left(uuid, 8) || right(uuid, 8) FROM (SELECT gen_random_uuid()::text AS uuid) AS random;

INSERT INTO schema_versions (version, compatible_from) VALUES (13, 8);
