// An echo server and its client on Node.js' `net`: `node_echo.js serve|call PIPE`.
"use strict";

const assert = require("assert");
const net = require("net");

const [role, pipe] = process.argv.slice(2);

function serve() {
  net.createServer((socket) => {
    socket.on("error", () => {}); // a client that left with its answer unread
    socket.on("data", (data) => (data.equals(Buffer.from("bye")) ? socket.end(data) : socket.write(data)));
  }).listen(pipe);
}

function connect() {
  const socket = net.connect(pipe);
  return new Promise((resolve, reject) => socket.on("connect", () => resolve(socket)).on("error", reject));
}

function exchange(socket, data) {
  const answer = new Promise((resolve) => {
    let received = Buffer.alloc(0);
    socket.on("data", function collect(piece) {
      received = Buffer.concat([received, piece]);
      if (received.length < data.length) return;
      socket.off("data", collect);
      resolve(received);
    });
  });
  socket.write(data);
  return answer;
}

async function call() {
  const sockets = await Promise.all(Array.from({ length: 10 }, connect));
  const answers = await Promise.all(sockets.map((socket, number) => exchange(socket, Buffer.from(`${number}`))));
  assert.deepEqual(answers.map(String), [..."0123456789"]);
  for (const size of [1, 65536, 1 << 20]) {
    const data = Buffer.from(Uint8Array.from({ length: size }, (_, index) => index));
    assert((await exchange(sockets[0], data)).equals(data), `${size} bytes`);
  }
  const end = new Promise((resolve) => sockets[0].on("end", resolve));
  assert.equal(await exchange(sockets[0], Buffer.from("bye")), "bye");
  await end;
  sockets.forEach((socket) => socket.destroy());
}

if (role === "serve") serve();
else call();
