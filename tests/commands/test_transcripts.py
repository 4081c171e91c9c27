"""What a person sees of each command on a terminal of 80 columns, from its first line to its last.

What differs from run to run is replaced by words in capitals.

All of it is what the commands say of real pipes and programs, but for four parts, whose facts patches make up; only
words, order and tables are real there:

* `list`, and hints at near names: PIPES, because Wine cannot list its pipes and no two systems have the same.
* `info`: INFO, because the user, the program, the access list and the number of instances differ from run to run.
* `who`: WHO, for the same reason.
* `state`: STATE, because Wine has collection values and a user's name where Windows has none; with `--read-mode`, what
  is told after it is made up too.

Whether the facts are true is asked in test_list.py, test_info.py, test_who.py and test_state.py.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NamedTuple

import pytest

from pipectl.cli import cli
from pipectl.commands import COMMANDS
from pipectl.core.constants import Wait
from pipectl.core.errors import PartialResultError, PipeClosedError
from pipectl.core.inventory import details, directory, who
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.options import stdin
from tests.pipes import reporting
from tests.runner import Background
from tests.streams import Stream, Streams

# What another system, or another user, would have others of.
STATE = {"read_mode": "byte", "wait_mode": "wait", "instances": 5, "user": None}
INFO = {
    "pipe": r"\\.\pipe\svc",
    "type": "message",
    "direction": "duplex",
    "instances": 5,
    "unlimited": True,
    "rejects_remote": True,
    "handle": STATE,
    "server": {"pid": 1234, "image": r"C:\Program Files\Svc\svc.exe", "user": r"NT AUTHORITY\SYSTEM", "session": 0},
    "security": {
        "owner": "Administrators",
        "access": ["Network: denied", "SYSTEM: full control", "Users: connect, read and write"],
        "sddl": "O:BAG:SYD:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;0x12019b;;;BU)",
    },
}
WHO = {
    "pipe": r"\\.\pipe\svc",
    "instances": 2,
    "ends": [
        {
            "end": "server",
            "process": {"pid": 4312, "image": r"C:\Svc\svc.exe", "user": r"VM\svc", "services": ("SvcHost",)},
            "state": "connected",
            "opened_by": 4312,
            "source": "handle",
        },
        {"end": "client", "process": {"pid": 7001}, "state": "connected", "source": "peer"},
    ],
    "warnings": [],
}
PIPES = [PipeEntry("docker_engine", 3, None), PipeEntry("dotnet-diagnostic-1234", 1, 1), PipeEntry("a\x1b[31m", 2, 4)]


def replaced(text: str, pipe: str) -> str:
    """Put words for what differs."""
    for pattern, word in (
        (re.escape(pipe), r"\\\\.\\pipe\\svc"),
        (re.escape(pipe.rpartition("\\")[2]), "svc"),
        (r"\d\d:\d\d:\d\d\.\d{3}", "TIME"),
        (r"pid \d+, python\.exe, .+, session \d+", "PROCESS"),
        (r"\d+(\.\d+)? (ms|s)\b", r"N \2"),
        (r"(?m)^(seconds +)[\d.]+$", r"\1N"),
        (r"(?<=: )[^:\n]+ \(ERROR", "REASON (ERROR"),
        (r"served by pid [^)]+", "served by PEER"),
        (r"access: [^;]+;", "access: WHO;"),
    ):
        text = re.sub(pattern, word, text)
    return text


class Scene(NamedTuple):
    """A command line, the server that it meets, and what is to be seen."""

    line: str
    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    server: Callable[[str], AbstractContextManager[object]] = lambda _pipe: nullcontext()
    client: bool = False
    typed: tuple[bytes, ...] = ()


def pong(_client: Client, data: bytes) -> bytes:
    return b"pong" if data == b"ping" else data


def serving(pipe: str) -> PipeServer:
    return PipeServer(pipe, pong, events=reporting(connected=lambda _client: None))


def greeting(pipe: str) -> PipeServer:
    return PipeServer(pipe, pong, events=reporting(connected=lambda _client: b"welcome\r\n"))


SCENES = {
    "call": Scene(
        "call svc ping -v",
        "pong\n",
        r"""
connected to \\.\pipe\svc, a message pipe
4 bytes in N ms, ended by message
""",
        server=serving,
    ),
    "call with bytes": Scene(
        "call svc --hex 01ff --as hex",
        "00000000  01 ff                                             ..\n",
        server=serving,
    ),
    "call with a table": Scene(
        "call svc ping --format table",
        r"""
pipe      \\.\pipe\svc
ended by  message
seconds   N
bytes     4
pong
""",
        server=serving,
    ),
    "call that waits for its reply": Scene(
        "call svc ping --timeout 1.5",
        stderr=r"""
waiting for the reply of \\.\pipe\svc; Ctrl+C ends it
error: \\.\pipe\svc: REASON (ERROR_TIMEOUT, 1460)
hint: Allow more time with `--timeout SECONDS`
""",
        exit_code=6,
        server=lambda pipe: PipeServer(pipe, lambda _client, _data: None),
    ),
    "call in vain": Scene(
        "call svc ping",
        stderr=r"""
error: CreateFileW on \\.\pipe\svc: REASON (ERROR_FILE_NOT_FOUND, 2)
hint: See which pipes there are: `pipectl list`
""",
        exit_code=3,
    ),
    "read": Scene("read svc --count 1", "welcome\n", server=greeting),
    "read in vain": Scene(
        "read svc --count 1 --timeout 0.1",
        stderr=r"""
error: \\.\pipe\svc: REASON (ERROR_TIMEOUT, 1460)
hint: Allow more time with `--timeout SECONDS`
""",
        exit_code=6,
        server=serving,
    ),
    "write": Scene("write svc hello", server=serving),
    "write with details": Scene("write svc hello -v", stderr="5 bytes sent in N ms\n", server=serving),
    "connect": Scene(
        "connect svc",
        """
> there is no `/x`: `/help` lists what there is, and `//` sends one slash
> < <empty message>
""",
        r"""
connected to \\.\pipe\svc (message, served by PEER); `/help` lists commands, Ctrl+Z Enter ends
""",
        server=serving,
        typed=(b"/x\n",),
    ),
    "serve": Scene(
        "serve svc --reply pong --once",
        stderr=r"""
serving \\.\pipe\svc (message, access: WHO; no network); end with Ctrl+C
TIME  #1   connected  PROCESS
TIME  #1   received   4 bytes: ping
TIME  #1   answered   4 bytes: pong
TIME  #1   left
served 1 client (0 now), 1 message, 4 bytes in, 4 bytes out in N s
""",
        client=True,
    ),
    "transact": Scene(
        "transact svc ping two -v",
        "pong\ntwo\n",
        """
1: 4 bytes sent, 4 received in N ms
2: 3 bytes sent, 3 received in N ms
""",
        server=serving,
    ),
    "peek": Scene(
        "peek svc --timeout 5",
        "00000000  77 65 6c 63 6f 6d 65 0d  0a                       welcome..\n",
        "9 bytes to be read\n",
        server=greeting,
    ),
    "info": Scene(
        "info svc",
        r"""
pipe            \\.\pipe\svc
server pid      1234
server image    C:\Program Files\Svc\svc.exe
server user     NT AUTHORITY\SYSTEM
type            message
direction       duplex
instances       5
max instances   unlimited
rejects remote  yes
access          Network: denied
                SYSTEM: full control
                Users: connect, read and write
""",
        server=serving,
    ),
    "info with all": Scene(
        "info svc -v",
        r"""
pipe              \\.\pipe\svc
type              message
direction         duplex
instances         5
max instances     unlimited
rejects remote    yes
handle read mode  byte
handle wait mode  wait
handle instances  5
server pid        1234
server image      C:\Program Files\Svc\svc.exe
server user       NT AUTHORITY\SYSTEM
server session    0
security owner    Administrators
security access   Network: denied
                  SYSTEM: full control
                  Users: connect, read and write
security sddl     O:BAG:SYD:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;0x12019b;;;BU)
""",
        server=serving,
    ),
    "who": Scene(
        "who svc",
        r"""
1 pipe
pipe  end      pid  program            user    state      note
svc   server  4312  svc.exe (SvcHost)  VM\svc  connected
svc   client  7001                             connected  told by the other end
""",
        r"""
error: \\.\pipe\svc: 1 of 2 instances found: 14 processes may not be looked into
hint: Run it as administrator, or ask the pipe itself, which takes an instance: `pipectl who svc --open`
""",
        exit_code=10,
        server=serving,
    ),
    "state": Scene(
        "state svc",
        r"""
pipe       \\.\pipe\svc
read mode  byte
wait mode  wait
instances  5
""",
        server=serving,
    ),
    "state that is set": Scene(
        "state svc --read-mode message",
        """
state      before  after
read mode  byte    message
wait mode  wait    wait
instances  5       5
""",
        server=serving,
    ),
    "wait": Scene("wait svc", server=serving),
    "wait with details": Scene("wait svc -v", stderr="\\\\.\\pipe\\svc: free, after N s\n", server=serving),
    "wait in vain": Scene(
        "wait svc --for exists --timeout 0.1",
        stderr=r"""
error: \\.\pipe\svc: REASON (ERROR_TIMEOUT, 1460)
hint: Allow more time with `--timeout SECONDS`
""",
        exit_code=6,
    ),
    "client-pid": Scene(
        "client-pid svc --count 1",
        "TIME  #1   connected  PROCESS\n",
        "listening on \\\\.\\pipe\\svc; end with Ctrl+C\n",
        client=True,
    ),
    "list": Scene(
        "list",
        r"""
3 pipes
name                    instances  max instances  pid hint
a\x1b[31m                       2              4
docker_engine                   3      unlimited
dotnet-diagnostic-1234          1              1      1234
""",
    ),
    "popen": Scene("popen --no-stdin -- cmd /c echo hello", "hello\r\n"),
    "popen with details": Scene(
        "popen --no-stdin -v -- cmd /c echo hello",
        "hello\r\n",
        "exit code 0 after N s; 0 bytes to stdin, 7 from stdout, 0 from stderr\n",
    ),
    "wrong usage": Scene(
        "call svc",
        stderr="""
error: nothing to send: give DATA, `-` (stdin), `--data-file FILE` or `--empty`
hint: PowerShell up to 7.2 drops the argument "": use `--empty`
""",
        exit_code=2,
    ),
}


def come(pipe: str) -> None:
    """Call the pipe when it is there; it may hang up."""
    with suppress(PipeClosedError), connect(pipe, 20, wait=Wait.EXISTS) as client:
        client.transact(b"ping", 5)


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
def test_a_person_sees_just_this(
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, background: Background, scene: Scene
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(directory, "list_pipes", lambda: PIPES)
    monkeypatch.setattr(details, "inspect", lambda _pipe: INFO)
    missing = "1 of 2 instances found: 14 processes may not be looked into"
    monkeypatch.setattr(
        who, "who", lambda *_, **__: who.Found([WHO], PartialResultError(missing, pipe=pipe_name, topic="who"))
    )
    states = iter([STATE, {**STATE, "read_mode": "message"} if "--read-mode" in scene.line else STATE])
    monkeypatch.setattr(details, "handle_state", lambda _pipe: next(states))
    streams = Streams(monkeypatch, are_terminals=True)
    streams.connect()
    if scene.typed:
        monkeypatch.setattr("sys.stdin", Stream(is_terminal=True))
        monkeypatch.setattr(stdin, "pieces", lambda: iter(scene.typed))
    if scene.client:
        background(come, pipe_name)
    with scene.server(pipe_name):
        words = [pipe_name if word == "svc" else word for word in scene.line.split()]
        code = cli.run(words, prog_name="pipectl")
    seen = replaced(streams.stdout.text, pipe_name), replaced(streams.stderr.text, pipe_name)
    assert seen == (scene.stdout.removeprefix("\n"), scene.stderr.removeprefix("\n"))
    assert code == scene.exit_code


def test_every_command_has_a_transcript() -> None:
    assert {scene.line.split()[0] for scene in SCENES.values()} == set(COMMANDS) - {"demo", "help"}
