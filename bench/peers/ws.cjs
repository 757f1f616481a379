// The package `ws` of npm, on Node.js. Speaks the words of the floor.

"use strict";

const { WebSocketServer } = require("ws");

const PUBLISH = "!publish ";

const followers = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });

server.on("listening", () => {
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
});

server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const text = data.toString();
    if (text === "!follow") {
      followers.add(socket);
      socket.send("following");
    } else if (text.startsWith(PUBLISH)) {
      const message = text.slice(PUBLISH.length);
      for (const follower of followers) {
        follower.send(message);
      }
      socket.send("published");
    }
  });
  socket.on("close", () => followers.delete(socket));
  // A peer that vanishes is no reason to end.
  socket.on("error", () => followers.delete(socket));
});
