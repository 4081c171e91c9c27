"""The tables of commands and help topics. Each has its own module, which is imported only when it is used."""

from typing import NamedTuple


class Entry(NamedTuple):
    """The module of a command or a topic, and its summary, which is also the first sentence of a command's help."""

    module: str
    summary: str


# In the order of the overview.
COMMANDS = {
    "call": Entry("pipectl.commands.call", "Send one request to a pipe and print the reply."),
    "connect": Entry("pipectl.commands.connect", "Exchange data with a pipe in both directions at once."),
    "read": Entry("pipectl.commands.read", "Receive from a pipe and print the data as it arrives."),
    "write": Entry("pipectl.commands.write", "Send data to a pipe without waiting for a reply."),
    "serve": Entry("pipectl.commands.serve", "Serve a pipe: echo, a fixed reply, rules, or a program's answers."),
    "relay": Entry("pipectl.commands.relay", "Pass data between pipes, TCP ports, programs and stdio."),
    "tap": Entry("pipectl.commands.tap", "Show what clients and a server say to each other, decoded, and record it."),
    "replay": Entry("pipectl.commands.replay", "Play one side of a recording against the live other side."),
    "decode": Entry("pipectl.commands.decode", "Show a recording decoded, or write it as HTML or for Wireshark."),
    "list": Entry("pipectl.commands.list", "List the named pipes on this computer and their instances."),
    "who": Entry("pipectl.commands.who", "Show which processes have a pipe open: its server and its clients."),
    "watch": Entry(
        "pipectl.commands.watch", "Show pipes as they appear and disappear, and how their instances change."
    ),
    "info": Entry("pipectl.commands.info", "Show a pipe's type and limits, its server process, and who may open it."),
    "doctor": Entry("pipectl.commands.doctor", "Find out why a pipe cannot be opened, and how to fix it."),
    "audit": Entry("pipectl.commands.audit", "Find pipes that others could misuse: ACLs, squatting, remote access."),
    "bench": Entry("pipectl.commands.bench", "Measure the throughput and the latencies of a server."),
    "wait": Entry("pipectl.commands.wait", "Wait until a pipe is free, exists, or is gone."),
    "transact": Entry("pipectl.commands.transact", "Send several requests over one connection and print each reply."),
    "peek": Entry("pipectl.commands.peek", "Show unread data in a pipe without consuming it."),
    "state": Entry("pipectl.commands.state", "Show or set the read mode and wait mode of a pipe handle."),
    "client-pid": Entry(
        "pipectl.commands.client_pid",
        "Listen on a pipe and report each client: process, program, user, session, computer.",
    ),
    "popen": Entry("pipectl.commands.popen", "Run a command over anonymous pipes and stream its output."),
    "selftest": Entry("pipectl.commands.selftest", "Check what pipectl assumes about Windows, claim by claim."),
    "demo": Entry("pipectl.commands.demo", "Take a guided tour: a demo server, and each command against it."),
    "help": Entry("pipectl.commands.help", "Show help for a command or a topic."),
}

# The pages of `pipectl help TOPIC`; TEXT in each module is made from docs/TOPIC.md.
TOPICS = {
    "quoting": Entry("pipectl.topics.quoting", "Quotes, stdin and paths in PowerShell, cmd, Git Bash and WSL."),
    "framing": Entry("pipectl.topics.framing", "Where a message ends in a stream: lines, lengths, HTTP, JSON."),
    "codecs": Entry("pipectl.topics.codecs", "The codecs of `--codec`: protocols, secrets, and how to write one."),
    "faults": Entry(
        "pipectl.topics.faults", "The faults of `--fault`: late, cut, split, damaged or lost replies, closed pipes."
    ),
    "mock": Entry("pipectl.topics.mock", "Rules files for `serve --rules`: which message gets which reply."),
    "access": Entry("pipectl.topics.access", "Who may open a pipe: ACLs, elevation, sessions, services, SSH."),
    "services": Entry("pipectl.topics.services", "How to run a server in the background."),
    "json": Entry("pipectl.topics.json", "The output of `--json`: objects, fields and schemas."),
    "exit-codes": Entry("pipectl.topics.exit_codes", "Exit codes and what they mean."),
}
