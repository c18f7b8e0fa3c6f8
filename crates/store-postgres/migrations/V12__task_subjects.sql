-- A task may be about a restaurant or an account, and not only about an order. Servers of the version before may run on
-- this schema: they write tasks of orders, and the only task with another subject that they know is a review, which they never
-- execute. They take it for the review of an order: they list and resolve it only if their database holds the bucket of its
-- id, and in a shard that was split they may resolve a copy. Do not run `dabba shards purge` of the version before: it would
-- delete tasks of the directory by the bucket of their id.

ALTER TABLE tasks
    -- Kind of the task's subject: `order`, `restaurant` or `account`; a newer version may add kinds. The column `order_id`
    -- contains the id of the subject, whatever its kind. The task of an order is in the order's shard, every other task in
    -- the directory, whatever the bucket of its id.
    ADD COLUMN subject_kind text NOT NULL DEFAULT 'order';

INSERT INTO schema_versions (version, compatible_from) VALUES (12, 8);
