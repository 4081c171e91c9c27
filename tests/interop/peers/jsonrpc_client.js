// A program that speaks JSON-RPC with vscode-jsonrpc: `jsonrpc_client.js PIPE` writes what came of it as JSON.
"use strict";

const rpc = require("vscode-jsonrpc/node");

async function main(pipe) {
  // Of a client's two sides the one that is called the server's connects.
  const [reader, writer] = rpc.createServerPipeTransport(pipe);
  const connection = rpc.createMessageConnection(reader, writer);
  const told = new Promise((resolve) => connection.onNotification("window/logMessage", resolve));
  connection.listen();
  const outcome = { initialized: await connection.sendRequest("initialize", { processId: 1 }) };
  await connection.sendNotification("initialized", {});
  const hover = { textDocument: { uri: "file:///a.py" }, position: { line: 3, character: 5 } };
  outcome.hover = await connection.sendRequest("textDocument/hover", hover).catch((error) => error.code);
  outcome.told = (await told).message;
  connection.dispose();
  return outcome;
}

main(process.argv[2]).then(
  (outcome) => process.stdout.write(JSON.stringify(outcome), () => process.exit(0)),
  (error) => process.stdout.write(String(error.stack), () => process.exit(1)),
);
