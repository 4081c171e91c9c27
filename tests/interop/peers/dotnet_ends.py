"""Pipe ends of .NET that a test controls, line by line in JSON.

`["server", ARGUMENTS]` and `["client", ARGUMENTS]` make an end and answer with its number; `[METHOD, NUMBER,
ARGUMENTS...]` calls a method of it. The answer is `{"result": ...}`, or `{"error": NAME}` of the exception. Bytes are
text in Latin-1.
"""

import json
import sys
from typing import Any

from dotnet import End

ends: list[End] = []


def operate(name: str, *arguments: Any) -> Any:
    """Do what a line asks for."""
    if name in ("server", "client"):
        ends.append(getattr(End, name)(**arguments[0]))
        return len(ends) - 1
    number, *rest = arguments
    return getattr(ends[number], name)(*(part.encode("latin-1") if isinstance(part, str) else part for part in rest))


for line in sys.stdin:
    try:
        answer = {"result": operate(*json.loads(line))}
    except Exception as error:  # noqa: BLE001 - whichever it is, it is the answer
        inner = getattr(error, "InnerException", None)  # what a task raised is wrapped
        answer = {"error": type(inner or error).__name__}
    sys.stdout.write(json.dumps(answer, default=lambda data: data.decode("latin-1")) + "\n")
    sys.stdout.flush()
