"""`pipectl audit`: real pipes of other processes, judged through duplicates of their handles."""

import errno
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from pipectl.core.checks import audit
from pipectl.core.checks.baseline import steady
from pipectl.core.constants import Wait, WinError
from pipectl.core.errors import PipeTimeoutError
from pipectl.core.inventory import directory
from pipectl.core.inventory.watch import Watch
from pipectl.core.models import PipeEntry
from pipectl.core.pipe.connection import connect
from pipectl.core.win32.calls import create_named_pipe
from pipectl.exitcodes import ExitCode
from tests import schema
from tests.conftest import ON_WINE
from tests.nt.layer import RefusedProcesses
from tests.runner import Background, Holding, Pipectl, Result

# The one account that every Wine and every test user's token is not.
STRANGER = "S-1-5-21-1-2-3-1234"
FOR_USERS = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;BU)"
OPEN = "D:(A;;GA;;;WD)"
OTHER_PROGRAM = str(Path(sys.executable).with_name("pythonw.exe"))
# Windows has these names already, and lets no administrator make somebody else the owner.
WINE_ALONE = pytest.mark.skipif(not ON_WINE, reason="Windows does not let an administrator do this")
# As Wine shows it.
FULL_DISK = Path("Z:/dev/full")


def rules_of(result: Result) -> dict[str, str]:
    """The rules that were broken, each with its severity, but for P005: Wine lets no server reject other computers."""
    return {one["rule"]: one["severity"] for one in result.objects if one.get("rule", "P005") != "P005"}


@pytest.fixture
def audited(pipe_name: str, pipectl: Pipectl, holding: Holding) -> Any:
    """Audit a pipe of another process that has a descriptor."""

    def run(sddl: str, *options: str, most: str = "255", remote: str = "") -> Result:
        holding("secured", pipe_name, sddl, most, *([remote] if remote else []))
        return pipectl("audit", pipe_name, "--json", *options)

    return run


# What is found in real pipes; all processes under Wine are elevated, and so privileged.


@pytest.mark.parametrize(
    ("sddl", "expected"),
    [
        (OPEN, {"P002": "high", "P003": "high", "P006": "low", "P013": "note"}),
        ("D:(A;;GRGW;;;AU)", {"P003": "high", "P006": "low", "P013": "note"}),
        ("D:(A;;0x12019b;;;AU)", {"P006": "low", "P013": "note"}),
        ("D:(A;;0x12019b;;;AN)", {"P004": "high"}),
        ("D:(A;;0x12019b;;;BU)(A;;0x12019b;;;AC)", {"P006": "low", "P007": "medium", "P013": "note"}),
        ("D:(A;;GR;;;WD)(A;;GR;;;AN)", {"P011": "note", "P013": "note"}),
        ("D:(A;;GR;;;BA)(D;;GR;;;BA)", {"P014": "low"}),
        (f"D:(A;;GR;;;{STRANGER})", {"P015": "note"}),
        pytest.param(f"O:{STRANGER}D:(A;;GA;;;SY)", {"P009": "medium"}, marks=WINE_ALONE),
        ("D:P(A;;GA;;;SY)(A;;GA;;;BA)", {}),
        ("O:BAD:P(D;;GA;;;NU)(A;;GA;;;BA)", {}),
    ],
)
def test_the_acl_of_another_process_is_judged(audited: Any, sddl: str, expected: dict[str, str]) -> None:
    assert rules_of(audited(sddl)) == expected


def test_the_limit_of_instances_is_judged(audited: Any) -> None:
    assert rules_of(audited(FOR_USERS, most="1")) == {"P006": "low", "P012": "low", "P013": "note"}


@pytest.mark.parametrize(("sddl", "severity"), [(FOR_USERS, "medium"), ("D:P(A;;GA;;;BA)", "note")])
def test_a_pipe_that_other_computers_can_open_is_found(audited: Any, sddl: str, severity: str) -> None:
    first, *_ = audited(sddl, "--rule", "P005", remote="remote").objects
    assert (first["rule"], first["severity"]) == ("P005", severity)


@pytest.mark.windows(reason="Wine forgets PIPE_REJECT_REMOTE_CLIENTS", claim="W51")
def test_a_pipe_that_rejects_other_computers_is_not_found(audited: Any) -> None:
    assert audited(FOR_USERS, "--rule", "P005").object["findings"] == 0


@WINE_ALONE
def test_a_system_name_that_another_program_serves_is_found(pipectl: Pipectl, holding: Holding) -> None:
    holding("secured", r"\\.\pipe\InitShutdown", "D:P(A;;GA;;;BA)")
    result = pipectl("audit", r"\\.\pipe\initshutdown", "--json")
    assert rules_of(result) == {"P010": "high"}


def test_a_finding_has_the_server_the_entry_and_what_to_do(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    server, _ = holding("secured", pipe_name, "D:(A;;GA;;;BA)(A;;GW;;;WD)")
    result = pipectl("audit", pipe_name, "--rule", "p003", "--json")
    one, summary = result.objects
    assert (one["pipe"], one["account"], one["rights"], one["entry"]) == (pipe_name, "S-1-1-0", "0x4", 1)
    assert [process["pid"] for process in one["servers"]] == [server.pid]
    assert one["references"] == ["CWE-421", "CWE-923"]
    assert (summary["pipes"], summary["findings"], summary["serious"], summary["complete"]) == (1, 1, 1, True)
    for record in result.objects:
        assert schema.errors(record, schema.load("audit.schema.json")) == []


def test_serve_is_clean_by_default(pipe_name: str, pipectl: Pipectl, running: Any) -> None:
    server = running("serve", pipe_name, "--echo")
    server.said()
    result = pipectl("audit", pipe_name, "--strict", "--json")
    assert rules_of(result) == {}
    assert (result.exit_code, result.objects[-1]["pipes"]) == (ExitCode.DONE, 1)


def test_no_pipe_is_opened(audited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "open_pipe", None)
    assert audited(FOR_USERS, "--ignore", "P005", most="1").exit_code == 0


def test_two_programs_that_serve_one_name_are_found(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    first, _ = holding("secured", pipe_name, "D:(A;;GA;;;BA)")
    second, _ = holding("secured", pipe_name, "D:(A;;GA;;;BA)", program=OTHER_PROGRAM)
    result = pipectl("audit", pipe_name, "--json")
    assert rules_of(result) == {"P008": "high"}
    (found,) = [one for one in result.objects if one.get("rule") == "P008"]
    assert {process["pid"] for process in found["servers"]} == {first.pid, second.pid}


def test_one_program_in_two_processes_is_no_squatter(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("secured", pipe_name, "D:(A;;GA;;;BA)")
    holding("secured", pipe_name, "D:(A;;GA;;;BA)")
    result = pipectl("audit", pipe_name, "--json")
    assert (rules_of(result), len(result.objects[0]["servers"])) == ({}, 2)


def test_a_child_that_inherited_an_instance_is_no_squatter(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("bequeath", pipe_name)
    assert "P008" not in rules_of(pipectl("audit", pipe_name, "--json"))


# The page about audits


def command_blocks() -> list[tuple[str, str]]:
    """The commands of docs/audit.md, each with all that it prints."""
    text = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(one[1], one[2]) for block in blocks for one in re.finditer(r"> pipectl (.*)\n((?:(?!> ).*\n)*)", block)]


def test_the_page_shows_what_an_audit_of_such_pipes_prints(
    pipe_name: str, pipectl: Pipectl, holding: Holding, running: Any, tmp_path: Path
) -> None:
    """The pipes are those of the page, by another name; P005, which Wine finds in each, is ignored."""
    name = pipe_name[9:]
    running("serve", f"{pipe_name}-agent", "--echo").said()
    holding("secured", f"{pipe_name}-backup", OPEN)
    holding("secured", f"{pipe_name}-updates", "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GRGW;;;AU)")
    holding("secured", f"{pipe_name}-guest", "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;AN)")
    holding("secured", f"{pipe_name}-queue", "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;BU)(D;;GA;;;BU)", "1")
    holding("secured", f"{pipe_name}-license", "D:P(A;;GA;;;SY)(A;;GA;;;BA)")
    holding("secured", f"{pipe_name}-license", "D:P(A;;GA;;;SY)(A;;GA;;;BA)", program=OTHER_PROGRAM)

    def as_on_the_page(text: str) -> list[str]:
        """Lines with other names, one space between columns, and nothing that is different each time, or on Wine."""
        text = text.replace("the directory of pipes cannot be read: other pipes may exist\n", "")
        text = re.sub(r"process \d+ \([^)]*\)", "process N", text.replace(name, "acme"))
        return [re.sub("  +", " ", line) for line in text.splitlines()]

    commands = command_blocks()
    assert len(commands) == 6
    for line, printed in commands:
        words = shlex.split(line.replace("acme", name).replace("known.json", (tmp_path / "known.json").as_posix()))
        result = pipectl(*words, "--ignore", "P005")
        assert as_on_the_page(result.stdout.decode() + result.stderr) == as_on_the_page(printed)


# Exit codes


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 12),
        (["--severity", "high"], 12),
        (["--ignore", "P003", "--ignore", "p002", "--ignore", "P005"], 0),
        (["--ignore", "P003", "--ignore", "P002", "--ignore", "P005", "--severity", "low"], 12),
        (["--rule", "P006"], 0),
        (["--rule", "P001"], 0),
    ],
)
def test_the_severity_and_the_rules_decide_the_exit_code(audited: Any, options: list[str], code: int) -> None:
    assert audited(OPEN, *options).exit_code == code


def test_a_pipe_whose_acl_cannot_be_read_is_counted_and_strict_is_partial(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding("secured", pipe_name, OPEN)
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry(pipe_name[9:], 1, None)])
    with RefusedProcesses():
        lenient = pipectl("audit", pipe_name, "--json")
        strict = pipectl("audit", pipe_name, "--json", "--strict")
        shown = pipectl("audit", pipe_name)
    assert lenient.exit_code == 0
    assert (lenient.object["not_judged"], lenient.object["complete"]) == ([pipe_name], False)
    assert lenient.object["partly_judged"] == []
    assert strict.exit_code == 10
    assert "1 pipe not judged" in shown.stderr


def test_open_reads_what_no_handle_shows_and_takes_an_instance(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding("secured", pipe_name, OPEN, "1")
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry(pipe_name[9:], 1, 1)])
    with RefusedProcesses():
        result = pipectl("audit", pipe_name, "--json", "--strict", "--open")
    assert result.exit_code == 12
    assert {"P002", "P003"} <= rules_of(result).keys()
    assert (result.objects[-1]["not_judged"], result.objects[-1]["partly_judged"]) == ([], [pipe_name])
    with pytest.raises(OSError, match="ERROR_PIPE_BUSY"):  # its server does not take the instance back
        connect(pipe_name, wait=Wait.NONE)


def test_a_pattern_without_a_pipe_is_not_found(pipe_name: str, pipectl: Pipectl) -> None:
    assert pipectl("audit", pipe_name).exit_code == 3


def test_a_finding_outweighs_what_was_not_judged(
    pipe_name: str, pipectl: Pipectl, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding("secured", pipe_name, OPEN)
    entries = [PipeEntry(pipe_name[9:], 1, None), PipeEntry(f"{pipe_name[9:]}-2", 1, None)]
    monkeypatch.setattr(directory, "list_pipes", lambda: entries)
    assert pipectl("audit", f"{pipe_name}*", "--strict").exit_code == 12


# Whose access


def test_somebodys_access_is_judged(audited: Any) -> None:
    assert rules_of(audited(f"D:(A;;GA;;;{STRANGER})", "--as", STRANGER, "--ignore", "P015")) == {
        "P002": "high",
        "P003": "high",
        "P006": "low",
        "P013": "note",
    }


def test_what_somebody_may_not_do_is_no_finding(audited: Any) -> None:
    sddl = f"D:(D;;GA;;;{STRANGER})(A;;GA;;;BU)"
    assert rules_of(audited(sddl, "--as", STRANGER, "--ignore", "P015")) == {}


# Baselines


def test_a_baseline_leaves_only_what_is_new(pipe_name: str, pipectl: Pipectl, holding: Holding, tmp_path: Path) -> None:
    file = str(tmp_path / "known.json")
    holding("secured", pipe_name, "D:(A;;GW;;;WD)")
    assert pipectl("audit", pipe_name, "--write-baseline", file).exit_code == 12
    known = pipectl("audit", pipe_name, "--baseline", file, "--json")
    assert known.exit_code == 0
    assert {one["new"] for one in known.objects if "rule" in one} == {False}
    holding("secured", f"{pipe_name}-other", "D:(A;;GW;;;WD)")
    more = pipectl("audit", f"{pipe_name}*", "--baseline", file, "--json")
    assert more.exit_code == 12
    assert {one["pipe"] for one in more.objects if one.get("new")} == {f"{pipe_name}-other"}


def test_a_finding_stays_known_when_its_program_is_started_again(
    pipe_name: str, pipectl: Pipectl, holding: Holding, tmp_path: Path
) -> None:
    file = str(tmp_path / "known.json")
    first, _ = holding("secured", f"{pipe_name}.4312.svc", OPEN)
    assert pipectl("audit", f"{pipe_name}*", "--write-baseline", file).exit_code == 12
    first.crash()
    holding("secured", f"{pipe_name}.977.svc", OPEN)
    again = pipectl("audit", f"{pipe_name}*", "--baseline", file, "--json")
    assert (again.exit_code, again.objects[-1]["absent"]) == (0, 0)
    assert {one["pipe"] for one in again.objects if "rule" in one} == {f"{pipe_name}.977.svc"}


def test_a_baseline_can_be_written_over_by_what_it_was_compared_with(
    pipe_name: str, audited: Any, tmp_path: Path
) -> None:
    file = tmp_path / "known.json"
    old = {"rule": "P001", "pipe": steady(pipe_name[9:]), "account": ""}
    file.write_text(json.dumps({"schema": 1, "findings": [old, {**old, "pipe": "another"}]}), "utf-8-sig")
    result = audited(OPEN, "--baseline", str(file), "--write-baseline", str(file), "--ignore", "P005")
    assert (result.exit_code, result.objects[-1]["absent"]) == (12, 1)
    assert {one["rule"] for one in json.loads(file.read_text())["findings"]} == {"P002", "P003", "P006", "P013"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot be read"),
        ("{}", "not a baseline"),
        ('{"schema": 2, "findings": [{"id": "P003"}]}', "schema 2"),
        ('{"version": "2.1.0", "runs": []}', "not a baseline"),
    ],
)
def test_a_baseline_that_is_none_is_a_usage_error(
    pipectl: Pipectl, tmp_path: Path, text: str | None, reason: str
) -> None:
    file = tmp_path / "known.json"
    if text is not None:
        file.write_text(text)
    result = pipectl("audit", "--baseline", str(file))
    assert result.exit_code == 2
    assert "known.json" in result.stderr
    assert reason in result.stderr


def test_a_baseline_that_cannot_be_written_comes_after_the_findings(audited: Any, tmp_path: Path) -> None:
    result = audited(OPEN, "--write-baseline", str(tmp_path / "no" / "known.json"))
    assert result.exit_code == ExitCode.UNEXPECTED
    assert "known.json" in result.stderr
    assert "P003" in rules_of(result)


def test_an_old_baseline_stays_if_the_new_one_cannot_be_written_whole(
    audited: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "known.json"
    file.write_text("old")
    real = Path.write_text

    def write_half(path: Path, text: str, **how: Any) -> int:
        """Write as much as the disk has room for."""
        real(path, text[: len(text) // 2], **how)
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "write_text", write_half)
    result = audited(OPEN, "--write-baseline", str(file))
    assert result.exit_code == ExitCode.UNEXPECTED
    assert [path.name for path in tmp_path.iterdir()] == ["known.json"]
    assert file.read_text() == "old"


# Formats


def test_a_table_shows_what_counts_and_verbose_all(pipe_name: str, pipectl: Pipectl, holding: Holding) -> None:
    holding("secured", pipe_name, OPEN)
    line = ["audit", pipe_name, "--ignore", "P005"]
    short, long = pipectl(*line), pipectl(*line, "-v")
    rows = [line.split()[:3] for line in short.text.splitlines()]
    assert rows == [["SEVERITY", "RULE", "PIPE"], ["high", "P002", pipe_name[9:]], ["high", "P003", pipe_name[9:]]]
    assert "2 findings of severity medium or higher; 2 others" in short.stderr
    assert len(long.text.splitlines()) == 5


def test_sarif_is_one_document(audited: Any) -> None:
    result = audited(OPEN, "--format", "sarif", "--ignore", "P005")
    document = json.loads(result.stdout)
    assert document["version"] == "2.1.0"
    assert [one["ruleId"] for one in document["runs"][0]["results"]] == ["P002", "P003", "P006", "P013"]
    assert document["runs"][0]["invocations"][0]["executionSuccessful"] is True
    assert "2 findings of severity medium or higher" in result.stderr


@pytest.mark.skipif(not FULL_DISK.exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("form", ["sarif", "json"])  # a table would go to stdout: Wine takes the device for a terminal
def test_a_full_disk_is_an_error_and_not_a_clean_audit(audited: Any, form: str) -> None:
    result = audited(OPEN, "--format", form, "-o", str(FULL_DISK))
    assert result.exit_code == ExitCode.UNEXPECTED
    assert "cannot be written" in result.stderr


def test_no_other_command_has_the_format_of_sarif(pipectl: Pipectl) -> None:
    assert pipectl("list", "--format", "sarif").exit_code == 2


# The rules in the help


def test_help_lists_the_rules_and_explains_one(pipectl: Pipectl) -> None:
    assert "P016  The name was free" in pipectl("help", "audit").text
    text = pipectl("help", "audit", "p003").text
    assert "https://cwe.mitre.org/data/definitions/421.html" in text
    assert "Usage:" not in text


@pytest.mark.parametrize("line", [["help", "audit", "P999"], ["help", "list", "P003"], ["audit", "--rule", "P999"]])
def test_an_unknown_rule_is_a_usage_error(pipectl: Pipectl, line: list[str]) -> None:
    assert pipectl(*line).exit_code == 2


# Names that come back


@pytest.mark.parametrize(("is_there", "severity"), [(True, "medium"), (False, "low")], ids=["there", "gone again"])
def test_a_name_that_was_free_while_it_was_watched_is_found(
    pipe_name: str,
    pipectl: Pipectl,
    background: Background,
    monkeypatch: pytest.MonkeyPatch,
    is_there: bool,
    severity: str,
) -> None:
    looks = 0
    pipe = create_named_pipe(pipe_name)
    real = Watch._look

    def look(watch: Watch) -> Any:
        """Look, and let the pipe go and come back between the looks; then the time is up."""
        nonlocal looks, pipe
        looks += 1
        if looks == 2:
            pipe.close()
        if looks == 5:
            pipe = create_named_pipe(pipe_name)
        if looks == 7:
            if not is_there:
                pipe.close()
            raise PipeTimeoutError("the time is up", code=WinError.TIMEOUT)
        return real(watch)

    monkeypatch.setattr(Watch, "_look", look)
    result = background(pipectl, "audit", pipe_name, "--watch-for", "60", "--rule", "P016", "--json").result(60)
    pipe.close()
    assert rules_of(result) == {"P016": severity}


def test_the_rule_about_free_names_needs_time_to_watch(pipectl: Pipectl) -> None:
    assert pipectl("audit", "--rule", "P016").exit_code == 2
