"""`serve --rules`: what the options do, what is logged, and the exit codes."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipectl.core.constants import Wait
from pipectl.core.errors import PipeClosedError
from pipectl.core.pipe.connection import Connection, connect
from tests.runner import Background, Pipectl, Result, run_python

if TYPE_CHECKING:
    from concurrent.futures import Future

_RULES = """version = 1

[[rule]]
name = "ping"
when = { text = "ping" }
reply = { text = "pong" }

[[rule]]
when = { text = "two" }
reply = { text = "2", truncate = 0 }
"""

Serve = Callable[..., "Future[Result]"]
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a rules file; give its path."""

    def write_file(text: str) -> str:
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_file


@pytest.fixture
def serve(pipectl: Pipectl, pipe_name: str, background: Background) -> Serve:
    """Serve the pipe by rules; a server that the test has forgotten ends by itself."""
    return lambda path, *options: background(
        pipectl, "serve", pipe_name, "--rules", path, "--idle-timeout", "8", *options
    )


@pytest.fixture
def client(pipe_name: str) -> Callable[[], Connection]:
    """Connect to the server."""
    return lambda: connect(pipe_name, 10, wait=Wait.EXISTS)


Client = Callable[[], Connection]


def test_messages_are_answered_and_logged_with_their_rules(serve: Serve, client: Client, write: Write) -> None:
    path = write(_RULES)
    result = serve(path, "--once", "--seed", "5")
    with client() as connection:
        assert connection.transact(b"ping", 5) == b"pong"
        assert connection.transact(b"two", 5) == b""
        connection.send(b"three", 5)
    done = result.result(10)
    log = re.sub(r"(?m)^\S+  ", "", done.text)
    assert re.sub(r"connected .*", "connected", log).splitlines() == [
        "#1   connected",
        "#1   received   4 bytes: ping",
        "#1   matched    `ping`",
        "#1   answered   4 bytes: pong",
        "#1   received   3 bytes: two",
        "#1   matched    rule 2",
        "#1   fault      truncate=0",
        "#1   answered   0 bytes",
        "#1   received   5 bytes: three",
        "#1   unmatched",
        "#1   left",
    ]
    assert f"rules: {path}, 2 rules; `--seed 5` repeats the random choices" in done.stderr
    assert done.exit_code == 0


def test_rules_can_ask_who_the_client_is_and_replies_can_say_it(serve: Serve, client: Client, write: Write) -> None:
    exe = Path(sys.executable)
    path = write(
        'version = 1\n[[rule]]\nwhen = { client = { exe = "other.exe" } }\nreply = { text = "no" }\n'
        f"[[rule]]\nwhen = {{ client = {{ exe = '{exe.name.upper()}', pid = {os.getpid()}, remote = false }} }}\n"
        'reply = { text = "${client.pid}|${client.exe}|${client.number}|${client.user}" }\n'
    )
    result = serve(path, "--once")
    with client() as connection:
        pid, image, number, user = connection.transact(b"", 5).decode().split("|")
    assert (pid, image, number) == (str(os.getpid()), str(exe), "1")
    assert user.rpartition("\\")[2].lower() == os.environ["USERNAME"].lower()
    assert result.result(10).exit_code == 0


def test_the_type_is_that_of_the_file_unless_the_command_line_says_it(serve: Serve, write: Write) -> None:
    path = write(_RULES.replace("version = 1", 'version = 1\ntype = "byte"'))
    for options, word in (((), "(byte, "), (("--type", "message"), "(message, ")):
        result = serve(path, "--idle-timeout", "0.1", *options)
        assert word in result.result(10).stderr


def test_a_rules_file_can_come_from_stdin_as_json(pipectl_process: Pipectl, pipe_name: str) -> None:
    text = b'{"version": 1, "rule": [{"reply": {"txt": "a"}}]}'
    result = pipectl_process("serve", pipe_name, "--rules", "-", "--check", stdin=text)
    assert result.stderr.startswith("error: stdin:1: unknown key `txt`: did you mean `text`?\n")
    assert result.exit_code == 2


def test_rules_can_be_checked_without_a_pipe(pipectl: Pipectl, pipe_name: str, write: Write) -> None:
    path = write(_RULES)
    result = pipectl("serve", pipe_name, "--rules", path, "--check")
    assert result.text.splitlines() == [
        f'{path}:3: `ping`: {{"text": "ping"}} -> text',
        f'{path}:8: rule 2: {{"text": "two"}} -> text truncate=0',
    ]
    assert (result.exit_code, result.stderr) == (0, "")


def test_what_is_hardly_meant_is_a_warning(pipectl: Pipectl, pipe_name: str, write: Write) -> None:
    path = write(_RULES.replace('when = { text = "ping" }\n', ""))
    result = pipectl("serve", pipe_name, "--rules", path, "--check")
    assert result.stderr == f"warning: {path}:7: never used: `ping` in line 3 applies to every message\n"


def test_all_mistakes_are_named_before_there_is_a_pipe(pipectl: Pipectl, pipe_name: str, write: Write) -> None:
    path = write(_RULES.replace("reply", "replay"))
    result = pipectl("serve", pipe_name, "--rules", path, "--idle-timeout", "5")
    assert result.stderr.splitlines() == [
        f"error: {path}:6: unknown key `replay`: did you mean `reply`?",
        f"{path}:10: unknown key `replay`: did you mean `reply`?",
        "hint: `pipectl help mock` lists all keys",
    ]
    assert result.exit_code == 2


def test_a_strict_server_exits_with_12_at_a_message_without_a_rule(serve: Serve, client: Client, write: Write) -> None:
    result = serve(write(_RULES), "--strict")
    with client() as connection:
        assert connection.transact(b"ping", 5) == b"pong"
        connection.send(b"three", 5)
        with pytest.raises(PipeClosedError):
            connection.receive(5)
    done = result.result(10)
    assert done.exit_code == 12
    assert "no rule applies to a message of client #1: 5 bytes" in done.stderr


@pytest.mark.parametrize(("sent", "exit_code"), [([b"ping", b"two"], 0), ([b"ping"], 12)])
def test_rules_that_were_not_used_make_exit_code_12(
    serve: Serve, client: Client, write: Write, sent: list[bytes], exit_code: int
) -> None:
    result = serve(write(_RULES), "--expect-all", "--once")
    with client() as connection:
        for data in sent:
            connection.transact(data, 5)
    done = result.result(10)
    assert done.exit_code == exit_code
    assert ("rule 2 (line 8) was used 0 times, not at least once" in done.stderr) == (exit_code == 12)


def test_a_file_that_changes_is_used_without_a_restart(serve: Serve, client: Client, write: Write) -> None:
    result = serve(write(_RULES), "--watch", "--once", "--log", "none")
    with client() as connection:
        assert connection.transact(b"ping", 5) == b"pong"
        write(_RULES.replace('"pong"', '"changed"'))
        while connection.transact(b"ping", 5) != b"changed":
            pass
    done = result.result(10)
    assert re.search("(?m)reloaded: 2 rules$", done.text)


def test_a_broken_file_is_warned_of(serve: Serve, client: Client, write: Write) -> None:
    result = serve(write(_RULES), "--watch", "--idle-timeout", "1.5")
    with client() as connection:
        path = write(_RULES.replace("when", "whne"))
        assert connection.transact(b"ping", 5) == b"pong"
    assert f"warning: the previous rules stay in use: {path}:5: unknown key `whne`: did you mean `when`?" in (
        result.result(20).stderr
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--check"], "`--check` needs `--rules`"),
        (["--expect-all"], "`--expect-all` needs `--rules`"),
        (["--rules", "{path}", "--reply", "x"], "use only one of `--rules` and `--reply`"),
        (["--rules", "{path}", "--exec", "cmd"], "use only one of `--rules` and `--exec`"),
        (
            ["--rules", "{path}", "--greeting", "x"],
            "use only one of `--rules` and `--greeting`: write `greeting` in the",
        ),
        (["--rules", "{path}", "--direction", "in"], "`--rules` needs both directions"),
        (["--rules", "-", "--watch"], "`--watch` needs a file"),
        (["--rules", "absent.toml"], "`absent.toml` cannot be read: "),
    ],
)
def test_what_makes_no_sense_with_rules_is_a_usage_error(
    pipectl: Pipectl, pipe_name: str, write: Write, options: list[str], problem: str
) -> None:
    path = write(_RULES)
    result = pipectl("serve", pipe_name, *(path if word == "{path}" else word for word in options))
    assert result.exit_code == 2
    assert problem in result.stderr


_WITHOUT_RULES = """
import sys
from pipectl.cli import cli
cli.run(["serve", sys.argv[1], "--idle-timeout", "0.1"], prog_name="pipectl")
print([name for name in sys.modules if "core.traffic" in name or "core.codecs" in name or name == "tomllib"])
"""


def test_a_server_without_rules_imports_nothing_for_them(pipe_name: str) -> None:
    assert run_python(_WITHOUT_RULES, pipe_name, timeout=30).stdout.strip() == "[]"


# The page


_PAGE = (Path(__file__).parents[2] / "docs" / "mock.md").read_text(encoding="utf-8")


def test_the_sessions_of_the_page_run_as_printed(
    pipectl: Pipectl,
    pipectl_process: Pipectl,
    pipe_name: str,
    background: Background,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = re.findall(r"```toml\n# door.toml\n(.*?)```", _PAGE, re.DOTALL)
    Path("door.toml").write_text(f"# door.toml\n{file}", encoding="utf-8")
    check, calls = re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL)
    served = re.search(r"`pipectl (serve door [^`]+)`, and then", _PAGE)
    assert served is not None

    def words(line: str) -> list[str]:
        found = [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', line)]
        return [pipe_name if word == "door" else word for word in found]

    def session(text: str) -> list[tuple[str, str]]:
        return re.findall(r"> pipectl (.*)\n((?:[^>].*\n)*)", text)

    for line, output in session(check):
        assert pipectl(*words(line)).text == output
    result = background(pipectl_process, *words(f"{served[1]} --count 4 --expect-all --strict"))
    assert pipectl("wait", pipe_name, "--for", "exists", "--timeout", "20").exit_code == 0
    for line, output in session(calls):
        assert pipectl(*words(line)).text == output.removesuffix("\n")  # which it has on a terminal
    assert result.result(10).exit_code == 0


def test_the_mistake_on_the_page_is_reported_as_printed(pipectl: Pipectl, pipe_name: str, write: Write) -> None:
    (file,) = re.findall(r"```toml\n(.*?)```", _PAGE, re.DOTALL)
    path = write(file.replace('when = { text = "status" }', 'when = { txt = "status" }'))
    (printed,) = re.findall(r"```text\n(error: .*)\n```", _PAGE)
    result = pipectl("serve", pipe_name, "--rules", path, "--check")
    assert result.stderr.splitlines()[0].replace(path, "door.toml") == printed
