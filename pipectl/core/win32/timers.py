"""How exactly a wait of this process ends on time: Windows rounds it up to 15.6 ms, or to 1 ms if it is asked."""

from . import winapi

_MILLISECONDS = 1


def fine_timers() -> None:
    """Have waits end within about 1 ms of their time, which takes more power; call `coarse_timers` afterwards."""
    winapi.library("winmm").timeBeginPeriod(_MILLISECONDS)


def coarse_timers() -> None:
    """Undo one `fine_timers`."""
    winapi.library("winmm").timeEndPeriod(_MILLISECONDS)
