-- Times are RFC 3339 in UTC with microseconds, so that text order is time order.
-- JSON columns hold what the records' dictionaries and tuples hold.

CREATE TABLE batches (
    name        TEXT PRIMARY KEY,
    digest      TEXT NOT NULL,
    label       TEXT NOT NULL,
    lines       INTEGER NOT NULL CHECK (lines >= 0),
    enqueued_at TEXT NOT NULL,
    path        TEXT NOT NULL
) STRICT;

CREATE TABLE nights (
    id          TEXT PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('running', 'closed')),
    base_commit TEXT NOT NULL,
    branch      TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    closed_at   TEXT,
    summary     TEXT NOT NULL
) STRICT;

CREATE TABLE tasks (
    key     TEXT PRIMARY KEY,
    batch   TEXT NOT NULL REFERENCES batches (name),
    line    TEXT NOT NULL,
    package TEXT NOT NULL,
    night   TEXT REFERENCES nights (id),
    outcome TEXT CHECK (outcome IN
        ('accepted', 'denied', 'failed', 'blocked', 'skipped', 'cancelled', 'not_reached')),
    cause   TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_of_night ON tasks (night);

CREATE TABLE nodes (
    id            INTEGER PRIMARY KEY,
    night         TEXT NOT NULL REFERENCES nights (id),
    key           TEXT NOT NULL,
    task          TEXT NOT NULL REFERENCES tasks (key),
    node          TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN
        ('waiting', 'ready', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
    needs         TEXT NOT NULL,
    output_commit TEXT,
    cause         TEXT NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    UNIQUE (night, key)
) STRICT;

-- The fencing token is the row's own number: AUTOINCREMENT keeps the one counter row that never goes back.
CREATE TABLE attempts (
    token         INTEGER PRIMARY KEY AUTOINCREMENT,
    node_id       INTEGER NOT NULL REFERENCES nodes (id),
    attempt       INTEGER NOT NULL CHECK (attempt >= 1),
    owner         TEXT NOT NULL,
    started_at    TEXT NOT NULL,
    expires_at    TEXT NOT NULL,
    ended_at      TEXT,
    outcome       TEXT,
    node_state    TEXT,
    cause         TEXT,
    output_commit TEXT,
    artifacts     TEXT,
    metrics       TEXT,
    UNIQUE (node_id, attempt)
) STRICT;
CREATE UNIQUE INDEX attempts_running ON attempts (node_id) WHERE ended_at IS NULL;

-- Rows are only ever added, so the number SQLite gives (largest + 1) rises without gaps.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,
    at      TEXT NOT NULL,
    night   TEXT NOT NULL,
    subject TEXT NOT NULL,
    name    TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_night ON events (night);
