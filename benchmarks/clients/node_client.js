// Node.js' `net`: `node_client.js PIPE`.
"use strict";

const net = require("net");
const readline = require("readline");

const SIZES = { write_read_64: 64, write_read_64k: 65536, write_read_1m: 1 << 20 };
const CHUNK = Buffer.alloc(65536);
const pipe = process.argv[2];
const echo = net.connect(pipe);
const sink = net.connect(`${pipe}-sink`);

function exchange(data) {
  return new Promise((resolve) => {
    let left = data.length;
    echo.removeAllListeners("data").on("data", (piece) => (left -= piece.length) || resolve());
    echo.write(data);
  });
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, count] = line.split(" ");
    const data = Buffer.alloc(SIZES[name] || 0);
    const begun = process.hrtime.bigint();
    for (let left = Number(count); left; left--) {
      if (name === "write_64k") await new Promise((resolve) => sink.write(CHUNK, resolve));
      else await exchange(data);
    }
    process.stdout.write(`${Number(process.hrtime.bigint() - begun) / 1e9}\n`);
  }
  process.exit();
}

main();
