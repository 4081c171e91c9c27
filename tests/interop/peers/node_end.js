// Says `request`, then that nothing more comes, and writes what it still hears: `node_end.js PIPE`.
"use strict";

const net = require("net");

const socket = net.connect({ path: process.argv[2], allowHalfOpen: true }, () => socket.end("request"));
socket.on("data", (data) => process.stdout.write(data));
socket.on("error", () => {});
