-- A task that has failed too often is parked, until somebody has it tried again or resolves it.

-- What went wrong with it, each time: a list of {attempt, at_ns, error}, the oldest first.
ALTER TABLE tasks ADD COLUMN failures TEXT NOT NULL DEFAULT '[]';
-- When it was put aside; NULL when it was not.
ALTER TABLE tasks ADD COLUMN parked_at_ns INTEGER;
-- When, by whom and why it was put away for good.
ALTER TABLE tasks ADD COLUMN resolved_at_ns INTEGER;
ALTER TABLE tasks ADD COLUMN resolved_by BLOB;
ALTER TABLE tasks ADD COLUMN resolution TEXT;

-- Answers what is due without looking at the tasks that are held. What is parked is not among it.
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (run_at_ns, id, leased_until_ns) WHERE parked_at_ns IS NULL;

CREATE INDEX tasks_parked ON tasks (id) WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL;
