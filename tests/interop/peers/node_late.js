// A server on Node.js' `net` that answers a request after some time, and ends: `node_late.js PIPE MILLISECONDS`.
"use strict";

const net = require("net");

const [pipe, delay] = process.argv.slice(2);

net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.once("data", (data) => setTimeout(() => socket.end(data.toString().toUpperCase()), Number(delay)));
}).listen(pipe);
