// A server and a client of gRPC: `grpc_echo.js serve`, which says its port, or `grpc_echo.js HOST:PORT`.
"use strict";

const grpc = require("@grpc/grpc-js");

const same = (data) => data;

function method(name, requestStream, responseStream) {
  const convert = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
  return { path: `/Echo/${name}`, requestStream, responseStream, ...convert };
}

const Echo = {
  one: method("One", false, false),
  refuse: method("Refuse", false, false),
  count: method("Count", false, true),
  join: method("Join", true, false),
};

function serve() {
  const server = new grpc.Server();
  server.addService(Echo, {
    one: (call, done) => done(null, call.request),
    refuse: (_call, done) => done({ code: grpc.status.PERMISSION_DENIED, details: "not you" }),
    count: (call) => {
      for (let number = 0; number < 1000; number++) call.write(Buffer.from(`${number}`));
      call.end();
    },
    join: (call, done) => {
      const parts = [];
      call.on("data", (data) => parts.push(data)).on("end", () => done(null, Buffer.concat(parts)));
    },
  });
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(port);
  });
}

function ask(client, name, data) {
  const { path } = Echo[name];
  return new Promise((resolve, reject) =>
    client.makeUnaryRequest(path, same, same, data, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
}

function counted(client) {
  return new Promise((resolve, reject) => {
    let total = 0;
    client.makeServerStreamRequest(Echo.count.path, same, same, Buffer.alloc(0))
      .on("data", (data) => { total += Number(data); }).on("end", () => resolve(total)).on("error", reject);
  });
}

function joined(client, parts) {
  return new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    const call = client.makeClientStreamRequest(Echo.join.path, same, same, done);
    for (const part of parts) call.write(part);
    call.end();
  });
}

async function call(place) {
  const client = new grpc.Client(place, grpc.credentials.createInsecure());
  const large = Buffer.alloc(1 << 20, "large");
  const outcome = {
    one: String(await ask(client, "one", Buffer.from("ping"))),
    large: (await ask(client, "one", large)).equals(large),
    refused: await ask(client, "refuse", Buffer.alloc(0)).catch((error) => error.details),
    count: await counted(client),
    joined: String(await joined(client, ["a", "b", "c"].map(Buffer.from))),
  };
  client.close();
  console.log(JSON.stringify(outcome));
}

if (process.argv[2] === "serve") serve();
else call(process.argv[2]);
