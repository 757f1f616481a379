// uWebSockets' own publish, as Bun embeds it. Speaks the words of the floor.

const TOPIC = "live";
const PUBLISH = "!publish ";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, self) {
    return self.upgrade(request) ? undefined : new Response(null, { status: 426 });
  },
  websocket: {
    // An idle peer is measured, not closed.
    idleTimeout: 0,
    sendPings: false,
    message(socket, text) {
      if (text === "!follow") {
        socket.subscribe(TOPIC);
        socket.send("following");
      } else if (text.startsWith(PUBLISH)) {
        server.publish(TOPIC, text.slice(PUBLISH.length));
        socket.send("published");
      }
    },
  },
});

console.log(`${server.hostname}:${server.port}`);
