-- A task that has failed too often is parked, until somebody has it tried again or resolves it.

ALTER TABLE tasks
    -- What went wrong with it, each time: a list of {attempt, at_ns, error}, the oldest first.
    ADD COLUMN failures jsonb NOT NULL DEFAULT '[]',
    -- When it was put aside; NULL when it was not.
    ADD COLUMN parked_at_ns bigint,
    -- When, by whom and why it was put away for good.
    ADD COLUMN resolved_at_ns bigint,
    ADD COLUMN resolved_by uuid,
    ADD COLUMN resolution text;

-- Answers what is due. The lease is left out, so that taking one writes no index. What is parked is not
-- among it.
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (run_at_ns, id) WHERE parked_at_ns IS NULL;

CREATE INDEX tasks_parked ON tasks (id) WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL;
