"""The output of `--json` matches the schemas in docs/schema, for every command and for errors."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipectl.commands import COMMANDS
from tests import schema
from tests.runner import Background, Holding, Pipectl

FILES = sorted(path.name for path in schema.DIRECTORY.glob("*.json"))


def check(name: str, objects: list[dict[str, Any]]) -> None:
    assert objects
    for one in objects:
        assert schema.errors(one, schema.load(f"{name}.schema.json")) == []


def test_every_command_with_objects_of_its_own_has_a_schema() -> None:
    others = {"common", "error", "message", "recording"}
    assert {file.removesuffix(".schema.json") for file in FILES} == {*COMMANDS, *others} - {"demo", "help"}


def test_the_documentation_names_every_schema() -> None:
    text = (schema.DIRECTORY.parent / "json.md").read_text(encoding="utf-8")
    assert set(re.findall(r"schema/([\w.-]+\.json)", text)) == set(FILES)


def test_the_examples_of_the_documentation_fit() -> None:
    text = (schema.DIRECTORY.parent / "json.md").read_text(encoding="utf-8")
    examples = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert examples
    for line in "".join(examples).splitlines():
        one = json.loads(line)
        fitting = [file for file in FILES if file != "common.schema.json" and not schema.errors(one, schema.load(file))]
        assert fitting, line


@pytest.mark.parametrize("file", FILES)
def test_every_schema_is_closed(file: str) -> None:
    """An object with properties must not allow others, so that tests notice new ones."""

    def objects(part: Any) -> list[dict[str, Any]]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        found = [one for value in inner for one in objects(value)]
        return [part, *found] if isinstance(part, dict) and part.get("type") == "object" else found

    assert all(one["additionalProperties"] is False for one in objects(schema.load(file)))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"schema": 2, "pipe": "x", "is": "free", "seconds": 0},
        {"schema": 1, "pipe": "x", "is": "busy", "seconds": 0},
        {"schema": 1, "pipe": "x", "is": "free", "seconds": "0"},
        {"schema": 1, "pipe": "x", "is": "free", "seconds": True},
        {"schema": 1, "pipe": "x", "is": "free", "seconds": -1},
        {"schema": 1, "pipe": "x", "is": "free", "seconds": 0, "more": 1},
    ],
    ids=str,
)
def test_what_does_not_fit_is_noticed(wrong: dict[str, Any]) -> None:
    assert schema.errors(wrong, schema.load("wait.schema.json"))


def test_errors_of_usage_fit(pipectl: Pipectl) -> None:
    check("error", [{"schema": 1, "error": pipectl("call", "--json").error}])


if sys.platform == "win32":
    from pipectl.core.constants import Wait
    from pipectl.core.errors import PipeClosedError
    from pipectl.core.inventory import details, directory
    from pipectl.core.models import PipeEntry
    from pipectl.core.pipe.client import Client
    from pipectl.core.pipe.config import PipeConfig
    from pipectl.core.pipe.connection import connect
    from pipectl.core.pipe.server import PipeServer
    from pipectl.core.security.descriptors import pipe_security
    from tests.pipes import reporting

    def echo(_client: Client, data: bytes) -> bytes:
        return data

    @pytest.mark.parametrize("data", ["text", "ff"])
    @pytest.mark.parametrize(
        ("command", "options"),
        [
            ("call", []),
            ("call", ["--native"]),
            ("transact", []),
        ],
        ids=["call", "native", "transact"],
    )
    def test_replies_fit(pipe_name: str, pipectl: Pipectl, command: str, options: list[str], data: str) -> None:
        as_hex = ["--hex"] if data == "ff" else []
        with PipeServer(pipe_name, echo):
            check(command, pipectl(command, pipe_name, data, *as_hex, "--json", *options).objects)

    @pytest.mark.parametrize("line", [["peek"], ["state"], ["state", "--wait-mode", "nowait"], ["info"], ["wait"]])
    def test_what_is_seen_of_a_pipe_fits(pipe_name: str, pipectl: Pipectl, line: list[str]) -> None:
        with PipeServer(pipe_name, echo):
            check(line[0], [pipectl(line[0], pipe_name, *line[1:], "--json").object])

    def test_what_happens_to_pipes_fits(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
        looks = [[], [PipeEntry("a", 1, 1)], [PipeEntry("pgsignal_42", 2, None)], [PipeEntry("a", 2, 1)], [], [], []]
        ahead = [looks[0], *looks, looks[1]]
        monkeypatch.setattr(directory, "list_pipes", lambda: ahead.pop(0) if len(ahead) > 1 else ahead[0])
        found = pipectl("watch", "--who", "--count", "6", "--interval", "10ms", "--json").objects
        check("watch", found)
        assert {one["event"] for one in found} == {"appeared", "instances", "gone"}

    @pytest.mark.parametrize("options", [[], ["--rate", "100"], ["--new-connection"], ["--until", "bytes:64"]], ids=str)
    def test_a_measurement_fits(pipe_name: str, pipectl: Pipectl, options: list[str]) -> None:
        with PipeServer(pipe_name, echo):
            check("bench", pipectl("bench", pipe_name, "--count", "9", *options, "--json").objects)

    def test_what_is_received_and_sent_fits(pipe_name: str, pipectl: Pipectl, pipectl_process: Pipectl) -> None:
        greeting = reporting(connected=lambda _client: b"\xff")
        with PipeServer(pipe_name, echo, events=greeting):
            check("read", pipectl("read", pipe_name, "--count", "1", "--json").objects)
            check("write", pipectl("write", pipe_name, "x", "--json").objects)
            check("connect", pipectl_process("connect", pipe_name, "--json", stdin=b"x").objects)

    def test_who_holds_a_pipe_fits(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
        with PipeServer(pipe_name, echo), connect(pipe_name):
            check("who", [pipectl("who", pipe_name, "--json").object])
        parent, _ = holding("bequeath", pipe_name)
        parent.crash()
        other, _ = holding("listen", pipe_name, "2")
        holding("listen", pipe_name, "1")
        found = pipectl("who", pipe_name, "--json").object
        check("who", [found])
        assert [warning["kind"] for warning in found["warnings"]] == ["server-ended", "several-servers"]
        assert other.pid in found["warnings"][1]["pids"]

    @pytest.mark.parametrize("options", [[], ["--as", "users"], ["--serve"], ["--no-open", "--type", "byte"]], ids=str)
    def test_a_diagnosis_fits(pipe_name: str, pipectl: Pipectl, options: list[str]) -> None:
        check("doctor", [pipectl("doctor", pipe_name, *options, "--json").object])
        with PipeServer(pipe_name, echo, config=PipeConfig(security=pipe_security(["me"]).attributes)):
            check("doctor", [pipectl("doctor", pipe_name, *options, "--json").object])

    def test_an_audit_fits(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
        holding("secured", pipe_name, "D:(A;;GA;;;WD)", "1")
        objects = pipectl("audit", pipe_name, "--json").objects
        check("audit", objects)
        assert {one.get("rule") for one in objects} >= {"P003", None}

    @pytest.mark.parametrize("is_listed", [True, False])
    def test_what_is_seen_without_opening_fits(
        pipe_name: str, pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch, is_listed: bool
    ) -> None:
        name = pipe_name.rpartition("\\")[2]
        monkeypatch.setattr(details, "known_pipes", lambda: [PipeEntry(name, 1, None)] if is_listed else [])
        with PipeServer(pipe_name, echo):
            check("info", [pipectl("info", pipe_name, "--no-open", "--json").object])

    def test_the_pipes_of_a_list_fit(pipectl: Pipectl, monkeypatch: pytest.MonkeyPatch) -> None:
        entries = [PipeEntry("a", 1, None), PipeEntry("pgsignal_42", 3, 3)]
        monkeypatch.setattr(directory, "list_pipes", lambda: entries)
        check("list", pipectl("list", "--json").objects)

    def test_the_events_of_a_server_fit(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
        result = background(pipectl, "serve", pipe_name, "--count", "2", "--max-message", "9", "--json")
        for data in (b"text", bytes(10)):
            with connect(pipe_name, 10, wait=Wait.EXISTS) as client:
                client.send(data, 5)
                if data == b"text":
                    client.receive(5)
        objects = result.result(20).objects
        check("serve", objects)
        assert {one["event"] for one in objects} == {"listening", "connected", "received", "answered", "left"}

    def test_the_faults_of_a_server_fit(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
        faults = ("--fault", "drop", "--fault", "close=before", "--seed", "7")
        result = background(pipectl, "serve", pipe_name, "--once", "--json", *faults)
        with connect(pipe_name, 10, wait=Wait.EXISTS) as client, pytest.raises(PipeClosedError):
            client.transact(b"text", 5)
        objects = result.result(20).objects
        check("serve", objects)
        told = [(one["fault"], one.get("value")) for one in objects if one["event"] == "fault"]
        assert told == [("drop", None), ("close", "before")]

    def test_the_events_of_a_server_with_rules_fit(
        pipe_name: str, pipectl: Pipectl, background: Background, tmp_path: Path
    ) -> None:
        path = tmp_path / "rules.toml"
        path.write_text(
            'version = 1\ncodec = "json-lines"\n[[rule]]\nname = "a"\nwhen.json = { "/a" = 1 }\nreply.json = []\n',
            encoding="utf-8",
        )
        result = background(pipectl, "serve", pipe_name, "--rules", str(path), "--once", "--json", "--watch")
        with connect(pipe_name, 10, wait=Wait.EXISTS) as client:
            assert client.transact(b'{"a": 1}\n', 5) == b"[]\n"
            path.write_text(path.read_text(encoding="utf-8").replace("[]", "[1]"), encoding="utf-8")
            while client.transact(b'{"a": 1}\n', 5) == b"[]\n":
                pass
            client.send(b'{"b": 1}\nno json\n', 5)
        objects = result.result(20).objects
        check("serve", objects)
        events = {one["event"] for one in objects}
        assert events >= {"matched", "unmatched", "invalid", "reloaded"}
        check("serve", pipectl("serve", pipe_name, "--rules", str(path), "--check", "--json").objects)

    def test_the_events_of_a_relay_fit(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
        with PipeServer(f"{pipe_name}-2", echo, config=PipeConfig(is_message=False)):
            result = background(
                pipectl, "relay", pipe_name, f"{pipe_name}-2", "--count", "2", "--type", "message", "--json"
            )
            for data in (b"", b"text"):
                with connect(pipe_name, 10, wait=Wait.EXISTS) as client:
                    client.send(data, 5)
                    client.send(b"x", 5)
                    client.receive(5)
        objects = result.result(20).objects
        check("relay", objects)
        told = [(one["event"], one.get("client")) for one in objects]

        assert told[0] == ("listening", None)
        for who in (1, 2):  # the second may connect before the first is reported to leave
            assert [event for event, number in told if number == who] == ["connected", "left"]

    def test_the_faults_of_a_relay_fit(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
        with PipeServer(f"{pipe_name}-2", echo):
            line = ["relay", pipe_name, f"{pipe_name}-2", "--once", "--fault", "drop", "--fault", "close=before"]
            result = background(pipectl, *line, "--json")
            with connect(pipe_name, 10, wait=Wait.EXISTS) as client, pytest.raises(PipeClosedError):
                client.transact(b"text", 5)
        objects = result.result(20).objects
        check("relay", objects)
        assert [one["event"] for one in objects] == ["listening", "connected", "fault", "fault", "left"]

    def test_what_an_eager_relay_tells_of_its_target_fits(
        pipe_name: str, pipectl: Pipectl, background: Background
    ) -> None:
        line = ["relay", pipe_name, f"{pipe_name}-2", "--eager", "--once", "--type", "message", "--json"]
        result = background(pipectl, *line)
        time.sleep(0.3)  # so that the target does not exist at the start
        with PipeServer(f"{pipe_name}-2", echo), connect(pipe_name, 10, wait=Wait.EXISTS) as client:
            client.transact(b"x", 5)
        objects = result.result(20).objects
        check("relay", objects)
        assert [one["event"] for one in objects] == ["listening", "closed", "open", "connected", "left"]

    def test_the_clients_of_a_pipe_fit(pipe_name: str, pipectl: Pipectl, background: Background) -> None:
        result = background(pipectl, "client-pid", pipe_name, "--count", "1", "--json")
        connect(pipe_name, 10, wait=Wait.EXISTS).close()
        check("client-pid", result.result(20).objects)

    def test_a_childs_streams_fit(pipectl: Pipectl) -> None:
        program = "import os; os.write(1, b'\\xff'); os.write(2, b'err')"
        check("popen", pipectl("popen", "--no-stdin", "--json", "--", sys.executable, "-c", program).objects)

    @pytest.mark.parametrize(
        "line", [["call", "PIPE", "x"], ["wait", r"\\.\pipe\*"], ["popen", "--no-stdin", "nothing"]]
    )
    def test_errors_fit(pipe_name: str, pipectl: Pipectl, line: list[str]) -> None:
        words = [pipe_name if word == "PIPE" else word for word in line]
        check("error", [{"schema": 1, "error": pipectl(words[0], "--json", *words[1:]).error}])

    def test_a_tour_is_made_of_objects_that_fit(pipectl: Pipectl) -> None:
        objects = pipectl("demo", "--json").objects
        assert len(objects) > 10
        for one in objects:
            assert [file for file in FILES if not schema.errors(one, schema.load(file))]
