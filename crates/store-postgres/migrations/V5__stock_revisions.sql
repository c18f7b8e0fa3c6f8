-- Idempotency keys of requests that are not about an order, and a revision of each item's stock.
--
-- Each column is added without rewriting its table. Servers of the version before may run beside this schema:
-- they name the columns that they write, and answer a key of another resource as used for another request.

-- What a key's request led to: NULL for an order. For everything else a JSON object with a `type`; `order_id`
-- then holds the id of that resource, and `version` its version or revision. A key in the scope of the account
-- alone has the nil UUID as `restaurant_id`, and is kept in the directory.
ALTER TABLE idempotency_keys ADD COLUMN resource json;

-- Goes up with every change by hand. Sales and returns leave it as it is.
ALTER TABLE stock ADD COLUMN revision bigint NOT NULL DEFAULT 1;

-- The highest revision of stock that is no longer kept. What becomes limited begins above it.
ALTER TABLE restaurants ADD COLUMN stock_revision_floor bigint NOT NULL DEFAULT 0;
