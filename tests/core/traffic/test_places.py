"""How places are written, and what is none."""

import pytest

from pipectl.core.errors import InvalidPipeNameError
from pipectl.core.traffic.places import Kind, Place, is_loopback, parse


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("svc", Place(Kind.PIPE, r"\\.\pipe\svc")),
        ("pipe:svc", Place(Kind.PIPE, r"\\.\pipe\svc")),
        ("PIPE:tcp:1", Place(Kind.PIPE, r"\\.\pipe\tcp:1")),
        (r"\\.\pipe\svc", Place(Kind.PIPE, r"\\.\pipe\svc")),
        (r"\\HOST\pipe\svc", Place(Kind.PIPE, r"\\HOST\pipe\svc")),
        ("tcp:80", Place(Kind.TCP, "127.0.0.1", 80)),
        ("tcp:localhost:0", Place(Kind.TCP, "127.0.0.1", 0)),
        ("tcp:10.1.2.3:65535", Place(Kind.TCP, "10.1.2.3", 65535)),
        ("tcp:[::1]:80", Place(Kind.TCP, "::1", 80)),
        ("-", Place(Kind.STDIO)),
        ("stdio", Place(Kind.STDIO)),
    ],
)
def test_a_place_is_written_in_one_of_these_ways(text: str, place: Place) -> None:
    assert parse(text) == place
    assert parse(str(place)) == place


@pytest.mark.parametrize("text", ["tcp:", "tcp:99999", "tcp:x", "tcp:-1", "tcp:example.org:80", "tcp:1.2.3:4", "tcp:٣"])
def test_what_is_no_address_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as caught:
        parse(text)
    assert caught.value.topic == "place"


@pytest.mark.parametrize("text", ["foo:bar", "unix:/run/x.sock", "http://localhost:80"])
def test_another_kind_is_refused_and_may_be_a_pipe(text: str) -> None:
    with pytest.raises(InvalidPipeNameError) as caught:
        parse(text)
    assert f"pipe:{text}" in caught.value.meant[0]


def test_a_path_is_no_place() -> None:
    with pytest.raises(InvalidPipeNameError):
        parse(r"C:\svc")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("svc", r"\\.\pipe\SVC", True),
        ("tcp:80", "tcp:localhost:80", True),
        ("tcp:80", "tcp:81", False),
        ("tcp:80", "svc", False),
        ("-", "stdio", True),
    ],
)
def test_the_same_place_is_known_however_it_is_written(one: str, other: str, same: bool) -> None:
    assert parse(one).is_same(parse(other)) is same


@pytest.mark.parametrize(("text", "is_one"), [("tcp:1", True), ("tcp:[::1]:1", True), ("tcp:10.0.0.1:1", False)])
def test_a_loopback_address_is_told_from_others(text: str, is_one: bool) -> None:
    assert is_loopback(parse(text)) is is_one


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LocalHost", "THIS-PC", "this-pc"])
def test_a_pipe_of_this_computer_is_the_same_by_any_name_of_it(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTERNAME", "THIS-PC")
    assert parse("svc").is_same(parse(rf"\\{host}\pipe\SVC"))
    assert not parse("svc").is_same(parse(rf"\\{host}\pipe\svc2"))
    assert not parse("svc").is_same(parse(r"\\another\pipe\svc"))
