-- Webhook endpoints, the positions of consumers of the feed, and the state of deliveries. An earlier program may serve
-- this database: it delivers nothing, and leaves all of these tables unchanged.

CREATE TABLE webhook_endpoints (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- The restaurant that owns the endpoint; zeros for the platform.
    owner_id BLOB NOT NULL CHECK (length(owner_id) = 16),
    -- Increases with every change. It is the entity tag.
    version INTEGER NOT NULL,
    -- Revision of the latest change. Revisions ascend in the order of the commits, over all endpoints.
    revision INTEGER NOT NULL UNIQUE,
    -- Revision of the latest change that set the endpoint to the start in its settings: creation or replay.
    positioned INTEGER NOT NULL,
    created_at_ns INTEGER NOT NULL,
    created_by BLOB NOT NULL CHECK (length(created_by) = 16),
    -- A deleted endpoint keeps its row, so that senders learn of the deletion.
    deleted_at_ns INTEGER,
    last_success_at_ns INTEGER,
    last_failure_at_ns INTEGER,
    last_status INTEGER,
    last_error TEXT,
    format INTEGER NOT NULL,
    settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_endpoints_of_owner ON webhook_endpoints (owner_id, id) WHERE deleted_at_ns IS NULL;

-- The latest revision of an endpoint, in one row.
CREATE TABLE webhook_counter (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;

-- Leases of groups of consumers. Only the holder writes the tables below.
CREATE TABLE feed_leases (
    group_name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    -- The fencing token. Increases each time the lease is taken, and is at least the time in microseconds.
    token INTEGER NOT NULL,
    until_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The position of each group, as the consumer with an empty name, and of each consumer that is behind its group.
CREATE TABLE feed_consumers (
    group_name TEXT NOT NULL,
    consumer TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    transaction_number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- Revision of the list of consumers that the position of a group takes into account; 0 for a consumer.
    known INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL,
    PRIMARY KEY (group_name, consumer)
) STRICT, WITHOUT ROWID;

-- Orders of which an event could not be delivered to an endpoint.
CREATE TABLE webhook_failures (
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    endpoint_id BLOB NOT NULL CHECK (length(endpoint_id) = 16),
    -- Version of the event to deliver next.
    next_version INTEGER NOT NULL,
    -- Failed attempts to deliver this event, and the time of the first one.
    attempts INTEGER NOT NULL,
    first_failed_at_ns INTEGER NOT NULL,
    next_attempt_at_ns INTEGER NOT NULL,
    -- The latest failure.
    failed_at_ns INTEGER NOT NULL,
    status INTEGER,
    error TEXT NOT NULL,
    -- Time since which the failure is a dead letter.
    dead_at_ns INTEGER,
    PRIMARY KEY (order_id, endpoint_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX webhook_failures_of_endpoint ON webhook_failures (endpoint_id, order_id);
CREATE INDEX webhook_failures_due ON webhook_failures (endpoint_id, next_attempt_at_ns, order_id) WHERE dead_at_ns IS NULL;
CREATE INDEX webhook_failures_dead ON webhook_failures (endpoint_id, order_id) WHERE dead_at_ns IS NOT NULL;

-- The latest attempts of each endpoint, a bounded number of failed and of successful ones.
CREATE TABLE webhook_attempts (
    endpoint_id BLOB NOT NULL CHECK (length(endpoint_id) = 16),
    is_failed INTEGER NOT NULL,
    at_ns INTEGER NOT NULL,
    order_id BLOB NOT NULL CHECK (length(order_id) = 16),
    version INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status INTEGER,
    -- NULL for a successful attempt.
    error TEXT,
    -- Number of events that the entry summarizes.
    events INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, is_failed, at_ns, order_id, version)
) STRICT, WITHOUT ROWID;

INSERT INTO schema_versions (version, compatible_from) VALUES (12, 7);
