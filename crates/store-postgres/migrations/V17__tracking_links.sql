-- Links through which an order can be followed without an account. Servers of the version before may run on this schema:
-- they create, find and delete no links. Do not run `dabba shards purge` of the version before: it would not delete the
-- rows that belong to another shard.

CREATE TABLE tracking_links (
    -- SHA-256 of the token. The token itself is nowhere.
    hash bytea NOT NULL PRIMARY KEY,
    order_id uuid NOT NULL,
    created_at_ns bigint NOT NULL,
    -- Time at which the maintenance checks whether the order has ended long ago.
    check_at_ns bigint NOT NULL
);

CREATE INDEX tracking_links_of_order ON tracking_links (order_id);
CREATE INDEX tracking_links_to_check ON tracking_links (check_at_ns, hash);

INSERT INTO schema_versions (version, compatible_from) VALUES (17, 8);
