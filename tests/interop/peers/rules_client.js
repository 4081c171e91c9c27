// Clients of the servers in examples/rules: `rules_client.js docker|agent|lsp PIPE` writes what came of it, as JSON.
"use strict";

const net = require("net");

const [role, pipe] = process.argv.slice(2);

function outcome(promise) {
  return promise.then(
    (value) => value,
    (error) => ({ failed: error.statusCode || error.code || error.level || error.message }),
  );
}

async function docker() {
  const Docker = require("dockerode");
  const engine = new Docker({ socketPath: pipe });
  const list = () => outcome(engine.listContainers());
  return {
    ping: (await engine.ping()).toString(),
    version: (await engine.version()).Version,
    containers: [await list(), await list(), (await list())[0].Names],
    missing: await outcome(engine.getImage("none").inspect()),
  };
}

async function agent() {
  const { createAgent } = require("ssh2");
  const keys = () => outcome(new Promise((resolve, reject) =>
    createAgent(pipe).getIdentities((error, found) => (error ? reject(error) : resolve(found)))));
  return { keys: [await keys(), await keys()] };
}

async function lsp() {
  const rpc = require("vscode-jsonrpc/node");
  const socket = net.connect(pipe);
  const connection = rpc.createMessageConnection(new rpc.StreamMessageReader(socket), new rpc.StreamMessageWriter(socket));
  const closed = new Promise((resolve) => connection.onClose(() => resolve(true)));
  connection.listen();
  const ask = (method, params) => outcome(connection.sendRequest(method, params));
  const found = {
    early: await ask("textDocument/hover", {}),
    capabilities: (await ask("initialize", { processId: null, rootUri: null, capabilities: {} })).capabilities,
  };
  await connection.sendNotification("initialized", {});
  const hover = () => ask("textDocument/hover", { textDocument: { uri: "file:///a" }, position: { line: 1, character: 2 } });
  found.hovers = [await hover(), await hover()];
  found.shutdown = await ask("shutdown");
  await connection.sendNotification("exit");
  found.closed = await closed;
  return found;
}

({ docker, agent, lsp })[role]().then((found) => {
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
