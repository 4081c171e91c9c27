"""What a person sees of each command on a terminal of 80 columns, from its first line to its last.

What differs from run to run is replaced by words in capitals.

All of it is what the commands say of real pipes and programs, but for seven parts, whose facts patches make up; only
words, order and tables are real there:

* `list`, and hints at near names: PIPES, because Wine cannot list its pipes and no two systems have the same.
* `info`: INFO, because the user, the program, the access list and the number of instances differ from run to run.
* `who`: WHO, for the same reason.
* `selftest`: what it says of the system, which is left out.
* `doctor`: DENIED, because Wine lets everyone in.
* `audit`: AUDITED, because Wine lets no server reject other computers, and has no services.
* `state`: STATE, because Wine has collection values and a user's name where Windows has none; with `--read-mode`, the
  state after the change is made up too.

Whether the facts are true is asked in test_list.py, test_info.py, test_who.py, test_doctor.py,
test_audit.py and test_state.py.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from pipectl.cli import cli
from pipectl.commands import COMMANDS
from pipectl.core.checks import audit, doctor_facts, system
from pipectl.core.checks.audit_rules import Facts as AuditFacts
from pipectl.core.checks.audit_rules import Server
from pipectl.core.checks.doctor import diagnose
from pipectl.core.checks.doctor_model import Facts, Opening
from pipectl.core.codecs.base import Side
from pipectl.core.constants import Wait
from pipectl.core.errors import PartialResultError, PipeClosedError
from pipectl.core.inventory import details, directory, who
from pipectl.core.inventory.holders import End, Holders
from pipectl.core.inventory.processlist import ListedProcess
from pipectl.core.models import LocalInfo, PipeEntry, Process
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.recording.recording import Closed, Event, Header, Opened, Said, event_line, header_line
from pipectl.core.security.access_check import Elevation, Integrity, Token
from pipectl.core.security.sddl import parse
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
DENIED = Facts(
    r"\\.\pipe\svc",
    token=Token(
        user="S-1-5-21-1-2-3-1001",
        groups=frozenset(("S-1-1-0", "S-1-5-11")),
        deny_only=frozenset(("S-1-5-32-544",)),
        integrity=Integrity.MEDIUM,
        elevation=Elevation.LIMITED,
    ),
    is_there=True,
    is_free=True,
    holders=Holders(
        "svc", 3, None, 3, is_complete=True, ends=[End("svc", 4312, True, 4, state="listening", server_pid=4312)] * 3
    ),
    processes={4312: Process(4312, r"C:\Svc\svc.exe", r"NT AUTHORITY\SYSTEM", 0, ("SvcHost",))},
    running={4312: ListedProcess(4312, 4, "svc.exe", 0, 0)},
    local=LocalInfo(True, True, "duplex", None, 3, 65536, 0, 65536, 0, "listening", True),
    descriptor=parse("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x120089;;;WD)"),
    accounts={"S-1-5-21-1-2-3-1001": r"VM\user"},
    opening=Opening(5),
)
AUDITED = audit.Gathered(
    [
        AuditFacts(
            name,
            parse(sddl),
            (Server(Process(4312, r"C:\Svc\svc.exe"), Token(user="S-1-5-18", integrity=Integrity.SYSTEM)),),
            rejects_remote=name != "updates",
        )
        for name, sddl in (
            ("svc", "O:SYD:P(A;;GA;;;SY)(A;;GRGW;;;WD)"),
            ("updates", "O:SYD:P(A;;GA;;;SY)(A;;0x12019b;;;BU)"),
            ("safe", "O:SYD:P(A;;GA;;;SY)"),
        )
    ]
    + [AuditFacts("other")]
)
RECORDED: tuple[Event, ...] = (
    Opened(0.0, 1, {"pid": 1, "image": "python.exe", "user": "u"}),
    Said(0.001, 1, Side.CLIENT, b"ping"),
    Said(0.002, 1, Side.SERVER, b"pong"),
    Closed(0.003, 1, "client"),
)
PIPES = [PipeEntry("docker_engine", 3, None), PipeEntry("dotnet-diagnostic-1234", 1, 1), PipeEntry("a\x1b[31m", 2, 4)]


def replaced(text: str, pipe: str) -> str:
    """Put words for what differs."""
    for pattern, word in (
        (re.escape(pipe), r"\\\\.\\pipe\\svc"),
        (re.escape(pipe.rpartition("\\")[2]), "svc"),
        (r"\d\d:\d\d:\d\d\.\d{3}", "TIME"),
        (r"served by pid [^)]+", "served by PEER"),
        (r"pid \d+, python\.exe, .+", "PROCESS"),
        (r"(?m)^(#\d+ +[<>]) +[+\d.ms]+", r"\1 TIME"),
        (r"\d+(\.\d+)?(e-\d+)? (ms|s)\b", r"N \3"),
        (r"\d+\.\dms\b", "Nms"),
        (r"(?m)^(seconds +)[\d.]+$", r"\1N"),
        (r"(?m)^(latency \S+ +|throughput +).+$", r"\1N"),
        (r"process \d+ \(python\.exe\)", "PROCESS"),
        (r"(?<=: )[^:\n]+ \(ERROR", "REASON (ERROR"),
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
waiting for the reply of \\.\pipe\svc; press Ctrl+C to stop
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
hint: See which pipes exist: `pipectl list`
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
> unknown command `/x`: `/help` lists the commands; write `//` for a slash at the beginning
> < <empty message>
""",
        r"""
connected to \\.\pipe\svc (message, served by PEER); `/help` lists commands, Ctrl+Z Enter exits
""",
        server=serving,
        typed=(b"/x\n",),
    ),
    "serve": Scene(
        "serve svc --reply pong --once",
        stderr=r"""
serving \\.\pipe\svc (message, access: WHO; no network); press Ctrl+C to stop
TIME  #1   connected  PROCESS
TIME  #1   received   4 bytes: ping
TIME  #1   answered   4 bytes: pong
TIME  #1   left
served 1 client (0 now), 1 message, 4 bytes in, 4 bytes out in N s
""",
        client=True,
    ),
    "relay": Scene(
        "relay svc tcp:1 --once",
        stderr=r"""
relaying \\.\pipe\svc (message, access: WHO; no network) to tcp:127.0.0.1:1; press Ctrl+C to stop
TIME  #1   connected  PROCESS
TIME  #1   left       ended by the target after N s, 0 bytes to the target, 0 bytes back, 4 bytes to the target lost: ConnectEx on tcp:127.0.0.1:1: REASON (ERROR_CONNECTION_REFUSED, 1225)
relayed 1 client (0 now), 0 bytes to the target, 0 bytes back in N s
error: ConnectEx on tcp:127.0.0.1:1: REASON (ERROR_CONNECTION_REFUSED, 1225)
hint: Nothing listens there: `netstat -ano` shows what does
""",  # noqa: E501
        exit_code=3,
        client=True,
    ),
    "tap": Scene(
        "tap svc --to svc-moved --once --codec lines --timing",
        r"""
request  replies  median  longest
ping           1  Nms   Nms
""",
        r"""
tapping \\.\pipe\svc -> \\.\pipe\svc-moved (message, access: WHO; no network); press Ctrl+C to stop
#1  connected  PROCESS
#1  > TIME  ping
#1  < TIME  pong
#1  closed by the client after Nms: 1 answered, median Nms, longest Nms
relayed 1 client (0 now), 4 bytes to the target, 4 bytes back in N s
""",
        server=lambda pipe: serving(f"{pipe}-moved"),
        client=True,
    ),
    "replay": Scene(
        "replay rec.jsonl --call svc --codec none", "conversation 1: 2 messages, as recorded\n", server=serving
    ),
    "replay that differs": Scene(
        "replay rec.jsonl --call svc --codec none",
        stderr="""
error: conversation 1, message 1: the server said something else
--- recorded
+++ now
@@ -1 +1 @@
-pong
+ping
hint: Compare less: `--match codec`, `--match kind`, or leave out what always differs: `--ignore FIELD`
""",
        exit_code=12,
        server=lambda pipe: PipeServer(pipe, lambda _client, data: data, events=reporting()),
    ),
    "decode": Scene(
        "decode rec.jsonl",
        """
#1  connected  PROCESS
#1  > TIME  ping
#1  < TIME  pong
#1  closed by the client after Nms: 1 answered, median Nms, longest Nms
""",
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
    "selftest": Scene(
        "selftest --only W12",
        """
id   verdict  answer                             note  claim
W12  holds    2 231 230 234 232 233 109 535 536        Nine situations return the codes that pipectl's errors stand for.
""",
        "1 hold\n",
    ),
    "who": Scene(
        "who svc",
        r"""
1 pipe
pipe  end      pid  program            user    state      note
svc   server  4312  svc.exe (SvcHost)  VM\svc  connected
svc   client  7001                             connected  reported by peer
""",
        r"""
error: \\.\pipe\svc: 1 of 2 instances found: 14 processes could not be inspected
hint: Use an elevated prompt, or query the pipe itself, which uses an instance: `pipectl who svc --open`
""",
        exit_code=10,
        server=serving,
    ),
    "bench": Scene(
        "bench svc ping --count 5 --warmup 0 --no-floor",
        """
exchanges      5 in N s
throughput     N
data           20 bytes sent, 20 bytes received
latency min    N
latency p50    N
latency p90    N
latency p99    N
latency p99.9  N
latency max    N
latency mean   N
""",
        r"""
warning: the server of \\.\pipe\svc, PROCESS, gets real requests, as fast as it replies
closed loop: a stall of the server delays the requests that would have measured it (coordinated omission); `--rate` measures it
""",  # noqa: E501
        server=serving,
    ),
    "watch": Scene(
        "watch docker_engine --initial --count 1",
        "TIME  present    docker_engine  3 instances\n",
    ),
    "doctor": Scene(
        "doctor svc",
        r"""
name    ok       \\.\pipe\svc
place   ok       this computer
exists  ok       3 instances, no limit
server  ok       process 4312, svc.exe, service SvcHost, NT AUTHORITY\SYSTEM
access  PROBLEM  you (VM\user, medium integrity, not elevated) may read but not write
                   1 SYSTEM: full control (another account's)
                   2 Administrators: full control (applies only to deny: not elevated)
                   3 Everyone: read (applies)
room    ok       an instance is free
flow    ok       the server has no unread data
open    note     denied; see the check `access` (ERROR_ACCESS_DENIED, 5)
kind    ok       a message pipe
verdict: access denied: only administrators may read and write, and this process is not elevated
fix: Run the program as administrator: `powershell Start-Process powershell -Verb RunAs`
suggested access list: D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x120089;;;WD)(A;;0x12019b;;;S-1-5-21-1-2-3-1001)
""",
        exit_code=5,
    ),
    "doctor of a pipe that is not there": Scene(
        "doctor svc --no-open",
        r"""
name    ok       \\.\pipe\svc
place   ok       this computer
exists  PROBLEM  there is no such pipe
verdict: there is no such pipe
fix: See which pipes exist: `pipectl list`
""",
        exit_code=3,
    ),
    "audit": Scene(
        "audit",
        r"""
2 findings
severity  rule  pipe     why
high      P003  svc      Everyone may create instances and reply in the server's name
medium    P005  updates  Users may write, also from other computers
""",
        """
`pipectl help audit P003` explains the rule, and how to fix what it finds
3 pipes judged: 2 findings of severity medium or higher; 4 others (-v shows them)
warning: 1 pipe not judged, because the ACL cannot be read: use an elevated prompt, or `--open`
""",
        exit_code=12,
    ),
    "audit that finds nothing": Scene(
        "audit svc --severity critical",
        stderr="""
3 pipes judged: 0 findings of severity critical; 6 others (-v shows them)
warning: 1 pipe not judged, because the ACL cannot be read: use an elevated prompt, or `--open`
""",
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
        "listening on \\\\.\\pipe\\svc; press Ctrl+C to stop\n",
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
    pipe_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, background: Background, scene: Scene
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(directory, "list_pipes", lambda: PIPES)
    monkeypatch.setattr(details, "inspect", lambda _pipe: INFO)
    monkeypatch.setattr(system, "facts", dict)
    missing = "1 of 2 instances found: 14 processes could not be inspected"
    monkeypatch.setattr(
        who, "who", lambda *_, **__: who.Found([WHO], PartialResultError(missing, pipe=pipe_name, topic="who"))
    )
    monkeypatch.setattr(audit, "gather", lambda *_, **__: AUDITED)
    if scene.line == "doctor svc":
        monkeypatch.setattr(doctor_facts, "examine", lambda *_: diagnose(DENIED))
    monkeypatch.chdir(tmp_path)
    Path("rec.jsonl").write_bytes(
        header_line(Header(is_message=True, codec="lines")) + b"".join(map(event_line, RECORDED))
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
        words = [re.sub(r"^svc(?=-moved$|$)", lambda _: pipe_name, word) for word in scene.line.split()]
        code = cli.run(words, prog_name="pipectl")
    seen = replaced(streams.stdout.text, pipe_name), replaced(streams.stderr.text, pipe_name)
    assert seen == (scene.stdout.removeprefix("\n"), scene.stderr.removeprefix("\n"))
    assert code == scene.exit_code


def test_every_command_has_a_transcript() -> None:
    assert {scene.line.split()[0] for scene in SCENES.values()} == set(COMMANDS) - {"demo", "help"}
