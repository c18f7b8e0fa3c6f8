-- The first schema. The tables are those of the embedded store, written for PostgreSQL.
--
-- Ids are UUIDv7, which sort by time: "newest first" is a walk backwards through an index, and new
-- rows go to its end. Times are nanoseconds since 1970, since timestamptz keeps microseconds only and
-- an order must come out as it went in; the views show them as timestamptz.
--
-- JSON columns are `json`: they are written once and read whole, and `json` keeps the text, which
-- `jsonb` would parse, sort and enlarge. Nothing is searched inside them.
--
-- There are no foreign keys where orders are written. Each would read and lock a row of another table
-- for every order, and what they would check is written by the same transaction anyway.

-- One row for each order, as its events make it. The columns from `courier_id` to `updated_at_ns`
-- move; the rest is fixed when the order is placed. What was agreed stands in the first event and
-- only there: it is by far the largest part of an order, and every change writes a whole new row.
CREATE TABLE orders (
    id uuid NOT NULL PRIMARY KEY,
    restaurant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    courier_id uuid,
    -- The number of the latest event.
    version bigint NOT NULL CHECK (version > 0),
    -- Amounts are in minor units of the currency.
    total bigint NOT NULL,
    captured bigint NOT NULL,
    refunded bigint NOT NULL,
    acceptance_deadline_ns bigint,
    ready_by_ns bigint,
    placed_at_ns bigint NOT NULL,
    updated_at_ns bigint NOT NULL,
    -- Whether the food's way has ended. Follows from the status; which ones these are is known
    -- to the application alone.
    is_terminal boolean NOT NULL,
    status text NOT NULL,
    payment_status text NOT NULL,
    currency text NOT NULL,
    -- How it ended early.
    closure json,
    CONSTRAINT refunded_is_what_was_captured CHECK (refunded BETWEEN 0 AND captured)
)
-- An order changes about five times. With room on its page, a change that touches no indexed column
-- writes no index at all (a HOT update).
WITH (fillfactor = 60);

-- Each list of orders is a walk through one of these.
CREATE INDEX orders_of_customer ON orders (customer_id, id);
CREATE INDEX orders_of_restaurant ON orders (restaurant_id, is_terminal, id);
CREATE INDEX orders_of_courier ON orders (courier_id, is_terminal, id) WHERE courier_id IS NOT NULL;
CREATE INDEX orders_open ON orders (id) WHERE NOT is_terminal;

-- What happened to each order.
--
-- A sequence alone is not the order of commits: a number can be drawn early and committed late, and
-- a reader that has gone past it never sees it. Hence the transaction stands beside it, and readers
-- stop before the oldest transaction that is still open. See `src/orders/feed.rs`.
CREATE TABLE order_events (
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1),
    order_id uuid NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    at_ns bigint NOT NULL,
    type text NOT NULL,
    actor json NOT NULL,
    -- The event's content; none for events that are only a name.
    data json,
    PRIMARY KEY (order_id, version)
);

CREATE UNIQUE INDEX order_events_feed ON order_events (transaction_id, sequence);

CREATE FUNCTION refuse_change_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an event is never changed and never deleted' USING ERRCODE = 'restrict_violation';
END
$$;

-- Once for each statement: it costs the insert nothing.
CREATE TRIGGER order_events_are_never_changed
    BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_history();

-- Which request was made under a key, and the version to which it led the order.
CREATE TABLE idempotency_keys (
    account_id uuid NOT NULL,
    restaurant_id uuid NOT NULL,
    order_id uuid NOT NULL,
    version bigint NOT NULL,
    claimed_at_ns bigint NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    PRIMARY KEY (account_id, restaurant_id, key)
);

-- For forgetting the oldest.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at_ns);

-- Work that waits. A task that is done is deleted.
CREATE TABLE tasks (
    id uuid NOT NULL PRIMARY KEY,
    order_id uuid NOT NULL,
    run_at_ns bigint NOT NULL,
    -- Until when a worker holds it; NULL when none does.
    leased_until_ns bigint,
    -- How often it has been claimed. It grows with each claim, so it is the fencing token too.
    attempts bigint NOT NULL DEFAULT 0,
    kind text NOT NULL,
    last_error text
);

-- Answers what is due. The lease is left out, so that taking one writes no index.
CREATE INDEX tasks_due ON tasks (run_at_ns, id);

CREATE TABLE restaurants (
    id uuid NOT NULL PRIMARY KEY,
    -- Counts the changes of settings and pause.
    revision bigint NOT NULL,
    -- Counts the changes of the menu and of which items are limited. The menu is the snapshot with
    -- the highest revision, which may be lower than this.
    menu_revision bigint NOT NULL,
    created_at_ns bigint NOT NULL,
    -- For people with SQL; the settings say it too.
    name text NOT NULL,
    settings json NOT NULL,
    pause json
);

-- Menus as they were: the one that holds, and a few before it.
CREATE TABLE menus (
    restaurant_id uuid NOT NULL REFERENCES restaurants (id),
    revision bigint NOT NULL,
    menu json NOT NULL,
    PRIMARY KEY (restaurant_id, revision)
);

-- How many there are of the items that are limited. A popular item's row changes with every order, so
-- there is much room for that on its page.
CREATE TABLE stock (
    restaurant_id uuid NOT NULL REFERENCES restaurants (id),
    remaining bigint NOT NULL,
    item text NOT NULL,
    PRIMARY KEY (restaurant_id, item),
    CONSTRAINT never_oversold CHECK (remaining >= 0)
) WITH (fillfactor = 50);

CREATE TABLE accounts (
    id uuid NOT NULL PRIMARY KEY,
    created_at_ns bigint NOT NULL,
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    password_hash text NOT NULL,
    CONSTRAINT accounts_email UNIQUE (email)
);

-- Who works for which restaurant.
CREATE TABLE memberships (
    restaurant_id uuid NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (restaurant_id, account_id)
);

CREATE INDEX memberships_of_account ON memberships (account_id, restaurant_id);

-- For people with SQL ------------------------------------------------------------------------------

-- Nanoseconds as a time. Exact to the microsecond, which is what a timestamptz can hold.
CREATE FUNCTION time_of(nanoseconds bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN timestamptz 'epoch' + (nanoseconds / 1000) * interval '1 microsecond';

-- Orders with readable times and with what was agreed.
CREATE VIEW readable_orders AS
SELECT
    orders.id,
    restaurant_id,
    customer_id,
    courier_id,
    orders.version,
    status,
    payment_status,
    currency,
    total,
    captured,
    refunded,
    time_of(acceptance_deadline_ns) AS acceptance_deadline,
    time_of(ready_by_ns) AS ready_by,
    time_of(placed_at_ns) AS placed_at,
    time_of(updated_at_ns) AS updated_at,
    closure,
    placed.data AS details
FROM orders JOIN order_events AS placed ON placed.order_id = orders.id AND placed.version = 1;

-- The lines of the orders.
CREATE VIEW order_items AS
SELECT
    orders.id AS order_id,
    line.number AS line,
    line.content ->> 'item' AS item,
    line.content ->> 'name' AS name,
    (line.content ->> 'quantity')::bigint AS quantity,
    (line.content ->> 'unit_price')::bigint AS unit_price,
    (line.content ->> 'total')::bigint AS total,
    orders.currency,
    line.content -> 'options' AS options,
    line.content ->> 'note' AS note
FROM orders
JOIN order_events AS placed ON placed.order_id = orders.id AND placed.version = 1
CROSS JOIN json_array_elements(placed.data -> 'lines') WITH ORDINALITY AS line (content, number);
