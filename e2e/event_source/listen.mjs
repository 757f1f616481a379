// Follows a request as a page does: an EventSource, which comes back by itself. Prints what it hears, a JSON line each.
// Arguments: the address, and the name in it, which stands for 127.0.0.1.

import dns from "node:dns";
import { createRequire } from "node:module";

const [address, name] = process.argv.slice(2);
const lookUp = dns.lookup;
dns.lookup = (host, ...rest) => lookUp(host === name ? "127.0.0.1" : host, ...rest);

// By NODE_PATH, which `import` does not look at.
const { EventSource } = createRequire(import.meta.url)("eventsource");
const source = new EventSource(address);
const say = (line) => console.log(JSON.stringify(line));
source.onopen = () => say({ type: "open" });
const heard = ({ type, lastEventId, data }) => {
  say({ type, id: Number(lastEventId), frame: JSON.parse(data) });
  if (type === "complete") source.close();
};
for (const type of ["progress", "chunk", "restart", "complete"]) source.addEventListener(type, heard);
source.onerror = (event) => {
  // The outcome may be one; without data it is the connection's, and it comes back.
  if (event.data) heard(event);
  else say({ type: "lost", status: event.code ?? null, closed: source.readyState === EventSource.CLOSED });
};
