"""What docs/quoting.md says of the command lines that shells make, as the C runtime splits them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "quoting.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| (.+?) \| `(.+?)` \| `.+?` \|$", PAGE, re.MULTILINE))


def split(line: str) -> list[str]:
    """Return the arguments that a program gets whose command line goes on like this."""
    program = f'{sys.executable} -c "import json, sys; print(json.dumps(sys.argv[1:]))" {line}'
    return json.loads(subprocess.check_output(program, stdin=subprocess.DEVNULL, timeout=60))  # type: ignore[no-any-return]


def of_powershell_5(argument: str) -> str:
    """Write an argument as PowerShell up to 7.2 does: in quotes if it has a space, and left out if it is empty."""
    return f'"{argument}"' if " " in argument else argument


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("PowerShell 7.3 and newer", subprocess.list2cmdline(['{"cmd":"ping"}'])),
        ("Windows PowerShell 5.1, PowerShell 7.0 to 7.2", of_powershell_5(r"{\"cmd\":\"ping\"}")),
        ("cmd", r'"{\"cmd\":\"ping\"}"'),
    ],
)
def test_json_arrives_whole_if_it_is_written_as_the_page_says(shell: str, line: str) -> None:
    assert split(line) == ['{"cmd":"ping"}']
    assert ROWS[shell].strip("'") in (line, '{"cmd":"ping"}')


def test_powershell_up_to_7_2_loses_quotes_empty_arguments_and_ends() -> None:
    assert split(of_powershell_5('{"cmd":"ping"}')) == ["{cmd:ping}"]
    assert split(of_powershell_5("")) == []
    assert split(f"{of_powershell_5('C:/my dir' + chr(92))} next") == ['C:/my dir" next']
    assert split(f"{of_powershell_5('C:/my dir' + chr(92) * 2)} next") == ["C:/my dir" + chr(92), "next"]
