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

DROP INDEX tasks_of_night;
CREATE INDEX tasks_untaken ON tasks (batch) WHERE night IS NULL AND outcome IS NULL;
CREATE INDEX tasks_ended_untaken ON tasks (outcome) WHERE night IS NULL AND outcome IS NOT NULL;

-- How many nodes are in each state: counting them would cost what an index over the states costs, on every step.
CREATE TABLE node_counts (
    night TEXT NOT NULL REFERENCES nights (id),
    state TEXT NOT NULL,
    nodes INTEGER NOT NULL CHECK (nodes >= 0),
    PRIMARY KEY (night, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER nights_counted AFTER INSERT ON nights BEGIN
    INSERT INTO node_counts (night, state, nodes) VALUES
        (NEW.id, 'waiting', 0), (NEW.id, 'ready', 0), (NEW.id, 'running', 0), (NEW.id, 'succeeded', 0),
        (NEW.id, 'failed', 0), (NEW.id, 'cancelled', 0), (NEW.id, 'skipped', 0);
END;

INSERT INTO node_counts (night, state, nodes)
    SELECT nights.id, column1, (SELECT count(*) FROM nodes WHERE night = nights.id AND state = column1)
    FROM nights, (VALUES ('waiting'), ('ready'), ('running'), ('succeeded'), ('failed'), ('cancelled'), ('skipped'));

CREATE TRIGGER nodes_counted AFTER INSERT ON nodes BEGIN
    UPDATE node_counts SET nodes = nodes + 1 WHERE night = NEW.night AND state = NEW.state;
END;

CREATE TRIGGER nodes_moved AFTER UPDATE OF state ON nodes BEGIN
    UPDATE node_counts SET nodes = nodes + iif(state = NEW.state, 1, -1)
    WHERE night = NEW.night AND state IN (OLD.state, NEW.state) AND OLD.state <> NEW.state;
END;

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
