"""The tables of commands and topics, one file for each. Importing this imports none, so that `--help` costs nothing."""

from typing import NamedTuple


class Entry(NamedTuple):
    """The module of a command or a topic, and what it is about in one sentence: the first of a command's help."""

    module: str
    summary: str


# In the order of the overview.
COMMANDS = {
    "call": Entry("pipectl.commands.call", "Send one request to a pipe and print the reply."),
    "connect": Entry(
        "pipectl.commands.connect", "Talk with a pipe in both directions, or pass stdin and stdout through."
    ),
    "read": Entry("pipectl.commands.read", "Print what a server sends as it arrives, and consume it."),
    "write": Entry("pipectl.commands.write", "Send data to a pipe without waiting for a reply."),
    "serve": Entry("pipectl.commands.serve", "Serve a pipe: echo, a fixed reply, or a program's answers."),
    "list": Entry("pipectl.commands.list", "List the pipes of this computer, with their instances."),
    "who": Entry("pipectl.commands.who", "Show which processes hold a pipe's ends: its server and its clients."),
    "info": Entry("pipectl.commands.info", "Show how a pipe was made, who serves it, and who may open it."),
    "wait": Entry("pipectl.commands.wait", "Wait until a pipe is free, exists, or is gone."),
    "transact": Entry(
        "pipectl.commands.transact", "Send many requests to a pipe over one connection, and print each reply."
    ),
    "peek": Entry("pipectl.commands.peek", "Show what waits to be read from a pipe, without consuming it."),
    "state": Entry("pipectl.commands.state", "Show how a handle on a pipe reads and waits, and set it."),
    "client-pid": Entry(
        "pipectl.commands.client_pid",
        "Listen on a pipe, and report who connects: process, program, user, session, computer.",
    ),
    "popen": Entry("pipectl.commands.popen", "Run a command over anonymous pipes, and stream what it writes."),
    "demo": Entry("pipectl.commands.demo", "Take a tour: a server, and each command against it."),
    "help": Entry("pipectl.commands.help", "Show the help of a command, or a page about a topic."),
}

# The pages of `pipectl help TOPIC`: docs/TOPIC.md, whose text is the module's TEXT.
TOPICS = {
    "quoting": Entry("pipectl.topics.quoting", "Quotes, stdin and paths in PowerShell, cmd, Git Bash and WSL."),
    "framing": Entry("pipectl.topics.framing", "Where a message ends in a stream: lines, lengths, HTTP, JSON ..."),
    "access": Entry("pipectl.topics.access", "Who may open a pipe: ACLs, elevation, sessions, services, SSH."),
    "services": Entry("pipectl.topics.services", "How to run a server in the background."),
    "json": Entry("pipectl.topics.json", "What the commands print with `--json`."),
    "exit-codes": Entry("pipectl.topics.exit_codes", "What the exit code of a command means."),
}
