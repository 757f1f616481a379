-- Checkpoints count among the bytes that a tenant keeps.
INSERT INTO usage (tenant, bytes)
SELECT r.tenant, sum(octet_length(c.json)) FROM request r JOIN checkpoint c ON c.request = r.number
WHERE true GROUP BY r.tenant
ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes;
