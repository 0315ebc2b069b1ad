-- The closed night that has not reached a task, while the task waits for the next one to take it up without anybody's
-- word. A requeue is a word: it clears the column.
ALTER TABLE tasks ADD COLUMN left_by TEXT REFERENCES nights (id);
CREATE INDEX tasks_left ON tasks (left_by) WHERE left_by IS NOT NULL;
