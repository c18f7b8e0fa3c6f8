-- Boards of restaurants: which devices show a restaurant's orders, and when each was connected last. Servers of the version
-- before may run on this schema: they record no boards. Do not run `dabba shards purge` of the version before: it would not
-- delete the rows that belong to another shard.

CREATE TABLE boards (
    restaurant_id uuid NOT NULL,
    -- The device, as it names itself.
    device_id uuid NOT NULL,
    device text,
    account_id uuid NOT NULL,
    -- Random number of the connection. Only the server of this connection marks the board as disconnected.
    connection bigint NOT NULL,
    connected_at_ns bigint NOT NULL,
    last_seen_at_ns bigint NOT NULL,
    -- Time at which the maintenance checks the row next.
    check_at_ns bigint NOT NULL,
    is_connected boolean NOT NULL,
    -- Whether Dabba has paused the restaurant since the board was connected last.
    is_handled boolean NOT NULL,
    PRIMARY KEY (restaurant_id, device_id)
);

CREATE INDEX boards_to_check ON boards (check_at_ns);

INSERT INTO schema_versions (version, compatible_from) VALUES (18, 8);
