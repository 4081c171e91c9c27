// A program that uses dockerode on a named pipe: `dockerode_client.js PIPE` writes what came of it as JSON.
"use strict";

const Docker = require("dockerode");

async function main(pipe) {
  const docker = new Docker({ socketPath: pipe, version: "v1.44" });
  const outcome = { ping: String(await docker.ping()), version: (await docker.version()).Version };
  outcome.missing = await docker.getImage("missing").inspect().catch((error) => error.statusCode);
  const exec = docker.getExec("an-exec");
  const stream = await exec.start({ hijack: true, stdin: true });
  stream.write("one");
  outcome.hijacked = await new Promise((resolve) => stream.once("data", (data) => resolve(String(data))));
  stream.destroy();
  return outcome;
}

main(process.argv[2]).then(
  (outcome) => process.stdout.write(JSON.stringify(outcome), () => process.exit(0)),
  (error) => process.stdout.write(String(error.stack), () => process.exit(1)),
);
