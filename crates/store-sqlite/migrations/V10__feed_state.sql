-- The state of the feed. An earlier program may serve this database: it publishes no events, and keeps no positions in
-- the feed.

CREATE TABLE feed_state (
    is_the_only_row INTEGER NOT NULL PRIMARY KEY CHECK (is_the_only_row = 1),
    -- Random name of this database's history. A restore replaces it, because a restored database gives the positions
    -- after its last event to other events.
    incarnation TEXT NOT NULL CHECK (length(incarnation) = 16)
) STRICT;

INSERT INTO feed_state (is_the_only_row, incarnation) VALUES (1, lower(hex(randomblob(8))));

INSERT INTO schema_versions (version, compatible_from) VALUES (10, 7);
