"""A private file: made new, for its user, administrators and the system, and never written through a link."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from pipectl.core.pipe.server import PipeServer
from pipectl.core.security.descriptors import pipe_security
from pipectl.core.win32.files import create_private

SECURITY = pipe_security().attributes


def test_a_new_file_is_written_to_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for appends, text in ((False, b"one"), (True, b"two")):
        with create_private(str(path), SECURITY, appends=appends) as file:
            assert file.write(text) == 3
            assert path.read_bytes() == (b"onetwo" if appends else b"one")  # read while it is written


def test_an_append_makes_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with create_private(str(tmp_path / "a"), SECURITY, appends=True) as file:
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        create_private(str(tmp_path / "a"), SECURITY)
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("appends", [False, True])
@pytest.mark.parametrize("kind", ["hard", "symbolic", "dangling"])
def test_nothing_is_written_through_a_link(tmp_path: Path, appends: bool, kind: str) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    if kind != "dangling":
        target.write_bytes(b"mine")
    try:
        (os.link if kind == "hard" else os.symlink)(target, link)
    except OSError as error:
        pytest.skip(f"no such link can be made here: {error}")
    if not os.path.lexists(link):
        pytest.skip("Wine says that it makes symbolic links, and makes none")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        create_private(str(link), SECURITY, appends=appends)
    assert not target.exists() if kind == "dangling" else target.read_bytes() == b"mine"


@pytest.mark.parametrize("appends", [False, True])
def test_a_pipe_or_a_device_is_no_file(pipe_name: str, appends: bool) -> None:
    with PipeServer(pipe_name, lambda _client, data: data):
        for path in (pipe_name, "NUL"):
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
                create_private(path, SECURITY, appends=appends)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create_private(str(tmp_path / uuid4().hex / "a"), SECURITY)
