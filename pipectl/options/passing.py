"""The options of commands that pass data on: where messages end, and when a session does."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from . import Option, UsageError
from .server import FAULTS, FaultOptions
from .types import DURATION, FRAMING

if TYPE_CHECKING:
    from pipectl.core.codecs.base import Side
    from pipectl.core.pipe.frames import Framing
    from pipectl.core.traffic.faults import Fault, Faults
    from pipectl.core.traffic.relay import RelayConfig
    from pipectl.core.traffic.session import Session
    from pipectl.core.traffic.watched import Filters

    OnFault = Callable[[Session, Side, Fault], object]

PASSED = "Data"
# Rules that cannot find the end of a frame while the stream continues, or not in one direction alone.
_UNFIT = {
    "eof": "the whole stream would be one frame",
    "http": "whether a response has a body depends on its request",
}


class SideRules(NamedTuple):
    """The framing rule of each side of a relay; None for a side without frames."""

    listen: "Framing | None" = None
    target: "Framing | None" = None

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "SideRules":
        """Return the rules of all `--frame SIDE:RULE`; raises UsageError, also for a rule that cannot work."""
        rules: dict[str, Framing] = {}
        for text in texts:
            side, _, rule = text.partition(":")
            if side not in cls._fields:
                raise UsageError(
                    f"`--frame {text}`: SIDE is listen or target", f"Write `--frame target:{rule or text}`"
                )
            if side in rules:
                raise click.UsageError(f"`--frame {side}:...` is given twice")
            rules[side] = framing = FRAMING.convert(rule, None, None)
            reason = "a pause does not end what is sent" if framing.idle else _UNFIT.get(str(framing))
            if reason:
                raise click.UsageError(f"`--frame {text}`: {reason}; use another rule")
        return cls(**rules)


class PassingOptions(NamedTuple):
    """How the data is passed on, and when a session is over."""

    is_eager: bool
    half_closes: bool
    linger: float
    client_idle: float | None
    frames: SideRules

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return the options for passing data on."""
        return [
            Option(
                ["--eager"],
                is_flag=True,
                section=PASSED,
                help="Keep one connection to TARGET open in advance. LISTEN exists only while TARGET does.",
            ),
            Option(
                ["--frame"],
                multiple=True,
                metavar="SIDE:RULE",
                section=PASSED,
                help="Unpack frames from SIDE (listen or target) into messages, and wrap messages to SIDE in frames, "
                "such as target:u32le. `pipectl help framing` lists the rules.",
            ),
            Option(
                ["--half-close"],
                type=click.Choice(["auto", "none"]),
                default="auto",
                show_default=True,
                section=PASSED,
                help="Pass on the end of one direction: as FIN, as the end of stdin, or as an empty message on a "
                "message pipe; `none` passes on only data.",
            ),
            Option(
                ["--linger"],
                type=DURATION,
                default="1",
                show_default=True,
                section=PASSED,
                help="How long to wait for more data from a side that cannot receive an end of data, and for a program "
                "to exit.",
            ),
            Option(
                ["--client-idle"],
                type=DURATION,
                default="none",
                section=PASSED,
                help="Disconnect a client after this long without data in either direction.  [default: none]",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "PassingOptions":
        """Return how data is passed on; raises UsageError for `--linger none`, and for an invalid `--frame`."""
        linger = params["linger"]
        if linger is None:
            raise click.UsageError("`--linger none`: the relay would wait without end; give a number of seconds")
        return cls(
            params["eager"],
            params["half_close"] == "auto",
            linger,
            params["client_idle"],
            SideRules.parse(params["frame"]),
        )

    def filters(self, max_frame: int) -> "Filters | None":
        """Return the factory of a relay's filters, for frames of at most `max_frame` bytes; None if there are none."""
        if self.frames == SideRules():
            return None
        from pipectl.core.traffic.reframing import reframing

        return reframing(self.frames.listen, self.frames.target, max_frame)


class RelayFaultOptions(NamedTuple):
    """The faults of a relay, if there are any, and whose data they affect."""

    faults: "Faults | None"
    sides: "tuple[Side, ...]"

    @classmethod
    def parameters(cls) -> list[click.Parameter]:
        """Return `--fault`, `--seed` and `--fault-from`."""
        return [
            *FaultOptions.parameters(),
            Option(
                ["--fault-from"],
                type=click.Choice(["client", "target", "both"]),
                default="target",
                show_default=True,
                section=FAULTS,
                help="Whose data the faults affect: the client's requests, the target's replies, or both.",
            ),
        ]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "RelayFaultOptions":
        """Return the faults and the sides; raises UsageError for a fault that a relay does not have."""
        faults = FaultOptions.from_params(params)
        if faults is None:
            return cls(None, ())
        from pipectl.core.codecs.base import Side
        from pipectl.core.traffic.disturbing import UNFIT

        unfit = [fault.name for fault in faults.arrivals if fault.name in UNFIT]
        if unfit:
            raise UsageError(
                f"`--fault {unfit[0]}` is only for a server", "Use it with `pipectl serve` as the target of the relay"
            )
        sides = {"client": (Side.CLIENT,), "target": (Side.SERVER,), "both": (Side.CLIENT, Side.SERVER)}
        return cls(faults, sides[params["fault_from"]])

    def disturb(self, config: "RelayConfig", on_fault: "OnFault") -> "RelayConfig":
        """Return the configuration of a relay with the faults, if there are any."""
        if self.faults is None:
            return config
        from pipectl.core.traffic.disturbing import Disturbance

        disturbance = Disturbance(self.faults, self.sides, filters=config.filters, on_fault=on_fault)
        return config._replace(filters=disturbance.filter, refuses=disturbance.refuses)
