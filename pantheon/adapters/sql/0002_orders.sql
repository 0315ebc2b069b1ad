-- A task may be worked by several nights; what each of them made of it stays.
-- tasks.night is the night that has it now; tasks.outcome is only that of a task cancelled before any night took it.

CREATE TABLE night_tasks (
    night   TEXT NOT NULL REFERENCES nights (id),
    task    TEXT NOT NULL REFERENCES tasks (key),
    outcome TEXT CHECK (outcome IN
        ('accepted', 'denied', 'failed', 'blocked', 'skipped', 'cancelled', 'not_reached')),
    cause   TEXT NOT NULL,
    PRIMARY KEY (night, task)
) STRICT, WITHOUT ROWID;

INSERT INTO night_tasks (night, task, outcome, cause)
    SELECT night, key, outcome, cause FROM tasks WHERE night IS NOT NULL;
UPDATE tasks SET outcome = NULL, cause = '' WHERE night IS NOT NULL;

CREATE INDEX tasks_untaken ON tasks (batch) WHERE night IS NULL;
CREATE INDEX nodes_by_state ON nodes (night, state);

CREATE TABLE orders (
    seq    INTEGER PRIMARY KEY,
    at     TEXT NOT NULL,
    verb   TEXT NOT NULL CHECK (verb IN ('pause', 'resume', 'drain', 'cancel', 'hold', 'release', 'requeue')),
    night  TEXT NOT NULL,
    batch  TEXT NOT NULL,
    task   TEXT NOT NULL,
    reason TEXT NOT NULL,
    by     TEXT NOT NULL
) STRICT;

CREATE VIEW holds (batch, task) AS
    SELECT batch, task FROM orders AS held WHERE verb = 'hold' AND NOT EXISTS (
        SELECT 1 FROM orders AS later WHERE later.seq > held.seq AND later.verb = 'release'
        AND later.batch = held.batch AND later.task = held.task);
