"""The timer resolution for waits of this process: Windows rounds them up to 15.6 ms, or to 1 ms on request."""

from . import winapi

_MILLISECONDS = 1


def fine_timers() -> None:
    """Make waits accurate to about 1 ms, which uses more power; call `coarse_timers` afterwards."""
    winapi.library("winmm").timeBeginPeriod(_MILLISECONDS)


def coarse_timers() -> None:
    """Undo one call of `fine_timers`."""
    winapi.library("winmm").timeEndPeriod(_MILLISECONDS)
