-- Payments by card: what the payment provider calls them, what is given back, and the tasks that have the
-- provider do it.

ALTER TABLE orders ADD COLUMN payment_reference TEXT;
-- What has been or is to be given back: a list, the oldest first; NULL for an empty one.
ALTER TABLE orders ADD COLUMN refunds TEXT;

-- Refunds had no numbers, so the first stands for all of an order.
UPDATE orders SET refunds = (
    SELECT json_array(json_patch('{"status":"paid"}', data)) FROM order_events
    WHERE order_id = orders.id AND type = 'refunded' ORDER BY version LIMIT 1)
WHERE refunded > 0;

-- Tasks of one queue are worked apart from those of the others.
ALTER TABLE tasks ADD COLUMN queue TEXT NOT NULL DEFAULT 'deadlines';
-- What a task needs beside the order, as JSON.
ALTER TABLE tasks ADD COLUMN payload TEXT;

DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (queue, run_at_ns, id, leased_until_ns) WHERE parked_at_ns IS NULL;
