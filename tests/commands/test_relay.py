"""`pipectl relay`: what it refuses, what it says, and how it ends."""

import json
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pipectl.core.constants import Wait, WinError
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.client import Client
from pipectl.core.pipe.config import PipeConfig
from pipectl.core.pipe.connection import connect
from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.descriptors import pipe_security
from pipectl.output import relaylog
from pipectl.output.text import size_in_words
from tests.commands.interruptible import Interruptible
from tests.core.traffic.relaying import relaying
from tests.runner import Background, Pipectl, Running

PATIENCE = 20
Start = Callable[..., Running]


def echo(_client: Client, data: bytes) -> bytes:
    return data


def said(program: Running, word: str) -> str:
    """Wait for a line on stderr."""
    while word not in (line := program.said()):
        pass
    return line


# What is refused


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["svc", "svc"], "same place"),
        (["svc", r"\\.\pipe\SVC"], "same place"),
        (["svc", r"\\localhost\pipe\svc"], "same place"),
        (["tcp:80", "tcp:localhost:80"], "same place"),
        (["-", "stdio"], "same place"),
        (["svc"], "one TARGET"),
        (["svc", "a", "b"], "one TARGET"),
        (["svc", "tcp:99999"], "from 0 to 65535"),
        (["svc", "tcp:"], "from 0 to 65535"),
        (["svc", "tcp:0"], "port 0"),
        (["svc", "foo:bar"], "pipe:foo:bar"),
        (["unix:/x", "svc"], "no kind of place"),
        (["tcp:10.1.2.3:80", "svc"], "other computers"),
        (["tcp:0.0.0.0:80", "svc"], "other computers"),
        (["tcp:0", "svc", "--allow-remote"], "this computer alone"),
        (["svc", "--exec"], "PROGRAM"),
        (["svc", "x", "--linger", "none"], "--linger"),
        (["svc", "x", "--frame", "u32le"], "--frame target:u32le"),
        (["svc", "x", "--frame", "client:u32le"], "--frame target:u32le"),
        (["svc", "x", "--frame", "target:u33"], "u33"),
        (["svc", "x", "--frame", "target:eof"], "another rule"),
        (["svc", "x", "--frame", "target:http"], "another rule"),
        (["svc", "x", "--frame", "listen:idle:1"], "another rule"),
        (["svc", "x", "--frame", "target:u8", "--frame", "target:u8"], "twice"),
        (["svc", "x", "--fault", "dealy=5"], "did you mean `delay`?"),
        (["svc", "x", "--fault", "busy"], "only for a server"),
        (["svc", "x", "--messages", "3"], "--messages"),
        (["svc", "x", "--direction", "in"], "--direction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_line_is_refused_and_says_why(pipectl: Pipectl, line: list[str], words: str) -> None:
    result = pipectl("relay", *line)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert words in result.stderr


def test_a_name_that_is_taken_is_exit_code_5_or_4(pipe_name: str, pipectl: Pipectl) -> None:
    with PipeServer(pipe_name, echo, config=PipeConfig(max_instances=1)):
        result = pipectl("relay", pipe_name, f"{pipe_name}-2", "--instances", "1")
    assert result.exit_code in (4, 5)
    assert "in use" in result.stderr


def test_a_port_that_is_taken_is_exit_code_5(pipe_name: str, pipectl: Pipectl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = pipectl("relay", f"tcp:{server.getsockname()[1]}", pipe_name)
    assert result.exit_code == 5
    assert "netstat" in result.stderr


# What it does


def test_it_takes_the_type_of_the_target(pipe_name: str, running: Start) -> None:
    for is_message in (True, False):
        with PipeServer(f"{pipe_name}-2", echo, config=PipeConfig(is_message=is_message)):
            program = running("relay", pipe_name, f"{pipe_name}-2", "--once")
            assert ("(message" if is_message else "(byte") in said(program, "relaying")
            with connect(pipe_name, PATIENCE) as client:
                assert client.is_message is is_message
                client.send(b"x", PATIENCE)
                assert client.receive(PATIENCE) == b"x"
            assert program.end().exit_code == 0


def test_its_json_counts_what_has_passed(pipe_name: str, running: Start) -> None:
    with PipeServer(f"{pipe_name}-2", echo):
        program = running("relay", pipe_name, f"{pipe_name}-2", "--once", "--json")
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            for message in (b"", b"12345"):
                client.send(message, PATIENCE)
                assert client.receive(PATIENCE) == message
        result = program.end()
    (left,) = [one for one in result.objects if one["event"] == "left"]
    assert (left["ended_by"], left["to_target"], left["to_client"]) == (
        "client",
        {"bytes": 5, "messages": 2},
        {"bytes": 5, "messages": 2},
    )
    assert json.loads(result.stderr.splitlines()[-1])["note"].startswith("relayed 1 client (0 now), 5 bytes to")


@pytest.mark.parametrize(("side", "is_message"), [("listen", False), ("target", True)])
def test_the_side_with_frames_is_no_message_pipe(pipe_name: str, running: Start, side: str, is_message: bool) -> None:
    with PipeServer(f"{pipe_name}-2", echo, config=PipeConfig(is_message=not is_message)):
        program = running("relay", pipe_name, f"{pipe_name}-2", "--once", "--frame", f"{side}:u16be")
        assert ("(message" if is_message else "(byte") in said(program, "relaying")
        with connect(pipe_name, PATIENCE) as client:
            sent = b"ab" if is_message else b"\0\2ab"
            client.send(sent, PATIENCE)
            assert client.receive(PATIENCE) == sent
        assert program.end().exit_code == 0


def test_half_a_frame_is_exit_code_10_and_counted(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    line = ["relay", pipe_name, f"{pipe_name}-2", "--once", "--frame", "listen:u32le", "--json"]
    with PipeServer(f"{pipe_name}-2", echo):
        done = background(pipectl, *line)
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            client.send(b"\1\0\0\0a\x10\0\0\0abc", PATIENCE)
            assert client.receive(PATIENCE) == b"\1\0\0\0a"
        result = done.result(PATIENCE)
    assert result.exit_code == 10
    (left,) = [one for one in result.objects if one["event"] == "left"]
    assert (left["to_target"]["bytes"], left["to_target"]["dropped"]) == (1, 7)
    assert "within a frame" in left["error"]


@pytest.mark.parametrize(
    ("silence", "is_answered", "is_told"), [(0.052, False, True), (0.052, True, False), (0.2, False, False)]
)
def test_the_log_names_node_where_a_client_leaves_as_it_does(
    pipe_name: str, silence: float, is_answered: bool, is_told: bool
) -> None:
    with PipeServer(f"{pipe_name}-2", echo), relaying(pipe_name, f"{pipe_name}-2") as (_, told):
        with connect(pipe_name, PATIENCE) as client:
            assert client.transact(b"x", PATIENCE) == b"x"
        session = told.end()
    session.silence = silence
    if not is_answered:
        session.last_from = session.client
    assert ("0.052 s after its last data, like Node.js" in relaylog.in_words(session, 1.0)) is is_told


def test_a_free_port_is_chosen_and_told(pipe_name: str, running: Start) -> None:
    with PipeServer(pipe_name, echo):
        program = running("relay", "tcp:0", pipe_name, "--once", "--allow", "everyone", "--json")
        place = json.loads(program.wrote())["listen"]
        with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), PATIENCE) as client:
            client.sendall(b"x")
            assert client.recv(10) == b"x"
            client.shutdown(socket.SHUT_WR)
            assert client.recv(10) == b""
        assert program.end().exit_code == 0


def test_stdin_and_stdout_are_one_client(pipe_name: str, pipectl_process: Pipectl) -> None:
    messages: list[bytes] = []

    def answer(client: Client, data: bytes) -> bytes | None:
        messages.append(data)
        if data:
            return data.upper()
        client.close()
        return None

    with PipeServer(pipe_name, answer):
        result = pipectl_process("relay", "-", pipe_name, stdin=b"some text\x00\xff\r\n")
    assert (result.exit_code, result.stdout) == (0, b"SOME TEXT\x00\xff\r\n")
    assert messages[-1] == b""


def test_stdio_to_what_is_not_there_is_exit_code_3(pipe_name: str, pipectl_process: Pipectl) -> None:
    result = pipectl_process("relay", "-", pipe_name, stdin=b"x")
    assert (result.exit_code, result.stdout) == (3, b"")


def test_a_client_may_be_relayed_to_stdout(pipe_name: str, running: Start) -> None:
    program = running("relay", pipe_name, "-", "--type", "message")
    said(program, "relaying")
    with connect(pipe_name, PATIENCE) as client:
        client.send(b"to stdout\n", PATIENCE)
        program.tell("from stdin")
        assert client.receive(PATIENCE) == b"from stdin\n"
        assert program.wrote() == b"to stdout\n"
    assert program.end().exit_code == 0


def test_a_program_knows_the_client_and_its_stderr_is_seen(pipe_name: str, running: Start) -> None:
    import os

    text = "import os, sys; print(os.environ['PIPECTL_CLIENT_PID'], flush=True); print('a word', file=sys.stderr)"
    program = running("relay", pipe_name, "--once", "--exec", sys.executable, "-c", text)
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        assert int(client.receive(PATIENCE)) == os.getpid()
    result = program.end()
    assert "a word" in result.stderr
    assert "exit code 0" in result.text


def test_a_missing_program_is_warned_of_and_ends_only_the_client(pipe_name: str, running: Start) -> None:
    program = running("relay", pipe_name, "--exec", "pipectl-no-such-program")
    assert "is not found" in said(program, "warning")
    for _ in range(2):
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            client.send(b"x", PATIENCE)
            with pytest.raises(PipeClosedError):
                client.receive(PATIENCE)


def test_ctrl_c_ends_it_and_leaves_what_was_written(pipe_name: str) -> None:
    with PipeServer(f"{pipe_name}-2", echo):
        program = Interruptible(pipe_name, "relay", pipe_name, f"{pipe_name}-2")
        try:
            with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
                client.send(b"one", PATIENCE)
                assert client.receive(PATIENCE) == b"one"
                result = program.interrupt()
                with pytest.raises(PipeClosedError):
                    client.receive(PATIENCE)
        finally:
            program.kill()
    assert "ended by the relay" in result.text
    assert "relayed 1 client (0 now), 3 bytes to the target, 3 bytes back" in result.stderr


def test_ctrl_c_ends_many_clients_with_every_byte_delivered(pipe_name: str, many: int) -> None:
    with PipeServer(f"{pipe_name}-2", echo), ExitStack() as stack:
        program = Interruptible(pipe_name, "relay", pipe_name, f"{pipe_name}-2", "--log", "none")
        stack.callback(program.kill)
        clients = [stack.enter_context(connect(pipe_name, PATIENCE, wait=Wait.EXISTS)) for _ in range(many)]
        for number, client in enumerate(clients):
            client.send(b"%04d" % number, PATIENCE)
        assert [client.receive(PATIENCE) for client in clients] == [b"%04d" % number for number in range(many)]
        result = program.interrupt(within=5)  # under Wine, mostly CancelIoEx
        for client in clients:
            with pytest.raises(PipeClosedError):
                client.receive(PATIENCE)
    size = size_in_words(4 * many)
    assert f"relayed {many:,} clients (0 now), {size} to the target, {size} back" in result.stderr


def test_a_target_that_is_killed_ends_its_client_and_not_the_relay(pipe_name: str, running: Start) -> None:
    relay = running("relay", pipe_name, f"{pipe_name}-2", "--type", "message")
    said(relay, "relaying")
    for number in (1, 3):  # between them, one without a target
        target = running("serve", f"{pipe_name}-2")
        said(target, "serving")
        with connect(pipe_name, PATIENCE) as client:
            assert client.transact(b"x", PATIENCE) == b"x"
            # Killed while it asks who its client is, it could leave Wine's service manager unable to accept callers.
            assert b"connected" in target.wrote()
            target.kill()
            with pytest.raises(PipeClosedError):
                client.receive(PATIENCE)
        assert b"connected" in relay.wrote()
        left = relay.wrote()
        assert b"#%d   left       ended by the target" % number in left
        assert f"the server, process {target.pid}, has ended with exit code 1".encode() in left
        with connect(pipe_name, PATIENCE) as client, pytest.raises(PipeClosedError):
            client.receive(PATIENCE)  # nobody serves the target now
        assert b"connected" in relay.wrote()
        assert b"ERROR_FILE_NOT_FOUND" in relay.wrote()


@pytest.mark.parametrize("command", ["relay", "tap"])
def test_once_ends_in_7_if_the_target_is_killed_and_its_last_words_are_delivered(
    pipe_name: str, running: Start, command: str
) -> None:
    target = running("serve", f"{pipe_name}-2")
    said(target, "serving")
    line = (
        ["relay", pipe_name, f"{pipe_name}-2"] if command == "relay" else ["tap", f"{pipe_name}-2", "--on", pipe_name]
    )
    program = running(*line, "--once")
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        assert client.transact(b"first words", PATIENCE) == b"first words"
        client.send(b"last words", PATIENCE)
        client.await_data(1, PATIENCE)
        target.kill()
        result = program.end()
        assert result.exit_code == 7
        assert f"process {target.pid}, has ended with exit code 1" in result.stderr
        assert client.receive(PATIENCE) == b"last words"
        with pytest.raises(PipeClosedError) as caught:
            client.receive(PATIENCE)
        assert caught.value.code == WinError.BROKEN_PIPE  # as without a relay


@pytest.mark.parametrize("is_killed", [True, False])
def test_stdio_ends_in_7_only_if_the_target_is_killed(pipe_name: str, running: Start, is_killed: bool) -> None:
    target = running("serve", pipe_name, *(() if is_killed else ("--fault", "close=after")))
    said(target, "serving")
    relay = running("relay", "-", pipe_name)
    relay.tell("x")
    assert relay.wrote() == b"x\n"
    if is_killed:
        target.kill()
    assert relay.end().exit_code == (7 if is_killed else 0)


def test_once_ends_in_the_code_of_the_clients_error(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    done = background(pipectl, "relay", pipe_name, f"{pipe_name}-2", "--once")
    with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
        client.send(b"half a message", PATIENCE)
    result = done.result(PATIENCE)
    assert result.exit_code == 3
    assert "14 bytes to the target lost" in result.text


# Faults


def test_a_fault_is_announced_with_its_seed_and_logged(pipe_name: str, running: Start) -> None:
    with PipeServer(f"{pipe_name}-2", echo):
        program = running("relay", pipe_name, f"{pipe_name}-2", "--once", "--fault", "drop", "--seed", "7")
        assert "faults: drop; `--seed 7` repeats them" in said(program, "faults")
        with connect(pipe_name, PATIENCE) as client:
            client.send(b"x", PATIENCE)
            assert b"connected" in program.wrote()
            assert b"drop (from the target)" in program.wrote()
        assert program.end().exit_code == 0


def test_its_json_has_each_fault_with_its_side(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
    faults = ("--fault", "truncate=1", "--fault", "close", "--fault-from", "both")
    with PipeServer(f"{pipe_name}-2", echo):
        done = background(pipectl, "relay", pipe_name, f"{pipe_name}-2", "--once", "--json", *faults)
        with connect(pipe_name, PATIENCE, wait=Wait.EXISTS) as client:
            client.send(b"abc", PATIENCE)
            with pytest.raises(PipeClosedError):
                client.receive(PATIENCE)
        result = done.result(PATIENCE)
    told = [(one["from"], one["fault"], one["value"]) for one in result.objects if one["event"] == "fault"]
    assert told == [("client", "truncate", "1"), ("client", "close", "after")]
    assert result.objects[-1]["to_target"] == {"bytes": 1, "messages": 1}


# Who is let in


def test_whoever_is_let_in_beyond_the_target_is_named(pipe_name: str, running: Start) -> None:
    security = pipe_security(["sddl:D:(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;IU)"])
    with PipeServer(f"{pipe_name}-2", echo, config=PipeConfig(security=security.attributes)):
        for allow, is_wider in (("users", True), ("me", False)):
            program = running("relay", pipe_name, f"{pipe_name}-2", "--allow", allow)
            lines = [program.said()]
            while "relaying" not in lines[-1]:
                lines.append(program.said())
            warned = [line for line in lines if "can reach it through pipectl" in line]
            assert bool(warned) is is_wider
            assert not is_wider or "Users" in warned[0]
            program.kill()


@pytest.mark.parametrize(("owner", "is_foreign"), [("S-1-5-21-9-9-9-1001", True), ("SY", False)])
def test_a_target_of_another_user_is_warned_of(pipe_name: str, running: Start, owner: str, is_foreign: bool) -> None:
    security = pipe_security([f"sddl:O:{owner}D:(A;;GA;;;WD)"])
    with PipeServer(f"{pipe_name}-2", echo, config=PipeConfig(security=security.attributes)):
        for expected in ([], ["--expect-pid", "1"]):
            program = running("relay", pipe_name, f"{pipe_name}-2", *expected)
            lines = [program.said()]
            while "relaying" not in lines[-1]:
                lines.append(program.said())
            assert any("is served by S-1-5-21-9" in line for line in lines) is (is_foreign and not expected)
            program.kill()


def test_a_caller_by_tcp_that_is_not_known_is_refused(pipe_name: str, running: Start) -> None:
    """On Windows this process is known, and let in."""
    with PipeServer(pipe_name, echo):
        program = running("relay", "tcp:0", pipe_name, "--json")
        place = json.loads(program.wrote())["listen"]
        with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), PATIENCE) as client:
            client.sendall(b"x")
            try:
                answer = client.recv(10)
            except ConnectionError:
                answer = b""
        assert answer == b"x" or "refused a client" in said(program, "warning")
