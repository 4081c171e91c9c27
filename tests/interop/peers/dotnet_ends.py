""".NET pipe ends that a test controls with lines of JSON.

`["server", ARGUMENTS]` and `["client", ARGUMENTS]` create an end and return its number; `[METHOD, NUMBER,
ARGUMENTS...]` calls one of its methods. The response is `{"result": ...}`, or `{"error": NAME}` with the name of the
exception. Bytes are text in Latin-1.
"""

import json
import sys
from typing import Any

from dotnet import End

ends: list[End] = []


def operate(name: str, *arguments: Any) -> Any:
    """Execute the command in a line."""
    if name in ("server", "client"):
        ends.append(getattr(End, name)(**arguments[0]))
        return len(ends) - 1
    number, *rest = arguments
    return getattr(ends[number], name)(*(part.encode("latin-1") if isinstance(part, str) else part for part in rest))


for line in sys.stdin:
    try:
        answer = {"result": operate(*json.loads(line))}
    except Exception as error:  # noqa: BLE001 - any exception is a result
        inner = getattr(error, "InnerException", None)  # the exception of a task is wrapped
        answer = {"error": type(inner or error).__name__}
    sys.stdout.write(json.dumps(answer, default=lambda data: data.decode("latin-1")) + "\n")
    sys.stdout.flush()
