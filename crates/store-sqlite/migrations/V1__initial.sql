-- The first schema.
--
-- Ids are UUIDv7 as 16 bytes: they sort by time, so that "newest first" is a walk backwards
-- through an index. Times are nanoseconds since 1970, so that a time comes out as it went in.
-- JSON columns hold what only the application reads; what is searched or summed has a column.

-- One row for each order, as its events make it. The columns from `courier_id` to `updated_at_ns`
-- move; the rest is fixed when the order is placed.
CREATE TABLE orders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    restaurant_id BLOB NOT NULL,
    customer_id BLOB NOT NULL,
    courier_id BLOB,
    status TEXT NOT NULL,
    -- Whether the food's way has ended. Follows from the status; which ones these are is known
    -- to the application alone.
    is_terminal INTEGER NOT NULL CHECK (is_terminal IN (0, 1)),
    payment_status TEXT NOT NULL,
    -- The number of the latest event.
    version INTEGER NOT NULL CHECK (version > 0),
    currency TEXT NOT NULL,
    -- Amounts are in minor units of the currency.
    total INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    refunded INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND captured),
    acceptance_deadline_ns INTEGER,
    ready_by_ns INTEGER,
    -- How it ended early, as JSON.
    closure TEXT,
    placed_at_ns INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL,
    -- What was agreed, as JSON: lines, amounts, fulfilment. The same text as in the first event.
    details TEXT NOT NULL
) STRICT;

-- Each list of orders is a walk through one of these.
CREATE INDEX orders_of_customer ON orders (customer_id, id);
CREATE INDEX orders_of_restaurant ON orders (restaurant_id, is_terminal, id);
CREATE INDEX orders_of_courier ON orders (courier_id, is_terminal, id) WHERE courier_id IS NOT NULL;
CREATE INDEX orders_open ON orders (id) WHERE is_terminal = 0;

-- The lines of the orders, for people with SQL.
CREATE VIEW order_items AS
SELECT
    orders.id AS order_id,
    line.key + 1 AS line,
    line.value ->> 'item' AS item,
    line.value ->> 'name' AS name,
    line.value ->> 'quantity' AS quantity,
    line.value ->> 'unit_price' AS unit_price,
    line.value ->> 'total' AS total,
    orders.currency AS currency,
    line.value -> 'options' AS options,
    line.value ->> 'note' AS note
FROM orders, json_each(orders.details, '$.lines') AS line;

-- What happened to each order. `sequence` counts in the order of commits, since there is one
-- writer; it cannot be given out twice, since nothing is ever deleted here.
CREATE TABLE order_events (
    sequence INTEGER NOT NULL PRIMARY KEY,
    order_id BLOB NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    type TEXT NOT NULL,
    -- The event's content as JSON; none for events that are only a name.
    data TEXT,
    actor TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    UNIQUE (order_id, version)
) STRICT;

CREATE TRIGGER order_events_are_never_changed BEFORE UPDATE ON order_events
BEGIN
    SELECT RAISE(ABORT, 'an event is never changed');
END;

CREATE TRIGGER order_events_are_never_deleted BEFORE DELETE ON order_events
BEGIN
    SELECT RAISE(ABORT, 'an event is never deleted');
END;

-- Which request was made under a key, and the version to which it led the order.
CREATE TABLE idempotency_keys (
    account_id BLOB NOT NULL,
    restaurant_id BLOB NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    order_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    claimed_at_ns INTEGER NOT NULL,
    PRIMARY KEY (account_id, restaurant_id, key)
) STRICT, WITHOUT ROWID;

-- For forgetting the oldest.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at_ns);

-- Work that waits. A task that is done is deleted.
CREATE TABLE tasks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    order_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    run_at_ns INTEGER NOT NULL,
    -- Until when a worker holds it; NULL when none does.
    leased_until_ns INTEGER,
    -- How often it has been claimed. It grows with each claim, so it is the fencing token too.
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT
) STRICT, WITHOUT ROWID;

-- Answers what is due without looking at the tasks that are held.
CREATE INDEX tasks_due ON tasks (run_at_ns, id, leased_until_ns);

CREATE TABLE restaurants (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Counts the changes of settings and pause.
    revision INTEGER NOT NULL,
    -- Counts the changes of the menu and of which items are limited. The menu is the snapshot with
    -- the highest revision, which may be lower than this.
    menu_revision INTEGER NOT NULL,
    -- For people with SQL; the settings say it too.
    name TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL,
    settings TEXT NOT NULL,
    pause TEXT
) STRICT;

-- Menus as they were: the one that holds, and a few before it.
CREATE TABLE menus (
    restaurant_id BLOB NOT NULL REFERENCES restaurants (id),
    revision INTEGER NOT NULL,
    menu TEXT NOT NULL,
    UNIQUE (restaurant_id, revision)
) STRICT;

-- How many there are of the items that are limited.
CREATE TABLE stock (
    restaurant_id BLOB NOT NULL REFERENCES restaurants (id),
    item TEXT NOT NULL,
    remaining INTEGER NOT NULL CHECK (remaining >= 0),
    PRIMARY KEY (restaurant_id, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who works for which restaurant.
CREATE TABLE memberships (
    restaurant_id BLOB NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (restaurant_id, account_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_of_account ON memberships (account_id, restaurant_id);
