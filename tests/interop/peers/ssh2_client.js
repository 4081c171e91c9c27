// A program that asks an SSH agent with ssh2: `ssh2_client.js PIPE` writes its keys, and whether it signs, as JSON.
"use strict";

const { createAgent } = require("ssh2");

const agent = createAgent(process.argv[2]);
const end = (outcome, code) => process.stdout.write(JSON.stringify(outcome), () => process.exit(code));

agent.getIdentities((error, keys) => {
  if (error) return end(String(error.stack), 1);
  agent.sign(keys[0], Buffer.from("data to sign"), (failed, signature) => {
    if (failed) return end(String(failed.stack), 1);
    end({ keys: keys.map((key) => `${key.type} ${key.comment}`), signature: signature.length }, 0);
  });
});
