"""A NamedPipeClientStream of .NET, used synchronously: `dotnet_client.py PIPE`.

The loops are built from .NET expressions and compiled by .NET, so that no Python code runs in them.
"""

import sys
from typing import Any

from worker import CHUNK, LARGE, SMALL, run_loops

from tests.interop.peers.dotnet import CLR, SYSTEM, End, empty

CLR.AddReference("System.Linq.Expressions")

EXPRESSIONS = SYSTEM.Linq.Expressions
MAKE = EXPRESSIONS.Expression
INT, STREAM = CLR.GetClrType(SYSTEM.Int32), CLR.GetClrType(SYSTEM.IO.Stream)


def number(value: int) -> Any:
    return MAKE.Constant(SYSTEM.Int32(value))


def call(stream: Any, method: str, memory: Any) -> Any:
    """Return the call of `Read` or `Write` with a whole array."""
    array = CLR.GetClrType(SYSTEM.Array[SYSTEM.Byte])
    overload = STREAM.GetMethod(method, SYSTEM.Array[SYSTEM.Type]([array, INT, INT]))
    return MAKE.Call(MAKE.Constant(stream, STREAM), overload, MAKE.Constant(memory), number(0), number(memory.Length))


def while_positive(variable: Any, body: Any) -> Any:
    end = MAKE.Label()
    return MAKE.Loop(MAKE.IfThenElse(MAKE.GreaterThan(variable, number(0)), body, MAKE.Break(end)), end)


def block(*steps: Any) -> Any:
    return MAKE.Block(SYSTEM.Array[MAKE](steps))


def loop(stream: Any, size: int, *, reads: bool) -> Any:
    """Compile a function of a count, which writes `size` bytes, and reads as many if `reads`, that many times."""
    count, left = MAKE.Parameter(INT, "count"), MAKE.Parameter(INT, "left")
    steps = [MAKE.PreDecrementAssign(count), call(stream, "Write", empty(size))]
    if reads:
        read = call(stream, "Read", empty(max(size, len(CHUNK))))
        steps += [MAKE.Assign(left, number(size)), while_positive(left, MAKE.SubtractAssign(left, read))]
    variables = SYSTEM.Array[EXPRESSIONS.ParameterExpression]
    body = MAKE.Block(variables([left]), SYSTEM.Array[MAKE]([while_positive(count, block(*steps))]))
    return MAKE.Lambda[SYSTEM.Action[SYSTEM.Int32]](body, variables([count])).Compile()


pipe = sys.argv[1]
echo, sink = (End.client(name, "Message").stream for name in (pipe, f"{pipe}-sink"))
run_loops(
    {
        "write_read_64": loop(echo, len(SMALL), reads=True),
        "write_read_64k": loop(echo, len(CHUNK), reads=True),
        "write_read_1m": loop(echo, len(LARGE), reads=True),
        "write_64k": loop(sink, len(CHUNK), reads=False),
    }
)
