-- Payments by card: what the payment provider calls them, what is given back, and the tasks that have the
-- provider do it.

ALTER TABLE orders
    ADD COLUMN payment_reference text,
    -- What has been or is to be given back: a list, the oldest first; NULL for an empty one.
    ADD COLUMN refunds json;

-- Refunds had no numbers, so the first stands for all of an order.
UPDATE orders SET refunds = (
    SELECT json_build_array(jsonb_build_object('status', 'paid') || data::jsonb) FROM order_events
    WHERE order_id = orders.id AND type = 'refunded' ORDER BY version LIMIT 1)
WHERE refunded > 0;

ALTER TABLE tasks
    -- Tasks of one queue are worked apart from those of the others.
    ADD COLUMN queue text NOT NULL DEFAULT 'deadlines',
    -- What a task needs beside the order.
    ADD COLUMN payload json;

DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (queue, run_at_ns, id) WHERE parked_at_ns IS NULL;
