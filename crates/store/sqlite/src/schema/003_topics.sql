-- The durable histories of topics. What is kept of a topic are the newest `messages` of its life, without a gap among
-- them, up to `last`.

CREATE TABLE topic (
    number         INTEGER PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    epoch          TEXT    NOT NULL,
    last           INTEGER NOT NULL,
    messages       INTEGER NOT NULL DEFAULT 0,
    bytes          INTEGER NOT NULL DEFAULT 0,
    -- When the whole topic may go.
    forget_at      INTEGER NOT NULL,
    -- When its oldest message may go, or else the topic.
    due_at         INTEGER NOT NULL,
    -- The newest append, for the case that it is repeated: its id, the offset of its first message, how many there
    -- were, and which of them were dropped (a list of places, if any).
    append_id      BLOB    NOT NULL,
    append_first   INTEGER NOT NULL,
    append_count   INTEGER NOT NULL,
    append_dropped TEXT
) STRICT;

CREATE UNIQUE INDEX topic_key ON topic (tenant, name);
CREATE INDEX topic_due ON topic (due_at);

CREATE TABLE message (
    topic      INTEGER NOT NULL REFERENCES topic,
    offset     INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    json       TEXT    NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT, WITHOUT ROWID;

-- Up to where each source's messages are in a topic.
CREATE TABLE topic_source (
    topic  INTEGER NOT NULL REFERENCES topic,
    source TEXT    NOT NULL,
    major  INTEGER NOT NULL,
    minor  INTEGER NOT NULL,
    PRIMARY KEY (topic, source)
) STRICT, WITHOUT ROWID;

-- What the tables above hold, so that a quota is looked up and not counted.
CREATE TABLE topic_tenant (
    tenant TEXT    PRIMARY KEY,
    topics INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE topic_total (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    topics INTEGER NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;

INSERT INTO topic_total VALUES (1, 0, 0);
