"""The directory of pipes, read from memory or from the system."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipectl.core.errors import (
    InvalidPipeNameError,
    PipeError,
    UnsupportedError,
)
from pipectl.core.inventory import directory
from pipectl.core.inventory.directory import (
    did_you_mean,
    list_pipes,
    matching,
    names_beginning,
    parse_directory,
    pid_hint,
    sorted_by,
)
from pipectl.core.models import PipeEntry
from pipectl.core.names import LOCAL_PREFIX
from pipectl.hints import hint_for

if sys.platform == "win32":
    import ctypes

    from pipectl.core.win32 import calls, queries, winapi

if TYPE_CHECKING:
    from concurrent.futures import Future

    Background = Callable[..., Future[Any]]

needs_windows = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows' pipes")


def written(entries: list[PipeEntry]) -> bytes:
    """Write a directory as the system does: each entry begins at a multiple of eight, the last has no next one."""
    parts: list[bytes] = []
    for entry in entries:
        name = entry.name.encode("utf-16-le", "surrogatepass")
        limit = 0xFFFF_FFFF if entry.max_instances is None else entry.max_instances
        is_last = len(parts) == len(entries) - 1
        step = 0 if is_last else -(-(64 + len(name)) // 8) * 8
        head = step.to_bytes(4, "little") + bytes(36) + entry.instances.to_bytes(8, "little")
        head += limit.to_bytes(8, "little") + (0x80).to_bytes(4, "little") + len(name).to_bytes(4, "little")
        parts.append((head + name).ljust(step, b"\0"))
    return b"".join(parts)


# The directory in memory


def test_a_directory_is_read_field_by_field() -> None:
    first = bytes.fromhex(
        "50000000 00000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
        "0300000000000000 ffffffff00000000 80000000 0e000000 49006e0069007400530068007500 0000"
    )
    second = bytes.fromhex(
        "00000000 00000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
        "0100000000000000 0100000000000000 80000000 06000000 73007600e400"
    )
    assert parse_directory(first + second) == [PipeEntry("InitShu", 3, None), PipeEntry("svä", 1, 1)]


_PIPES = st.builds(PipeEntry, st.text(), st.integers(0, 2**31), st.none() | st.integers(1, 254))


@given(st.lists(_PIPES, max_size=5))
@example([PipeEntry("", 0, None)])
@example([PipeEntry("\ud83d", 1, 1), PipeEntry("\x01|\\", 1, 1)])
def test_a_directory_that_was_written_is_read_again(entries: list[PipeEntry]) -> None:
    joined = [entry._replace(name=_as_windows_sees(entry.name)) for entry in entries]
    assert parse_directory(written(entries)) == joined


def _as_windows_sees(name: str) -> str:
    return name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_TWO = written([PipeEntry("ab", 1, 1), PipeEntry("c", 1, 1)])


@pytest.mark.parametrize(
    "buffer",
    [
        bytes(1),
        bytes(63),
        _TWO[:-1],
        _TWO[:80],
        (64).to_bytes(4, "little") + _TWO[4:],  # the next one begins within the name of this one
        (8).to_bytes(4, "little") + _TWO[4:],
        (0xFFFF_FFF8).to_bytes(4, "little") + _TWO[4:],
        _TWO[:60] + (0xFFFF_FFFE).to_bytes(4, "little") + _TWO[64:],
        _TWO[:60] + (3).to_bytes(4, "little") + _TWO[64:],
    ],
)
def test_what_no_system_has_written_is_refused(buffer: bytes) -> None:
    with pytest.raises(ValueError, match="entry"):
        parse_directory(buffer)


# The directory of the system


@needs_windows
@pytest.mark.windows(reason="Wine cannot list its pipes")
def test_a_pipe_is_listed_with_its_instances_and_is_not_touched(pipe_name: str) -> None:
    bare = pipe_name.removeprefix(LOCAL_PREFIX)
    with (
        calls.create_named_pipe(pipe_name, max_instances=3) as first,
        calls.create_named_pipe(pipe_name, max_instances=3),
    ):
        assert PipeEntry(bare, 2, 3) in list_pipes()
        with calls.create_named_pipe(f"{pipe_name}-2"):
            assert PipeEntry(f"{bare}-2", 1, None) in list_pipes()
        assert queries.get_local_info(first).state == "listening"
    assert bare not in {entry.name for entry in list_pipes()}


@needs_windows
def test_listing_leaves_no_handle_open(handle_count: Callable[[], int]) -> None:
    before = handle_count()
    with suppress(UnsupportedError):
        list_pipes()
    assert handle_count() == before


@needs_windows
def test_a_system_that_cannot_list_its_pipes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    status = ctypes.c_int32(0xC000_00CB).value  # STATUS_BAD_DEVICE_TYPE, which is Wine's own answer
    monkeypatch.setattr(winapi, "NtQueryDirectoryFile", lambda *_: status)
    with pytest.raises(UnsupportedError) as raised:
        list_pipes()
    assert raised.value.function == "NtQueryDirectoryFile"
    assert hint_for(raised.value)


@needs_windows
def test_a_long_directory_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [written([PipeEntry("a", 1, 1), PipeEntry("b", 1, 1)]), written([PipeEntry("b", 2, None)])]
    restarts = []

    def query(*arguments: Any) -> int:
        block, buffer, from_start = arguments[4]._obj, arguments[5], arguments[10]
        restarts.append(from_start)
        if not pieces:
            return ctypes.c_int32(0x8000_0006).value  # STATUS_NO_MORE_FILES
        piece = pieces.pop(0)
        ctypes.memmove(buffer, piece, len(piece))
        block.Information = len(piece)
        return 0

    monkeypatch.setattr(winapi, "NtQueryDirectoryFile", query)
    assert list_pipes() == [PipeEntry("a", 1, 1), PipeEntry("b", 2, None)]
    assert restarts == [True, False, False]


def test_where_nothing_can_be_listed_nobody_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[PipeEntry]:
        raise UnsupportedError("no")

    monkeypatch.setattr(directory, "list_pipes", refuse)
    monkeypatch.setattr(directory, "_by_handles", lambda _timeout: refuse())
    assert did_you_mean(r"\\.\pipe\svc") == []
    assert names_beginning("s") == []


@pytest.fixture
def some_pipes(monkeypatch: pytest.MonkeyPatch) -> list[PipeEntry]:
    entries = [
        PipeEntry("mysql", 2, None),
        PipeEntry("Docker_Engine", 5, None),
        PipeEntry("docker_cli", 5, 10),
        PipeEntry("sql\\query", 1, 1),
        PipeEntry("odd[1]\x1b", 1, 1),
    ]
    monkeypatch.setattr(directory, "list_pipes", lambda: entries)
    return entries


def test_near_names_are_meant(some_pipes: list[PipeEntry]) -> None:
    assert did_you_mean(r"\\.\pipe\docker_engin") == ["Docker_Engine", "docker_cli"]
    assert did_you_mean(r"\\.\pipe\odd[1]") == [r"odd[1]\x1b"]
    assert did_you_mean(r"\\.\pipe\zzz") == []
    assert some_pipes


@pytest.mark.usefixtures("some_pipes")
def test_nobody_is_meant_on_another_computer() -> None:
    assert did_you_mean(r"\\host\pipe\docker_engin") == []


@pytest.mark.usefixtures("some_pipes")
def test_a_name_is_completed_in_the_spelling_that_it_was_begun_in() -> None:
    assert names_beginning("DOCK") == ["Docker_Engine", "docker_cli"]
    assert names_beginning(r"\\.\PIPE\my") == [r"\\.\pipe\mysql"]
    assert names_beginning("zzz") == []


def test_a_name_that_win32_would_change_is_offered_with_a_safe_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory, "list_pipes", lambda: [PipeEntry("docker/x", 1, 1)])
    assert did_you_mean(r"\\.\pipe\docker\x") == [r"\\?\pipe\docker/x"]
    assert names_beginning(r"\\?\pipe\D") == [r"\\?\pipe\docker/x"]
    assert names_beginning(r"\\.\pipe\d") == names_beginning("d") == []


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("*docker*", ["Docker_Engine", "docker_cli"]),
        ("mysql", ["mysql"]),
        ("MYSQ?", ["mysql"]),
        ("my", ["mysql"]),
        ("CK", ["Docker_Engine", "docker_cli"]),
        (r"\\.\pipe\my", []),
        ("myx", []),
        (r"\\.\pipe\my*", ["mysql"]),
        ("//./pipe/my*", ["mysql"]),
        (r"sql\*", ["sql\\query"]),
        ("npipe:////./pipe/sql/*", ["sql\\query"]),
        ("//./pipe//sql/query.", ["sql\\query"]),
        (r"\\?\pipe\sql\*", ["sql\\query"]),
        (r"\\?\pipe\sql/*", []),
        ("[dm]*", ["mysql", "Docker_Engine", "docker_cli"]),
        ("[!dm]*", ["sql\\query", "odd[1]\x1b"]),
        ("odd[[]1]*", ["odd[1]\x1b"]),
        (r"*\x1b", ["odd[1]\x1b"]),
        ("*", ["mysql", "Docker_Engine", "docker_cli", "sql\\query", "odd[1]\x1b"]),
        ("*[z-a", []),
    ],
)
def test_a_glob_matches_names_in_any_case_and_spelling(
    some_pipes: list[PipeEntry], glob: str, names: list[str]
) -> None:
    assert [entry.name for entry in matching(glob, some_pipes)] == names


def test_a_glob_matches_in_the_case_of_windows_alone() -> None:
    entries = [PipeEntry("\u212aelvin", 1, 1), PipeEntry("kelvin", 1, 1), PipeEntry("\u00c4", 1, 1)]
    assert matching("KELVIN", entries) == [entries[1]]
    assert matching("\u00e4", entries) == [entries[2]]


def test_a_glob_that_can_match_nothing_is_refused() -> None:
    with pytest.raises(InvalidPipeNameError):
        matching("", [])
    with pytest.raises(UnsupportedError):
        matching(r"\\host\pipe\*", [])


@given(st.text())
def test_any_glob_matches_or_is_refused(glob: str) -> None:
    entry = PipeEntry("svc", 1, 1)
    with suppress(PipeError):
        assert matching(glob, [entry]) in ([], [entry])


def test_pipes_are_put_in_order(some_pipes: list[PipeEntry]) -> None:
    assert [entry.name for entry in sorted_by("name", some_pipes)][:3] == ["docker_cli", "Docker_Engine", "mysql"]
    assert [entry.name for entry in sorted_by("instances", some_pipes)][:3] == ["docker_cli", "Docker_Engine", "mysql"]
    assert [entry.name for entry in sorted_by("instances", reversed(some_pipes))][3:] == ["odd[1]\x1b", "sql\\query"]


@pytest.mark.parametrize(
    ("name", "pid"),
    [
        ("mojo.1234.5678.13507134580265236281", 1234),
        ("crashpad_4242_ABCDEFGHIJKLMNOP", 4242),
        ("gecko-crash-server-pipe.9876", 9876),
        ("dotnet-diagnostic-5150", 5150),
        ("clr-debug-pipe-5150-133475834-in", 5150),
        ("PSHost.133475834982134567.7788.DefaultAppDomain.powershell", 7788),
        ("pgsignal_2468", 2468),
        ("pyc-1357-0-x1y2z3", 1357),
        ("python-pipe-1357-2-x1y2z3", 1357),
        ("uv\\000001D33F1A2B40-8080", 8080),
        ("uv\\2088533042512-8080", 8080),
        ("Winsock2\\CatalogChangeListener-1a4-0", 0x1A4),
        ("Win32Pipes.000003e8.00000001", 1000),
        ("WINSOCK2\\catalogchangelistener-1A4-0", 0x1A4),
        ("docker_engine", None),
        ("discord-ipc-0", None),
        ("mojo.x.1.2", None),
        ("mojo.1", None),
        ("pgsignal_", None),
        ("my-pgsignal_1", None),
        ("pgsignal_1x", None),
        ("pgsignal_\N{ARABIC-INDIC DIGIT ONE}", None),
        ("pgsignal_" + "1" * 5000, None),
        ("", None),
    ],
)
def test_a_name_may_speak_of_a_process(name: str, pid: int | None) -> None:
    assert pid_hint(name) == pid


@given(st.text())
def test_any_name_can_be_asked_for_a_process(name: str) -> None:
    assert pid_hint(name) is None or name
