-- The outcomes that are to be told outside.

ALTER TABLE request ADD COLUMN announced INTEGER NOT NULL DEFAULT 0;

CREATE TABLE outbox (
    request     INTEGER PRIMARY KEY REFERENCES request,
    action      TEXT    NOT NULL,
    -- NULL once it was given up.
    due_at      INTEGER,
    -- Rises each time that it is taken or put back.
    fence       INTEGER NOT NULL DEFAULT 0,
    failures    INTEGER NOT NULL DEFAULT 0,
    -- How telling it failed the last time.
    why         TEXT,
    given_up_at INTEGER
) STRICT;

CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_given_up ON outbox (request) WHERE due_at IS NULL;
