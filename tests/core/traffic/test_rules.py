"""What rules decide: conditions, states, sequences, templates, and the faults of replies. Runs on any system."""

import re
from typing import Any, NamedTuple

import pytest

from pipectl.core.codecs.base import Frame, Side
from pipectl.core.errors import CodecError
from pipectl.core.traffic.rules import Actor, Choice, Play, Rules
from pipectl.core.traffic.rules_file import read_rules


class Who(NamedTuple):
    """A client."""

    number: int = 1
    pid: int = 4711
    exe: str | None = r"C:\app\Client.exe"
    user: str | None = r"PC\Ann"
    is_remote: bool = False


def rules(text: str) -> Rules:
    """Read rules, the version apart."""
    return read_rules(f"version = 1\n{text}".encode(), "r.toml")


def play(text: str, seed: int = 1) -> tuple[Play, Actor]:
    """Rules, and a client of them."""
    found = Play(rules(text), seed)
    return found, found.actor(Who())


def frame(body: bytes, data: bytes | None = None, **fields: Any) -> Frame:
    """A message of a client."""
    return Frame(Side.CLIENT, body if data is None else data, body, fields=fields)


def sent(choice: Choice) -> bytes | None:
    """What a choice sends, joined; None if no rule applies."""
    return None if choice.rule is None else b"".join(one.data or b"" for one in choice.outgoing)


def answers(text: str, *bodies: bytes, seed: int = 1) -> list[bytes | None]:
    """What one client is answered."""
    game, actor = play(text, seed)
    return [sent(game.choose(actor, frame(body))) for body in bodies]


def one(when: str, reply: str = 'text = "yes"', codec: str = "") -> str:
    """A file with one rule."""
    return f"{codec}\n[[rule]]\nwhen = {{ {when} }}\nreply = {{ {reply} }}"


# Conditions


@pytest.mark.parametrize(
    ("when", "matching", "others"),
    [
        ('text = "ping"', [b"ping"], [b"ping\n", b"Ping", b""]),
        ('text = "ä"', ["ä".encode()], [b"\xe4"]),
        ('starts = "ab"', [b"ab", b"abc"], [b"a", b"xab"]),
        ('ends = "ab"', [b"ab", b"cab"], [b"abx"]),
        ('contains = "ab"', [b"xabx"], [b"axb"]),
        ('regex = "^a.c$"', [b"abc", b"a\nc"], [b"xabc"]),
        ('regex = "b+"', [b"abbc"], [b"ac"]),
        ('hex = "01 ?? 0f"', [b"\1\2\x0f", b"\1\n\x0f"], [b"\1\x0f", b"\1\2\x0f\0"]),
        ('hex = "1? *"', [b"\x10", b"\x1fabc\n"], [b"\x20", b""]),
        ('hex = "* 00"', [b"\0", b"ab\0"], [b"\0a"]),
        ('size = "=2"', [b"ab"], [b"a", b"abc"]),
        ("size = 2", [b"ab"], [b"abc"]),
        ('size = ">1k"', [bytes(1025)], [bytes(1024)]),
        ('size = "<=2"', [b"", b"ab"], [b"abc"]),
        ("empty = true", [b""], [b"a"]),
        ("empty = false", [b"a"], [b""]),
        ('nth = ">1"', [], [b"first"]),
        ('json = { "/a" = 1 }', [b'{"a": 1}', b'{"a": 1.0}'], [b'{"a": true}', b'{"a": "1"}', b"{", b"[1]"]),
        ('json = { "/a/1" = "x" }', [b'{"a": ["", "x"]}'], [b'{"a": ["x"]}', b'{"a": {"2": "x"}}']),
        (
            'json = { "/a~1b" = true, "/c" = [1, { d = 2 }] }',
            [b'{"a/b": true, "c": [1, {"d": 2}]}'],
            [b'{"a/b": true}'],
        ),
        ('json = { "" = 5 }', [b"5"], [b"6"]),
        ('json = { "/a" = 1 }', [], [b'{"a": 1, "b": NaN}', b'{"a": 1, "a": 1}', b'{"a": 1, "b": "\\ud800"}']),
        ('json = { "/a" = 1 }', [], [b'{"a": 1, "b": ' + b"[" * 100_000, b'{"a": 1, "b": %b}' % (b"1" * 1000)]),
        ('json = { "/m" = { regex = "^a" } }', [b'{"m": "ab"}'], [b'{"m": "ba"}', b"{}"]),
        ('json = { "/m" = { regex = "7" } }', [b'{"m": 17}', b'{"m": [7]}'], [b'{"m": 8}']),
        ('json = { "/m" = { exists = false } }', [b"{}"], [b'{"m": null}']),
        ('json = { "/m" = { exists = true } }', [b'{"m": null}'], [b"{}"]),
        ('not = { text = "a" }', [b"b"], [b"a"]),
        ('any = [{ text = "a" }, { text = "b" }]', [b"a", b"b"], [b"c"]),
        ('text = "a", client = { exe = "client.EXE", user = "ann", pid = 4711, remote = false }', [b"a"], [b"b"]),
        ('client = { user = "PC\\\\ann", exe = "c:\\\\app\\\\client.exe" }', [b"a"], []),
        ("client = { remote = true }", [], [b"a"]),
        ('client = { exe = "other.exe" }', [], [b"a"]),
        ("client = { pid = 1 }", [], [b"a"]),
        ('client = { user = "bob" }', [], [b"a"]),
    ],
)
def test_a_condition_holds_for_some_messages(when: str, matching: list[bytes], others: list[bytes]) -> None:
    assert [answers(one(when), body) for body in matching] == [[b"yes"]] * len(matching)
    assert [answers(one(when), body) for body in others] == [[None]] * len(others)


_REQUEST = b"POST /v1/items?name=a%20b&x HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ('method = "POST"', True),
        ('method = "POS"', False),
        ('method = "GET|POST", path = "/v[0-9]/items"', True),
        ('path = "/v1"', False),
        ('query = "name=.*"', True),
        ('query = { name = "a b", x = "" }', True),
        ('query = { y = ".*" }', False),
        ('header = { HOST = "h", x-a = "1, 2" }', True),
        ('header = { cookie = ".*" }', False),
    ],
)
def test_the_head_of_an_http_request_can_be_a_condition(when: str, holds: bool) -> None:
    game, actor = play(one(f"http = {{ {when} }}", codec='frame = "http"'))
    assert (game.choose(actor, frame(b"", _REQUEST)).rule is not None) == holds
    assert game.choose(actor, frame(b"no http")).rule is None


def test_fields_of_a_codec_can_be_conditions() -> None:
    game, actor = play(one('field = { op = "ping", n = { regex = "^1" } }', "none = true", codec='codec = "discord"'))
    assert game.choose(actor, frame(b"{}", op="ping", n=17)).rule is not None
    assert game.choose(actor, frame(b"{}", op="ping", n=7)).rule is None
    assert game.choose(actor, frame(b"{}", op="ping")).rule is None


def test_a_regular_expression_sees_only_the_beginning_of_a_long_message() -> None:
    long = b"a" * (64 << 10) + b"b"
    assert answers(one('regex = "b"'), long, b"b") == [None, b"yes"]
    assert answers(one('json = { "" = { regex = "b" } }'), b'"%b"' % long, b'"b"') == [None, b"yes"]


# Which rule


def test_the_first_rule_that_applies_is_used_until_it_is_used_up() -> None:
    text = """
    [[rule]]
    when = { text = "a" }
    times = 2
    reply = { text = "first" }
    [[rule]]
    reply = { text = "rest" }
    """
    assert answers(text, b"a", b"b", b"a", b"a") == [b"first", b"rest", b"first", b"rest"]


@pytest.mark.parametrize(("cycle", "expected"), [("false", b"1222"), ("true", b"1212")])
def test_replies_come_one_after_the_other(cycle: str, expected: bytes) -> None:
    text = f'[[rule]]\ncycle = {cycle}\nreplies = [{{ text = "1" }}, {{ text = "2" }}]'
    assert b"".join(filter(None, answers(text, *[b""] * 4))) == expected


_STATES = """
[[rule]]
state = "start"
when = { text = "open" }
set = "ready"
reply = { text = "ok" }
[[rule]]
state = ["ready", "start"]
when = { text = "state" }
reply = { text = "one of both" }
[[rule]]
state = "ready"
reply = { text = "${body}" }
"""


def test_each_client_has_its_own_state() -> None:
    game, first = play(_STATES)
    second = game.actor(Who(number=2))
    assert sent(game.choose(first, frame(b"x"))) is None
    assert sent(game.choose(first, frame(b"open"))) == b"ok"
    assert sent(game.choose(first, frame(b"x"))) == b"x"
    assert sent(game.choose(second, frame(b"x"))) is None
    assert sent(game.choose(second, frame(b"state"))) == b"one of both"


def test_clients_can_share_one_state() -> None:
    game, first = play(f'scope = "server"\n{_STATES}')
    second = game.actor(Who(number=2))
    game.choose(first, frame(b"open"))
    assert sent(game.choose(second, frame(b"x"))) == b"x"


def test_chance_is_the_same_with_the_same_seed() -> None:
    text = f"{one('')}\nchance = 0.5"
    first, again, other = (answers(text, *[b""] * 50, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert 10 < first.count(None) < 40


@pytest.mark.parametrize(
    ("unmatched", "expected", "closes"),
    [('"none"', b"", False), ('"echo"', b"x", False), ('"close"', b"", True), ('{ text = "what?" }', b"what?", False)],
)
def test_a_message_without_a_rule_has_a_way_too(unmatched: str, expected: bytes, closes: bool) -> None:
    game, actor = play(f"unmatched = {unmatched}\n{one('empty = true')}")
    choice = game.choose(actor, frame(b"x"))
    assert (choice.rule, choice.closes, b"".join(part.data or b"" for part in choice.outgoing)) == (
        None,
        closes,
        expected,
    )


def test_rules_that_are_used_otherwise_than_expected_are_named() -> None:
    text = """
    [[rule]]
    name = "a"
    when = { text = "a" }
    expect = 2
    reply = { none = true }
    [[rule]]
    when = { text = "b" }
    reply = { none = true }
    [[rule]]
    when = { text = "c" }
    expect = "any"
    reply = { none = true }
    """
    game, actor = play(text)
    game.choose(actor, frame(b"a"))
    assert game.unmet() == [
        "`a` (line 3) was used once, not 2 times",
        "rule 2 (line 8) was used 0 times, not at least once",
    ]
    game.choose(actor, frame(b"a"))
    game.choose(actor, frame(b"b"))
    assert game.unmet() == []


def test_other_rules_begin_to_count_anew_and_states_stay() -> None:
    game, actor = play(_STATES)
    game.choose(actor, frame(b"open"))
    game.choose(actor, frame(b"x"))
    game.replace(rules(_STATES.replace("${body}", "${n}")))
    assert sent(game.choose(actor, frame(b"x"))) == b"1"


# Replies


@pytest.mark.parametrize(
    ("reply", "data"),
    [
        ('text = "ä"', "ä".encode()),
        ('hex = "00 FF0a"', b"\0\xff\n"),
        ('base64 = "AP8="', b"\0\xff"),
        ('json = { a = [1, true, "x"] }', b'{"a":[1,true,"x"]}'),
        ('lines = ["a", "b"]', b"a\nb\n"),
        ("echo = true", b"body"),
        ("none = true", b""),
        ('frames = [{ text = "a" }, { echo = true }]', b"abody"),
    ],
)
def test_a_reply_can_be_written_in_many_ways(reply: str, data: bytes) -> None:
    assert answers(one("", reply), b"body") == [data]


def test_frames_are_sent_each_for_itself_or_some_joined() -> None:
    frames = 'frames = [{ text = "a" }, { text = "b" }, { text = "c" }]'
    for more, expected in (("", [b"a", b"b", b"c"]), (", join = 2", [b"ab", b"c"])):
        game, actor = play(one("", frames + more))
        assert [part.data for part in game.choose(actor, frame(b"")).outgoing] == expected


@pytest.mark.parametrize(
    ("head", "reply", "data"),
    [
        ('frame = "u16be"', 'text = "abc"', b"\0\3abc"),
        ('frame = "u16be"', 'text = "abc", raw = true', b"abc"),
        ('frame = "line"', 'text = "abc"', b"abc\n"),
        ('codec = "ssh-agent"', 'hex = "0c 00000001"', b"\0\0\0\5\x0c\0\0\0\1"),  # which the codec itself refuses
        ('codec = "ssh-agent"', 'field = { type = "SUCCESS" }', b"\0\0\0\1\6"),
        ('codec = "discord"', 'field = { op = "pong" }, text = "{}"', b"\4\0\0\0\2\0\0\0{}"),
        ('codec = "discord"', "json = {}", b"\1\0\0\0\2\0\0\0{}"),
        ('codec = "jsonrpc"', "json = {}", b"Content-Length: 2\r\n\r\n{}"),
        ('codec = "jsonrpc"', 'text = "no json"', b"Content-Length: 7\r\n\r\nno json"),
        ('codec = "text"', 'text = "abc"', b"abc"),
    ],
)
def test_a_reply_is_a_frame_unless_it_is_raw(head: str, reply: str, data: bytes) -> None:
    assert answers(one("", reply, codec=head), b"body") == [data]


def test_a_reply_that_is_no_frame_in_the_end_is_an_error() -> None:
    with pytest.raises(CodecError):
        answers(one("", 'field = { op = "pong" }, text = "${body}"', codec='codec = "discord"'), b"no json")


@pytest.mark.parametrize(
    ("reply", "method", "response"),
    [
        ("", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ('status = 404, body = "no ${http}"', "GET", None),
        (
            'status = 418, headers = { X-A = "${count}" }, json = [1]',
            "GET",
            b"HTTP/1.1 418 \r\nX-A: 1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]",
        ),
        ('body = "abc"', "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        ('status = 204, body = "abc"', "GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            'status = 299, headers = { content-length = 9 }, body = "abc"',
            "GET",
            b"HTTP/1.1 299 \r\ncontent-length: 9\r\n\r\nabc",
        ),
        ('headers = { X = "${body}" }', "GET", b"HTTP/1.1 200 OK\r\nX: a Set-Cookie: b\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_an_http_response_has_its_length(reply: str, method: str, response: bytes | None) -> None:
    text = one("", f"http = {{ {reply} }}", codec='frame = "http"')
    if response is None:
        with pytest.raises(ValueError, match=re.escape("unknown placeholder `${http}`")):
            play(text)
        return
    game, actor = play(text)
    request = f"{method} / HTTP/1.1\r\n\r\n".encode()
    assert sent(game.choose(actor, frame(b"a\r\nSet-Cookie: b", request))) == response


def test_faults_are_those_of_their_reply() -> None:
    reply = 'text = "x", delay = "200ms", split = [1, 4], truncate = true, rate = "4k/s", garbage = 3, close = "reset"'
    game, actor = play(one("", reply))
    (outgoing,) = game.choose(actor, frame(b"")).outgoing
    assert {str(fault) for fault in outgoing.faults} == {
        "delay=200ms",
        "split=1,4",
        "truncate",
        "rate=4k/s",
        "garbage=3",
        "close=reset",
    }


def test_a_reply_of_nothing_may_still_close() -> None:
    game, actor = play(one("", 'none = true, close = "after"'))
    (outgoing,) = game.choose(actor, frame(b"")).outgoing
    assert (outgoing.data, [str(fault) for fault in outgoing.faults]) == (None, ["close=after"])


# Templates


@pytest.mark.parametrize(
    ("when", "reply", "data"),
    [
        ("", 'text = "<${body}>"', b'<{"a": "x", "id": 7}>'),
        ("", 'text = "${hex:0:2} ${hex:-1:}"', b"7b22 7d"),
        ("", 'hex = "81 ${hex:0:2} 00"', b'\x81{"\0'),
        ("", 'hex = "${body}"', b'{"a": "x", "id": 7}'),
        ('regex = "a.: .(?P<word>.)(y?)"', 'text = "${1}${word}[${2}]"', b"xx[]"),
        ('json = { "/a" = { regex = "(x)" } }, regex = "(7)"', 'text = "${1}${2}"', b"x7"),
        ("", 'text = "${json:/a}${json:/id}${json:/none}"', b"x7"),
        ("", 'json = { id = "${json:/id}", s = "n${json:/id}", all = "${json:}", none = "${json:/no}" }', None),
        (
            "",
            'text = "${client.pid} ${client.exe} ${client.user} ${client.number}"',
            rb"4711 C:\app\Client.exe PC\Ann 1",
        ),
        ("", 'text = "${n} ${count}"', b"1 1"),
        ("", 'text = "$${body} $"', b"${body} $"),
        ("", 'lines = ["${n}", "b"]', b"1\nb\n"),
    ],
)
def test_a_template_is_filled_in(when: str, reply: str, data: bytes | None) -> None:
    expected = data or b'{"id":7,"s":"n7","all":{"a":"x","id":7},"none":null}'
    assert answers(one(when, reply), b'{"a": "x", "id": 7}') == [expected]


def test_what_a_client_has_sent_is_not_a_template() -> None:
    assert answers(one("", 'json = { a = "${body}" }'), b"${client.pid} $${") == [b'{"a":"${client.pid} $${"}']


def test_bytes_that_are_no_text_pass_through_a_template() -> None:
    assert answers(one('regex = "a(.)"', 'text = "${1}"'), b"a\xff") == [b"\xff"]
    assert answers(one("", 'json = "${body}"'), b"a\xff") == ['"a�"'.encode()]


def test_time_and_chance_can_be_filled_in() -> None:
    text = one("", 'text = "${now} ${unix} ${uuid} ${random:4}"')
    first, again = (answers(text, b"")[0] or b"" for _ in range(2))
    now, unix, uuid, random = first.decode().split()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now)
    assert re.fullmatch(r"\d{10}", unix)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uuid)
    assert re.fullmatch(r"[0-9a-f]{8}", random)
    assert first.split()[2:] == again.split()[2:]  # of the same seed


def test_a_greeting_is_what_a_client_gets_first() -> None:
    game, actor = play(f'greeting = {{ text = "hello ${{client.number}}" }}\n{one("")}')
    assert [part.data for part in game.greeting(actor, frame(b""))] == [b"hello 1"]
