-- Ranks within a tenant, and what a tenant keeps.

ALTER TABLE request ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;

-- Due times are looked up in memory. What is open is found by this, once at each start, and for lists: it changes only
-- when a request comes and when it ends.
DROP INDEX request_due;
CREATE INDEX request_open ON request (number) WHERE expires_at IS NULL;

-- Connections come by the thousand at once, and are looked for by few: lists and purges read the table instead.
DROP INDEX connection_owner;
DROP INDEX connection_expiry;

-- The bytes of payloads, chunks, outcomes and artifacts.
CREATE TABLE usage (
    tenant TEXT    PRIMARY KEY,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO usage (tenant, bytes)
SELECT tenant, sum(bytes) FROM (
    SELECT r.tenant, octet_length(p.json) + r.log_bytes
        + CASE WHEN r.expires_at IS NULL THEN 0 ELSE coalesce(octet_length(r.outcome), 0) END AS bytes
    FROM request r JOIN payload p ON p.request = r.number
    UNION ALL
    SELECT tenant, size FROM artifact
) GROUP BY tenant;
