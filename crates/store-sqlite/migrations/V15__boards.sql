-- Boards of restaurants: which devices show a restaurant's orders, and when each was connected last. An earlier program may
-- serve this database: it records no boards.

CREATE TABLE boards (
    restaurant_id BLOB NOT NULL CHECK (length(restaurant_id) = 16),
    -- The device, as it names itself.
    device_id BLOB NOT NULL CHECK (length(device_id) = 16),
    device TEXT,
    account_id BLOB NOT NULL CHECK (length(account_id) = 16),
    -- Random number of the connection.
    connection INTEGER NOT NULL,
    connected_at_ns INTEGER NOT NULL,
    last_seen_at_ns INTEGER NOT NULL,
    -- Time at which the maintenance checks the row next.
    check_at_ns INTEGER NOT NULL,
    is_connected INTEGER NOT NULL CHECK (is_connected IN (0, 1)),
    -- Whether Dabba has paused the restaurant since the board was connected last.
    is_handled INTEGER NOT NULL CHECK (is_handled IN (0, 1)),
    PRIMARY KEY (restaurant_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX boards_to_check ON boards (check_at_ns);

INSERT INTO schema_versions (version, compatible_from) VALUES (15, 7);
