-- Times are milliseconds since 1970. References are declared for `streamer store check`, and not enforced at
-- run time. Large values have tables of their own, so that a request's row stays small: every step rewrites it.

CREATE TABLE request (
    -- In the order of arrival.
    number       INTEGER PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    user         TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    connection   TEXT,
    action       TEXT    NOT NULL,
    fingerprint  BLOB    NOT NULL,
    max_retries  INTEGER NOT NULL,
    repeatable   INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    run_at       INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    -- When it may be claimed: its start, its retry or the end of its lease. NULL once it has ended.
    due_at       INTEGER,
    attempt      INTEGER NOT NULL DEFAULT 0,
    retry_count  INTEGER NOT NULL DEFAULT 0,
    takeovers    INTEGER NOT NULL DEFAULT 0,
    cancel_asked INTEGER NOT NULL DEFAULT 0,
    -- The newest fence, and who holds its lease or ended the request under it.
    fence        INTEGER NOT NULL DEFAULT 0,
    holder       TEXT,
    started_at   INTEGER,
    ended_at     INTEGER,
    expires_at   INTEGER,
    last_seq     INTEGER NOT NULL DEFAULT 0,
    chunks       INTEGER NOT NULL DEFAULT 0,
    log_bytes    INTEGER NOT NULL DEFAULT 0,
    -- How many chunks the checkpoint covers.
    covered      INTEGER NOT NULL DEFAULT 0,
    -- The newest progress is the log's only one.
    progress_seq INTEGER NOT NULL DEFAULT 0,
    progress_at  INTEGER,
    progress     TEXT,
    -- The log's last entry once the request has ended, at (last_seq, ended_at); before, the last failure.
    outcome      TEXT
) STRICT;

-- The one index whose pages are touched at random: each enqueue writes one of them. So a user's list is read
-- through it too, and sorted, rather than from an index of its own that would double that.
CREATE UNIQUE INDEX request_key ON request (tenant, user, id);
CREATE INDEX request_due ON request (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX request_expiry ON request (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX request_failed ON request (status) WHERE status = 'FAILED';

CREATE TABLE payload (
    request INTEGER PRIMARY KEY REFERENCES request,
    json    TEXT NOT NULL
) STRICT;

CREATE TABLE checkpoint (
    request INTEGER PRIMARY KEY REFERENCES request,
    json    TEXT NOT NULL
) STRICT;

-- Chunks and restarts: what a request's row does not hold of its log.
CREATE TABLE log (
    request INTEGER NOT NULL REFERENCES request,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    -- A chunk's index, or the index that a restart begins from.
    place   INTEGER NOT NULL,
    -- A restart's.
    attempt INTEGER,
    -- A chunk's.
    json    TEXT,
    PRIMARY KEY (request, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE connection (
    id           TEXT    PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    user         TEXT    NOT NULL,
    endpoint     TEXT    NOT NULL,
    connected_at INTEGER NOT NULL,
    last_ping    INTEGER NOT NULL,
    user_agent   TEXT,
    ip_address   TEXT,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX connection_owner ON connection (tenant, user);
CREATE INDEX connection_expiry ON connection (expires_at);

CREATE TABLE artifact (
    id         TEXT    PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    user       TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    media_type TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX artifact_expiry ON artifact (expires_at);
