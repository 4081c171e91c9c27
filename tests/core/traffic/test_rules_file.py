"""Rules files with mistakes: each is named with its line and what was meant. Runs on any system."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipectl.core.errors import RulesError
from pipectl.core.pipe.framing import parse
from pipectl.core.traffic import rules_file, rules_reply, rules_when
from pipectl.core.traffic.rules import Rules
from pipectl.core.traffic.rules_file import Watched, read_rules
from pipectl.core.traffic.rules_lines import lines_of
from pipectl.core.traffic.rules_template import NAMES

_GOOD = """version = 1

[[rule]]
when = { text = "ping" }
reply = { text = "pong" }
"""


def mistakes(text: str, folder: Path | None = None) -> list[str]:
    """What is wrong in a file."""
    try:
        read_rules(text.encode(), "r.toml", folder)
    except RulesError as error:
        return str(error).splitlines()
    return []


def rule(text: str, head: str = "") -> str:
    """A file whose rule begins in line 4."""
    return f"version = 1\n{head}\n[[rule]]\n{text}\n"


def reply(text: str, head: str = "") -> str:
    """A file with a reply in line 4."""
    return rule(f"reply = {{ {text} }}", head)


def test_a_good_file_has_no_mistakes() -> None:
    assert mistakes(_GOOD) == []
    assert read_rules(_GOOD.encode(), "r").warnings == ()


def test_json_says_the_same_as_toml() -> None:
    text = '{"version": 1,\n "rule": [{"when": {"text": "ping"},\n "reply": {"text": "pong"}}]}'
    assert len(read_rules(text.encode(), "r.json").rules) == 1
    assert mistakes(text.replace("reply", "replay")) == [
        "r.toml:3: unknown key `replay`: did you mean `reply`?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 1\n[[rule", "r.toml:2: not TOML: Expected ']]' at the end of an array declaration"),
        ("version = 1\nx = ", "r.toml:2: not TOML: Invalid value"),
        ('{"version": 1,\n "x" 2}', "r.toml:2: not JSON: Expecting ':' delimiter"),
        ('{"a":' * 100_000, "r.toml:1: nested too deeply"),
        ("x = " + "[" * 100_000, "r.toml:1: nested too deeply"),
        (_GOOD.replace("version = 1", ""), "r.toml:1: the first line must be `version = 1`"),
        (
            _GOOD.replace("version = 1", "version = 2"),
            "r.toml:1: version 2 is not known: this pipectl knows version 1",
        ),
        ("version = 1\n", "r.toml:1: there is no rule: write `[[rule]]`"),
        ("version = 1\nrule = 5\n", "r.toml:2: `rule` must be an array, not a whole number"),
        ("version = 1\nrule = [5]\n", "r.toml:2: a rule must be a table"),
        (
            'version = 1\npipe = "other"\n' + _GOOD[12:],
            "r.toml:2: unknown key `pipe`: use one of version, type, frame, ",
        ),
        (reply('text = "a"', 'typ = "byte"'), "r.toml:2: unknown key `typ`: did you mean `type`?"),
        (reply('text = "a"', 'type = "bytes"'), "r.toml:2: unknown type `bytes`: did you mean `byte`?"),
        (reply('text = "a"', 'codec = "disord"'), "r.toml:2: no codec is called 'disord': use discord"),
        (reply('text = "a"', 'codec = "x.py:Codec"'), "r.toml:2: no codec is called 'x.py:Codec': use one of text, "),
        (reply('text = "a"', "codec = 5"), "r.toml:2: `codec` must be a string, not a whole number"),
        (reply('text = "a"', 'frame = "u32"'), "r.toml:2: unknown rule 'u32': use one of "),
        (reply('text = "a"', 'frame = "idle:1"'), "r.toml:2: `idle:1`: a server cannot use silence"),
        (
            reply('text = "a"', 'codec = "text"\nframe = "line"'),
            "r.toml:3: use `frame` or `codec`: a codec has its own frames",
        ),
        (reply('text = "a"', 'unmatched = "eco"'), "r.toml:2: unknown unmatched `eco`: did you mean `echo`?"),
        (reply('text = "a"', 'greeting = { txt = "a" }'), "r.toml:2: unknown key `txt`: did you mean `text`?"),
        (reply('text = "a"', 'scope = "all"'), "r.toml:2: unknown scope `all`: use one of client, server"),
        # Rules
        (rule('name = "a"'), "r.toml:3: a rule must have `reply` or `replies`"),
        (rule("replies = []"), "r.toml:4: `replies` must have at least one reply"),
        (rule("replies = [\n{ none = true },\n{ txt = 5 }]"), "r.toml:6: unknown key `txt`: did you mean `text`?"),
        (rule("when = 5\nreply = { none = true }"), "r.toml:4: `when` must be a table"),
        (rule("times = 0\nreply = { none = true }"), "r.toml:4: `times` must be 1 or more"),
        (rule("times = true\nreply = { none = true }"), "r.toml:4: `times` must be a whole number, not true or false"),
        (rule("expect = -1\nreply = { none = true }"), "r.toml:4: `expect` must be 0 or more"),
        (rule("cycle = true\nreply = { none = true }"), "r.toml:4: `cycle` needs `replies`"),
        (rule("chance = 2\nreply = { none = true }"), "r.toml:4: `chance` must be a number from 0 to 1, not `2`"),
        (rule("state = 5\nreply = { none = true }"), "r.toml:4: `state` must be a string or an array of strings"),
        (rule('exec = "calc"\nreply = { none = true }'), "r.toml:4: unknown key `exec`: did you mean `expect`?"),
        # Conditions
        (rule("when = { txt = 5 }\nreply.none = true"), "r.toml:4: unknown key `txt`: did you mean `text`?"),
        (rule("when = { text = 5 }\nreply.none = true"), "r.toml:4: `5` must be a string"),
        (rule('when = { regex = "a(" }\nreply.none = true'), "r.toml:4: not a regular expression: missing ), unterm"),
        (rule('when = { hex = "0" }\nreply.none = true'), "r.toml:4: an odd number of hex digits: `0` in `0`"),
        (rule('when = { hex = "0g" }\nreply.none = true'), "r.toml:4: not hex: `0g` in `0g`"),
        (rule('when = { size = ">x" }\nreply.none = true'), "r.toml:4: invalid size 'x'"),
        (rule("when = { empty = 1 }\nreply.none = true"), "r.toml:4: `empty` must be true or false"),
        (
            rule('when = { json = { "a.b" = 1 } }\nreply.none = true'),
            "r.toml:4: `a.b` is not a JSON pointer: write `/a/b`",
        ),
        (rule("when = { field = { a = 1 } }\nreply.none = true"), "r.toml:4: `field` needs a codec: write `codec = "),
        (
            rule('when = { http = { methd = "" } }\nreply.none = true'),
            "r.toml:4: unknown key `methd`: did you mean `method`?",
        ),
        (rule('when = { http = { header = "x" } }\nreply.none = true'), "r.toml:4: `header` must be a table"),
        (rule('[rule.when.http]\npath = "["\n[rule.reply]\nnone = true'), "r.toml:5: not a regular expression"),
        (
            rule('when = { client = { exee = "" } }\nreply.none = true'),
            "r.toml:4: unknown key `exee`: did you mean `exe`?",
        ),
        (
            rule('when = { client = { pid = "x" } }\nreply.none = true'),
            "r.toml:4: `pid` must be a whole number, not a string",
        ),
        (rule("when = { any = [] }\nreply.none = true"), "r.toml:4: `any` must be an array of tables"),
        (rule("when = { any = [\n{ text = 'a' },\n{ txt = 'b' }] }\nreply.none = true"), "r.toml:6: unknown key `txt`"),
        (
            rule("when = { not = { nothing = 1 } }\nreply.none = true"),
            "r.toml:4: unknown key `nothing`: did you mean `nth`",
        ),
        # Replies
        (reply('text = "a", hex = "00"'), "r.toml:4: a reply must have one of text, "),
        (reply('delay = "1s"'), "r.toml:4: a reply must have one of text, "),
        (reply("text = 5"), "r.toml:4: `text` must be a string"),
        (reply("none = false"), "r.toml:4: `none` can only be true"),
        (reply('hex = "000"'), "r.toml:4: an odd number of hex digits: `000`"),
        (reply('hex = "0x"'), "r.toml:4: `x` is not a hex digit"),
        (reply('base64 = "a"'), "r.toml:4: "),
        (reply("json = 2026-11-26"), "r.toml:4: 2026-11-26 is not a JSON value: write it as a string"),
        (reply('lines = "a"'), "r.toml:4: `lines` must be an array of strings"),
        (reply("empty = true", 'type = "byte"'), "r.toml:4: a byte pipe has no empty messages"),
        (reply('text = "a", dealy = 5'), "r.toml:4: unknown key `dealy`: did you mean `delay`?"),
        (reply('text = "a", delay = "soon"'), "r.toml:4: `delay=soon`: invalid duration 'soon'"),
        (
            reply('text = "a", close = "rest"'),
            "r.toml:4: `close=rest`: use one of before, middle, after, reset: did you",
        ),
        (reply('text = "a", drop = 5'), "r.toml:4: `drop` takes no value"),
        (reply('text = "a", join = 2'), "r.toml:4: `join` needs `frames`"),
        (reply("frames = [{ none = true }], join = 0"), "r.toml:4: `join` must be 1 or more"),
        (reply("frames = [{ none = true }], delay = 1"), "r.toml:4: write `delay` in one of the `frames`"),
        (reply('text = "a", field = { a = 1 }'), "r.toml:4: `field` needs a codec"),
        (reply('text = "a", field = 5', 'codec = "discord"'), "r.toml:4: `field` must be a table, not `5`"),
        (
            reply('text = "{}", field = { op = "pnog" }', 'codec = "discord"'),
            "r.toml:4: no operation 'pnog': use one of",
        ),
        (
            reply('text = "a", field = { op = "pong" }', 'codec = "discord"'),
            "r.toml:4: the body is not valid: not JSON",
        ),
        (reply("text = 'a'", 'frame = "bytes:2"'), "r.toml:4: 1 bytes are not a frame of 2 bytes"),
        (reply("http = { status = 99 }"), "r.toml:4: `99` is not a status"),
        (reply("http = { statu = 99 }"), "r.toml:4: unknown key `statu`: did you mean `status`?"),
        (reply('http = { body = "a", json = 5 }'), "r.toml:4: use only one of body, json, hex, file"),
        (reply('http = { headers = { "a b" = "" } }'), "r.toml:4: `a b` must be the name of a header"),
        # Templates
        (reply('text = "${bdy}"'), "r.toml:4: unknown placeholder `${bdy}`: did you mean `body`?"),
        (reply('text = "${"'), "r.toml:4: `${` has no `}`: write `$${` for `${` itself"),
        (reply('text = "${1}"'), "r.toml:4: `${1}`: the regular expressions of this rule have 0 groups"),
        (reply('text = "${env:PATH}"'), "r.toml:4: unknown placeholder `${env:PATH}`: use one of body, hex, "),
        (reply('hex = "0 ${body} 0"'), "r.toml:4: an odd number of hex digits: `0`"),
        (reply('json = { a = ["${x}"] }'), "r.toml:4: unknown placeholder `${x}`"),
        (
            rule('when = { any = [{ regex = "(a)" }] }\nreply = { text = "${1}" }'),
            "r.toml:5: `${1}`: the regular expressions of this rule have 0 groups",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, expected: str) -> None:
    found = mistakes(text)
    assert found[0].startswith(expected)
    assert len(found) == 1


def test_all_mistakes_are_named_at_once_and_in_order() -> None:
    text = rule("replay = 1\nwhen = { txt = 1 }\nreply = { text = '${x}', delay = 'x' }", 'typ = "byte"')
    assert [line.split(":")[1] for line in mistakes(text)] == ["2", "4", "5", "6", "6"]


def test_bytes_that_are_not_utf_8_are_a_mistake() -> None:
    with pytest.raises(RulesError, match="r:2: not UTF-8"):
        read_rules(b"version = 1\n\xff", "r")


def test_a_file_from_windows_with_a_byte_order_mark_is_read() -> None:
    data = b"\xef\xbb\xbf" + _GOOD.replace("\n", "\r\n").replace("pong", "${x}").encode()
    with pytest.raises(RulesError, match="r:5: unknown placeholder"):
        read_rules(data, "r")


@pytest.mark.parametrize("name", ["../r.bin", "sub/../../r.bin", "{}"])
def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "r.bin").write_bytes(b"secret")
    name = name.format((tmp_path / "r.bin").as_posix())
    assert mistakes(reply(f"file = '{name}'"), tmp_path / "in") == [
        f"r.toml:4: `{name}` is not in the folder of the rules file"
    ]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "r.bin").write_bytes(b"secret")
    try:
        (tmp_path / "in" / "link").symlink_to(tmp_path / "r.bin")
    except OSError:
        pytest.skip("no links here")
    if (tmp_path / "in" / "link").resolve() == tmp_path / "in" / "link":
        pytest.skip("links are not resolved here")
    assert mistakes(reply("file = 'link'"), tmp_path / "in") == [
        "r.toml:4: `link` is not in the folder of the rules file"
    ]


def test_a_file_in_the_folder_is_a_reply(tmp_path: Path) -> None:
    (tmp_path / "r.bin").write_bytes(b"\0data")
    assert mistakes(reply("file = 'r.bin'"), tmp_path) == []
    assert mistakes(reply("file = 'none.bin'"), tmp_path)[0].startswith("r.toml:4: `none.bin` cannot be read: ")
    assert mistakes(reply("file = '.'"), tmp_path) == ["r.toml:4: `.` is not a file"]
    assert mistakes(reply("file = 'r.bin'")) == ["r.toml:4: `file` needs a rules file that is in a folder"]


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        (
            '[[rule]]\nstate = "redy"\nreply.none = true\n[[rule]]\nset = "ready"\nwhen.text = "a"\nreply.none = true',
            (7, "no rule has `set = 'redy'`, so this rule is never used: did you mean `ready`?"),
        ),
        (
            "[[rule]]\nreply.none = true\n[[rule]]\nreply.none = true",
            (8, "never used: rule 2 in line 6 applies to every message"),
        ),
        ("[[rule]]\ntimes = 1\nreply.none = true\n[[rule]]\nreply.none = true", None),
        ("[[rule]]\nchance = 0.5\nreply.none = true\n[[rule]]\nreply.none = true", None),
        ('[[rule]]\nstate = "start"\nset = "x"\nreply.none = true\n[[rule]]\nreply.none = true', None),
    ],
)
def test_a_rule_that_is_never_used_is_a_warning(more: str, warning: tuple[int, str] | None) -> None:
    found = read_rules((_GOOD + more).encode(), "r").warnings
    assert [tuple(mistake) for mistake in found] == ([] if warning is None else [warning])


def test_the_command_line_can_say_what_the_file_does_not() -> None:
    line = parse("line")
    assert str(read_rules(_GOOD.encode(), "r", rule=line).framing) == "line"
    assert read_rules(b'type = "byte"\n' + _GOOD.encode(), "r", is_message=True).is_message is True
    with pytest.raises(RulesError, match="r:1: remove this, or `--frame line`"):
        read_rules(b'frame = "nul"\n' + _GOOD.encode(), "r", rule=line)


# Lines


def test_the_lines_of_all_keys_are_found() -> None:
    text = (
        """# a comment with [ and = and "
a = 1 # another
"b.c" = 'x # = [' ; """.rstrip("; ")
        + '''
d.e = { f = [1,
  { g = """
text = [
""", h = 07:32:00 }] }
[[t]]
x = 1
[[t]]
y = \'\'\'
z = 5
\'\'\'
[t.u]
v = "\\"]"
[[t.w]]
[[t.w]]
k = 1
'''
    )
    found = {path: line for path, line in lines_of(text).items() if path}
    assert found == {
        ("a",): 2,
        ("b.c",): 3,
        ("d",): 4,
        ("d", "e"): 4,
        ("d", "e", "f"): 4,
        ("d", "e", "f", 0): 4,
        ("d", "e", "f", 1): 5,
        ("d", "e", "f", 1, "g"): 5,
        ("d", "e", "f", 1, "h"): 7,
        ("t",): 8,
        ("t", 0): 8,
        ("t", 0, "x"): 9,
        ("t", 1): 10,
        ("t", 1, "y"): 11,
        ("t", 1, "u"): 14,
        ("t", 1, "u", "v"): 15,
        ("t", 1, "w"): 16,
        ("t", 1, "w", 0): 16,
        ("t", 1, "w", 1): 17,
        ("t", 1, "w", 1, "k"): 18,
    }


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _VALUES))
def test_each_key_of_json_is_found_and_nothing_else(value: dict[str, object]) -> None:
    def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return {path}.union(*(paths(one, (*path, key)) for key, one in pairs))

    found = lines_of(json.dumps(value, indent=1), is_json=True)
    assert {len(path) for path in found} == {len(path) for path in paths(value)}
    assert len(found) == len(paths(value))


@given(st.text(alphabet="[]{}=,:\"'#\n ax1.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for data in (text, "{" + text):
        mistakes(data)


_KEYS = st.sampled_from(
    sorted(
        {*rules_file._KEYS, *rules_file._RULE_KEYS, *rules_when._READERS, *rules_when._HTTP, *rules_when._CLIENT}
        | {*rules_reply._KEYS, "status", "headers", "/a", "exists", "x"}
    )
)
_SCALARS = st.sampled_from(
    [None, True, 0, 1, -1, 0.5, 10**400, "", "a", "${body}", "${1}", "0b", "(", "/", "1s", "line"]
)
_TABLES = st.recursive(
    _SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_KEYS, values, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_KEYS, _TABLES), st.sampled_from([None, "discord", "docker", "ssh-agent", "text"]))
def test_any_tables_are_read_or_refused(table: dict[str, object], codec: str | None) -> None:
    rule = {"reply": {"text": "a"}, **table}
    whole = {"version": 1, "rule": [rule, table], **({"codec": codec} if codec else {})}
    mistakes(json.dumps(whole))
    mistakes(json.dumps({**whole, **table}))


def test_the_page_about_rules_has_all_keys() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mock.md").read_text(encoding="utf-8")
    keys = {*rules_file._KEYS, *rules_file._RULE_KEYS, *rules_when._READERS, *rules_reply._CONTENTS, "field", "raw"}
    missing = [key for key in keys if not re.search(rf"`(\[\[)?{key}\b|\b{key} = ", page)]
    names = [name.partition(":")[0] for name in NAMES]
    assert missing + [name for name in names if f"`${{{name}" not in page] == []


# Watching


def test_a_file_that_changes_is_read_again_and_a_broken_one_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    problems: list[str] = []

    def write(text: str, time: int) -> None:
        path.write_text(text, encoding="utf-8")
        os.utime(path, (time, time))

    def read(data: bytes) -> Rules:
        return read_rules(data, "r")

    write(_GOOD, 1_000_000_000)
    watched = Watched(path, read, read(_GOOD.encode()), problems.append)
    assert watched.changed() is None
    write(_GOOD.replace("ping", "pong"), 1_000_000_002)
    assert watched.changed() is not None
    assert watched.changed() is None
    write(_GOOD.replace("when", "whne"), 1_000_000_004)
    assert watched.changed() is None
    assert problems == ["the previous rules stay in use: r:4: unknown key `whne`: did you mean `when`?"]
    path.unlink()
    assert watched.changed() is None
    write('type = "byte"\n' + _GOOD, 1_000_000_006)
    assert watched.changed() is None
    assert "`type`, `frame` or `codec` is another" in problems[1]
    write(_GOOD, 1_000_000_008)
    assert watched.changed() is not None
    assert len(problems) == 2
