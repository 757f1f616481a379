// Whether a request comes from Streamer: HTTP Message Signatures (RFC 9421) by HMAC-SHA256, with Node alone.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

const ONE = /([a-z][a-z0-9_-]*)=(\(([^)]*)\);created=(\d+);keyid="([^"]*)";alg="hmac-sha256")/g;
const MUST_COVER = ["@method", "@path", "@query", "content-digest"];

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

// `keys` are by their names: { k1: "the secret of remote.signing_keys.k1" }.
export function verified(request: IncomingMessage, body: Buffer, keys: Record<string, string>, toleranceS = 300): boolean {
  const header = (name: string): string => String(request.headers[name] ?? "");
  const digest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
  if (!same(header("content-digest"), digest)) return false;
  const signatures = new Map([...header("signature").matchAll(/([a-z][a-z0-9_-]*)=:([^:]*):/g)].map((m) => [m[1], m[2]]));
  const [path, query = ""] = String(request.url).split(/\?(.*)/s);
  const derived: Record<string, string> = { "@method": String(request.method), "@path": path, "@query": `?${query}` };
  for (const [, label, parameters, covered, created, keyId] of header("signature-input").matchAll(ONE)) {
    const names = covered.replaceAll('"', "").split(" ");
    const key = Object.hasOwn(keys, keyId) ? keys[keyId] : undefined;
    // What is not covered could be anybody's.
    if (key === undefined || !MUST_COVER.every((name) => names.includes(name))) continue;
    if (Math.abs(Date.now() / 1000 - Number(created)) > toleranceS) continue;
    const lines = names.map((name) => `"${name}": ${derived[name] ?? header(name)}`);
    const base = [...lines, `"@signature-params": ${parameters}`].join("\n");
    const expected = createHmac("sha256", key).update(base).digest("base64");
    if (same(expected, signatures.get(label) ?? "")) return true;
  }
  return false;
}
