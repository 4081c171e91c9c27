"""`pipectl bench`: measures the throughput and the latencies of a server."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pipectl.core.constants import LARGEST_WRITE, size_text
from pipectl.options import SENT, Option, UsageError, option, with_examples
from pipectl.options.client import OpenOptions, framed, max_reply, pipe_argument, rule_of, rule_options
from pipectl.options.payload import EncodingOption, Payload
from pipectl.options.types import DURATION, LIMIT, SIZE
from pipectl.output import Output
from pipectl.output.text import counted

if TYPE_CHECKING:
    from pipectl.core.checks.bench import Bench, Target
    from pipectl.core.checks.bench_floor import Floor
    from pipectl.core.checks.bench_plan import Limit, Plan

# Seconds between two updates of the progress, because each one disturbs the measurement slightly.
_GLANCE = 1.0
_DEFAULT_DURATION = 5.0
_MOST_CONNECTIONS = 10_000
_LOWEST_RATE, _HIGHEST_RATE = 0.001, 1e7
_LOAD = "Load"
# The hidden option of `selftest` that starts this program in a role, such as that of an echo server.
_ROLE = ("selftest", "--role")


class LoadOptions:
    """The load of the server: a Plan."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of the load."""
        return [
            Option(
                ["-c", "--connections"],
                type=click.IntRange(1, _MOST_CONNECTIONS),
                default=1,
                show_default=True,
                metavar="N",
                section=_LOAD,
                help="Number of connections at once; each has one request on its way at a time.",
            ),
            Option(
                ["--duration"],
                type=DURATION,
                section=_LOAD,
                help="How long to measure (2.5, 500ms, 2m).  [default: 5]",
            ),
            Option(
                ["-n", "--count"],
                type=click.IntRange(1),
                metavar="N",
                section=_LOAD,
                help="Measure N exchanges, instead of a time.",
            ),
            Option(
                ["--rate"],
                type=float,
                metavar="N",
                section=_LOAD,
                help="Send N requests per second, over all connections, whether the server keeps up or not. Latency "
                "then counts from when a request was due.  [default: send when the reply has come]",
            ),
            Option(
                ["--warmup"],
                type=DURATION,
                default="0.5",
                show_default=True,
                section=_LOAD,
                help="How long to send before measuring.",
            ),
            Option(
                ["--new-connection"],
                is_flag=True,
                section=_LOAD,
                help="Open a connection for each exchange, and include that in its latency.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Plan":
        """Return the plan; raises UsageError for limits that exclude each other, or would never end."""
        from pipectl.core.checks.bench_plan import Plan

        duration, count, warmup = params["duration"], params["count"], params["warmup"]
        if duration is not None and count is not None:
            raise click.UsageError("use only one of `--duration` and `--count`")
        duration = _DEFAULT_DURATION if duration is None else duration
        if not duration:
            raise click.UsageError("`--duration`: must be above 0")
        if warmup is None:
            raise click.UsageError("`--warmup`: must have a limit")
        if params["rate"] is not None and not _LOWEST_RATE <= params["rate"] <= _HIGHEST_RATE:
            raise click.UsageError(f"`--rate`: must be from {_LOWEST_RATE:g} to {_HIGHEST_RATE:,.0f}")
        return Plan(params["connections"], duration, count, params["rate"], warmup)


class EachOpenOptions(OpenOptions):
    """The same options for a command whose time limit applies to each exchange."""

    @classmethod
    def timeout_help(cls) -> str:
        """Return what `--timeout` does."""
        return "Time limit for opening the connections, and for each exchange (2.5, 500ms, 2m; none = no limit)."


class BenchPayload(Payload):
    """The bytes of each request; by default, bytes of a given size."""

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of a payload, and the size of the default one."""
        size = Option(
            ["--size"],
            type=SIZE,
            default="64",
            show_default=True,
            section=SENT,
            help="Send SIZE bytes if there is no DATA: the letter x again and again.",
        )
        return [*super().parameters(), size]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> bytes:
        """Return the bytes; raises UsageError for more than one source."""
        is_given = params["data"] is not None or params["data_file"] is not None
        if not (is_given or params["from_stdin"] or params["empty"]):
            return super().from_params({**params, "data": "x" * params["size"]})
        return super().from_params(params)


class ExchangeOptions(NamedTuple):
    """One exchange: how the pipe is opened, what is sent, and where the reply ends."""

    target: "Target"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options of an exchange."""
        return [
            *BenchPayload.parameters(),
            *EncodingOption.parameters(),
            max_reply(),
            *rule_options(
                "Where a reply ends: line, nul, bytes:SIZE, u32le, json, http ...; `pipectl help framing` lists all "
                "rules. A byte pipe needs one; rules that wait for silence (idle) cannot be measured.  [default: one "
                "message]",
                "Send the request as a frame of this rule, and read a frame.",
            ),
            *EachOpenOptions.parameters(),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "ExchangeOptions":
        """Return the exchange; raises UsageError for one that cannot be sent or measured."""
        from pipectl.core.checks.bench import Target

        rule, is_framed = rule_of(params)
        opening = EachOpenOptions.from_params(params)
        if opening.timeout == 0:
            raise click.UsageError("`--timeout`: must be above 0, because it limits each exchange")
        if rule is not None and rule.idle is not None:
            raise UsageError(
                f"`--until {rule}` waits for silence: that would be measured, and not the server",
                "Say how the reply itself ends, as in `--until line`: `pipectl help framing`",
            )
        if str(rule) == "eof" and not params["new_connection"]:
            raise UsageError("`--until eof`: the server closes after each reply", "Add `--new-connection`")
        request = BenchPayload.from_params(params)
        request = framed(rule, request) if is_framed else request
        if len(request) > LARGEST_WRITE:
            raise click.UsageError(
                f"a request of {len(request):,} bytes: `bench` sends at most {size_text(LARGEST_WRITE)} at once"
            )
        return cls(
            Target(
                params["pipe"],
                request,
                rule,
                params["max_message"],
                opening.timeout,
                **opening.opening(),
                new_connection=params["new_connection"],
            )
        )


@with_examples(
    ("pipectl bench svc --duration 1", "Measure for a second, with one connection."),
    ("pipectl bench svc ping -c 10 --count 1000", "Measure 1,000 exchanges over 10 connections."),
    ("pipectl bench svc --rate 100 --duration 1 --fail-above p99=1s", "Send 100 requests per second, for a script."),
    groups={"exchange": ExchangeOptions, "plan": LoadOptions},
)
@pipe_argument
@option(
    "--fail-above",
    "limits",
    type=LIMIT,
    multiple=True,
    metavar="LIMIT",
    section=_LOAD,
    help="Exit with code 12 if a latency is above its limit: p50=200us, p99.9=20ms, max=1; can be repeated.",
)
@option("--no-floor", is_flag=True, section=_LOAD, help="Do not measure first what this tool alone needs.")
@click.pass_obj
def command(
    output: Output,
    /,
    exchange: ExchangeOptions,
    plan: "Plan",
    limits: "tuple[Limit, ...]",
    no_floor: bool,
    **_pipe: str,
) -> None:
    """Measure the throughput and the latencies of a server.

    Opens the pipe and sends it requests as fast as it replies, or at `--rate`: a real server does real work for each of
    them. One exchange is tried first; if it fails, the exit code is that of its error, and nothing is measured.

    Without `--rate`, a connection sends its next request when the reply has come. A server that stalls is then sent
    fewer requests, so that few latencies show the stall (coordinated omission). With `--rate`, every request that was
    due during the stall is measured with its whole delay.

    An exchange that fails is counted by the kind of its error, its connection is opened again, and the exit code is 10.
    Ctrl+C ends the measurement, and what was measured is shown.
    """
    from pipectl.core.checks.bench import Bench
    from pipectl.core.checks.bench_floor import measure_floor
    from pipectl.core.checks.bench_plan import verify

    with ExitStack() as stack:
        bench = stack.enter_context(Bench(exchange.target, plan))
        with output.waiting(f"a reply from {exchange.target.pipe}"):
            bench.open()
        if not output.quiet:
            output.warning(_warning(bench))
        with output.live():
            output.progress("measuring what this tool alone needs")
            floor = None if no_floor else measure_floor(bench, _ROLE)
        stack.callback(partial(_show, output, bench, floor))
        stack.enter_context(output.live())
        bench.start()
        while not bench.wait(_GLANCE):
            output.progress(_progress(bench))
    verify(bench.score, limits)


def _warning(bench: "Bench") -> str:
    server = bench.server
    who = f", process {server.pid}{f' ({server.program})' if server.program else ''}," if server else ""
    rate = bench.plan.rate
    pace = "as fast as it replies" if rate is None else f"{rate:g} times a second"
    return f"the server of {bench.target.pipe}{who} gets real requests, {pace}"


def _progress(bench: "Bench") -> str:
    score, now = bench.score, perf_counter()
    if now < bench.schedule.measured_from:
        return "warming up"
    seconds = now - bench.schedule.measured_from
    failed = f", {score.failed_count:,} failed" if score.failed_count else ""
    rate = score.succeeded_count / seconds
    return f"{bench.schedule.progress(now):4.0%}  {score.succeeded_count:,} exchanges, {rate:,.0f} per second{failed}"


def _show(output: Output, bench: "Bench", floor: "Floor | None") -> None:
    bench.close()  # Ctrl+C may have interrupted it
    record = bench.as_record()
    if output.is_json:
        output.data.record({**record, "floor": floor and floor.as_dict()})
        return
    output.data.record(dict(_rows(record, floor)))
    for text in _notes(bench):
        output.note(text)


def _rows(record: Mapping[str, Any], floor: "Floor | None") -> Iterator[tuple[str, Any]]:
    """Yield the labels and values for a person."""
    yield "exchanges", f"{record['exchanges']:,} in {record['seconds']:.3g} s"
    yield "throughput", f"{record['per_second']:,.0f} per second"
    yield "data", f"{_size(record['bytes_sent'])} sent, {_size(record['bytes_received'])} received"
    for name, seconds in (record["latency"] or {}).items():
        yield f"latency {name}", _time(seconds)
    if "late" in record:
        yield "sent late", f"{_time(record['late']['p50'])} (p50), {_time(record['late']['p99'])} (p99)"
    if floor is not None:
        yield (
            "this tool alone",
            f"{_time(floor.p50)} (p50), {floor.per_second:,.0f} per second with its own echo",
        )
    if record["failed"]:
        yield (
            "failed",
            [f"{failures['exchanges']:,} {failures['kind']}: {failures['message']}" for failures in record["failures"]],
        )


def _notes(bench: "Bench") -> Iterator[str]:
    """Yield notes that are needed to interpret the numbers."""
    if bench.ended_by == "failures":
        yield f"given up: every exchange failed for {bench.target.timeout:g} s"
    if bench.plan.rate is None:
        yield (
            "closed loop: a stall of the server delays the requests that would have measured it (coordinated "
            "omission); `--rate` measures it"
        )
    elif bench.is_saturated:
        unsent = f", and {counted(bench.schedule.unsent, 'request')} were never sent" if bench.schedule.unsent else ""
        yield (
            f"saturated: {bench.schedule.backlog:,} requests were due and waited for a free connection when the time "
            f"was up{unsent}; the latencies grow with the duration"
        )


def _time(seconds: float) -> str:
    """Return a time with three digits."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def _size(size: int) -> str:
    """Return a number of bytes with three digits."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 999.5:
            break
        number, unit = number / 1024, larger
    return f"{number:.3g} {unit}"
