-- How many tenants keep more or less than `usage` says.
SELECT count(*) FROM (
    SELECT tenant FROM (
        SELECT r.tenant, octet_length(p.json) + coalesce(octet_length(p.permissions), 0) + r.log_bytes
            + CASE WHEN r.expires_at IS NULL THEN 0 ELSE coalesce(octet_length(r.outcome), 0) END AS bytes
        FROM request r JOIN payload p ON p.request = r.number
        UNION ALL
        SELECT r.tenant, octet_length(c.json) FROM request r JOIN checkpoint c ON c.request = r.number
        UNION ALL
        SELECT tenant, size FROM artifact
        UNION ALL
        SELECT tenant, -bytes FROM usage
    ) GROUP BY tenant HAVING sum(bytes) <> 0
)
