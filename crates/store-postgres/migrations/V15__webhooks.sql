-- Webhook endpoints, the positions of consumers of the feed, and the state of deliveries. Servers of the version before
-- may run on this schema: they deliver nothing, and leave all of these tables unchanged. Do not run `dabba shards
-- purge` of the version before: it would not delete the rows that belong to another shard.

CREATE TABLE webhook_endpoints (
    id uuid NOT NULL PRIMARY KEY,
    -- The restaurant that owns the endpoint; zeros for the platform.
    owner_id uuid NOT NULL,
    -- Increases with every change. It is the entity tag.
    version bigint NOT NULL,
    -- Revision of the latest change. Revisions ascend in the order of the commits, over all endpoints.
    revision bigint NOT NULL UNIQUE,
    -- Revision of the latest change that set the endpoint to the start in its settings: creation or replay.
    positioned bigint NOT NULL,
    created_at_ns bigint NOT NULL,
    created_by uuid NOT NULL,
    -- A deleted endpoint keeps its row, so that senders learn of the deletion.
    deleted_at_ns bigint,
    last_success_at_ns bigint,
    last_failure_at_ns bigint,
    last_status bigint,
    last_error text,
    format integer NOT NULL,
    settings json NOT NULL
);

CREATE INDEX webhook_endpoints_of_owner ON webhook_endpoints (owner_id, id) WHERE deleted_at_ns IS NULL;

-- The latest revision of an endpoint, in one row. A transaction that changes an endpoint locks the row until its end,
-- which keeps revisions in the order of the commits.
CREATE TABLE webhook_counter (
    id integer NOT NULL PRIMARY KEY CHECK (id = 1),
    revision bigint NOT NULL
);

-- The tables below are in each shard, and belong to its feed. A physical copy of the shard continues at the same
-- positions.

-- Leases of groups of consumers. Only the holder writes the tables that follow.
CREATE TABLE feed_leases (
    group_name text COLLATE "C" NOT NULL PRIMARY KEY,
    holder text NOT NULL,
    -- The fencing token. Increases each time the lease is taken, and is at least the time in microseconds.
    token bigint NOT NULL,
    until_ns bigint NOT NULL
);

-- The position of each group, as the consumer with an empty name, and of each consumer that is behind its group.
CREATE TABLE feed_consumers (
    group_name text COLLATE "C" NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    incarnation text NOT NULL,
    transaction_number bigint NOT NULL,
    sequence bigint NOT NULL,
    -- Revision of the list of consumers that the position of a group takes into account; 0 for a consumer.
    known bigint NOT NULL,
    updated_at_ns bigint NOT NULL,
    PRIMARY KEY (group_name, consumer)
);

-- Orders of which an event could not be delivered to an endpoint.
CREATE TABLE webhook_failures (
    order_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    -- Version of the event to deliver next.
    next_version bigint NOT NULL,
    -- Failed attempts to deliver this event, and the time of the first one.
    attempts bigint NOT NULL,
    first_failed_at_ns bigint NOT NULL,
    next_attempt_at_ns bigint NOT NULL,
    -- The latest failure.
    failed_at_ns bigint NOT NULL,
    status bigint,
    error text NOT NULL,
    -- Time since which the failure is a dead letter.
    dead_at_ns bigint,
    PRIMARY KEY (order_id, endpoint_id)
);

CREATE INDEX webhook_failures_of_endpoint ON webhook_failures (endpoint_id, order_id);
CREATE INDEX webhook_failures_due ON webhook_failures (endpoint_id, next_attempt_at_ns, order_id) WHERE dead_at_ns IS NULL;
CREATE INDEX webhook_failures_dead ON webhook_failures (endpoint_id, order_id) WHERE dead_at_ns IS NOT NULL;

-- The latest attempts of each endpoint, a bounded number of failed and of successful ones.
CREATE TABLE webhook_attempts (
    endpoint_id uuid NOT NULL,
    is_failed boolean NOT NULL,
    at_ns bigint NOT NULL,
    order_id uuid NOT NULL,
    version bigint NOT NULL,
    duration_ms bigint NOT NULL,
    status bigint,
    -- NULL for a successful attempt.
    error text,
    -- Number of events that the entry summarizes.
    events bigint NOT NULL,
    PRIMARY KEY (endpoint_id, is_failed, at_ns, order_id, version)
);

INSERT INTO schema_versions (version, compatible_from) VALUES (15, 8);
