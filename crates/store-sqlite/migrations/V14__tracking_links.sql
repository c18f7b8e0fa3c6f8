-- Links through which an order can be followed without an account. An earlier program may serve this database: it
-- creates, finds and deletes no links.

CREATE TABLE tracking_links (
    -- SHA-256 of the token. The token itself is nowhere.
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    created_at_ns INTEGER NOT NULL,
    -- Time at which the maintenance checks whether the order has ended long ago.
    check_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tracking_links_of_order ON tracking_links (order_id);
CREATE INDEX tracking_links_to_check ON tracking_links (check_at_ns, hash);

INSERT INTO schema_versions (version, compatible_from) VALUES (14, 7);
