// Handlers for Streamer in TypeScript, without a framework. Run them with `STREAMER_KEY=… PORT=9000 npm start`; Streamer's
// configuration is that of ../python/app.py.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { verified } from "./signature.ts";

const KEYS = { k1: process.env.STREAMER_KEY ?? "" };

function answer(response: ServerResponse, status: number, body: unknown): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type }).end(JSON.stringify(body));
}

// A problem's details (RFC 9457) are what the client reads.
function wrong(response: ServerResponse, field: string, detail: string): void {
  answer(response, 422, { title: "The payload does not fit", detail, errors: [{ pointer: `#/${field}`, detail }] });
}

type Greet = { name?: unknown };

function greet(payload: Greet, response: ServerResponse): void {
  if (typeof payload.name !== "string") return wrong(response, "name", "must be text");
  answer(response, 200, { greeting: `Hello, ${payload.name}!` });
}

type Count = { payload: { to?: unknown; pause_s?: number }; checkpoint?: number };

// Streams server-sent events. If this process dies, another attempt goes on from the last checkpoint.
async function count({ payload, checkpoint }: Count, response: ServerResponse): Promise<void> {
  const { to, pause_s = 0.1 } = payload;
  if (typeof to !== "number") return wrong(response, "payload/to", "must be a number");
  response.writeHead(200, { "content-type": "text/event-stream" });
  const say = (record: unknown) => response.write(`data: ${JSON.stringify(record)}\n\n`);
  for (let n = (checkpoint ?? 0) + 1; n <= to; n++) {
    await sleep(pause_s * 1000); // the work
    if (response.destroyed) return; // cancelled
    say({ chunk: n, checkpoint: n, progress: (100 * n) / to, message: `at ${n}` });
  }
  say({ result: { counted: to } });
  response.end();
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.concat(await request.toArray());
  if (!verified(request, body, KEYS)) return answer(response, 401, { title: "not from Streamer" });
  switch (request.url) {
    case "/greet":
      return greet(JSON.parse(body.toString()), response);
    case "/count":
      return count(JSON.parse(body.toString()), response);
    default:
      return answer(response, 404, { title: "there is nothing here" });
  }
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    console.error(error);
    if (!response.headersSent) answer(response, 500, { title: "it failed" });
    response.destroy();
  });
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
