-- Idempotency keys of requests that are not about an order, and a revision of each item's stock.

-- What a key's request led to: NULL for an order. For everything else a JSON object with a `type`; `order_id`
-- then holds the id of that resource, and `version` its version or revision. A key in the scope of the account
-- alone has 16 zero bytes as `restaurant_id`.
ALTER TABLE idempotency_keys ADD COLUMN resource TEXT;

-- Goes up with every change by hand. Sales and returns leave it as it is.
ALTER TABLE stock ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;

-- The highest revision of stock that is no longer kept. What becomes limited begins above it.
ALTER TABLE restaurants ADD COLUMN stock_revision_floor INTEGER NOT NULL DEFAULT 0;
