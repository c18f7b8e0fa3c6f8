-- A task may be about a restaurant or an account, and not only about an order. An earlier program may serve this database:
-- it writes tasks of orders, and the only task with another subject that it knows is a review, which it lists and resolves
-- but never executes.

-- Kind of the task's subject: `order`, `restaurant` or `account`; a newer version may add kinds. The column `order_id`
-- contains the id of the subject, whatever its kind.
ALTER TABLE tasks ADD COLUMN subject_kind TEXT NOT NULL DEFAULT 'order';

INSERT INTO schema_versions (version, compatible_from) VALUES (9, 7);
