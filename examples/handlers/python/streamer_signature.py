"""Whether a request comes from Streamer: HTTP Message Signatures (RFC 9421) by HMAC-SHA256, with the standard library."""

import base64
import hashlib
import hmac
import re
import time

ONE = re.compile(r'([a-z][a-z0-9_-]*)=(\(([^)]*)\);created=(\d+);keyid="([^"]*)";alg="hmac-sha256")')


def verified(method, path, query, headers, body, keys, now=None, tolerance_s=300):
    """`headers` are by their lower-case names; `keys` by theirs: {"k1": "the secret of remote.signing_keys.k1"}."""
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    if not hmac.compare_digest(headers.get("content-digest", ""), digest):
        return False
    signatures = dict(re.findall(r"([a-z][a-z0-9_-]*)=:([^:]*):", headers.get("signature", "")))
    for label, parameters, covered, created, key_id in ONE.findall(headers.get("signature-input", "")):
        names = covered.replace('"', "").split()
        # What is not covered could be anybody's.
        if key_id not in keys or not {"@method", "@path", "@query", "content-digest"} <= set(names):
            continue
        if abs((time.time() if now is None else now) - int(created)) > tolerance_s:
            continue
        derived = {"@method": method, "@path": path, "@query": "?" + query}
        lines = [f'"{name}": {derived[name] if name in derived else headers.get(name, "")}' for name in names]
        base = "\n".join(lines + [f'"@signature-params": {parameters}'])
        expected = hmac.new(keys[key_id].encode(), base.encode(), hashlib.sha256).digest()
        if hmac.compare_digest(base64.b64encode(expected).decode(), signatures.get(label, "")):
            return True
    return False
