"""Fails a test that hangs, and runs the tests after it in another process.

Python cannot end a thread that waits in the kernel or for a lock, as hung tests do. So a watchdog reports the failure,
starts the same pytest again for the remaining tests, and exits with its exit code. The other process gets all reports
so far, so that its summary covers the whole run, except for the time. A test that hangs while it holds the GIL also
stops the watchdog; then faulthandler_timeout shows where it hangs.
"""

import faulthandler
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import suppress
from ctypes import c_ulong, py_object, pythonapi
from pathlib import Path
from typing import NoReturn

import pytest

# The environment before the tests changed it.
_ENVIRONMENT = dict(os.environ)
# The variable with the file of the reports so far, for the process that runs the rest.
_EARLIER = "PIPECTL_EARLIER_REPORTS"
_PHASES = ("setup", "call", "teardown")


class TimeLimit:
    """A pytest plugin that limits the seconds of a test with its fixtures. Create it in `pytest_configure`."""

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        self._config = config
        self._seconds = seconds
        self._earlier = os.environ.pop(_EARLIER, None)
        self._streams = os.dup(1), os.dup(2)  # before pytest captures what tests write
        self._ended = threading.Event()
        # Held while reporting. The watchdog does not release it, so that a test that ends too late cannot report.
        self._turn = threading.Lock()
        self._reports: list[pytest.TestReport] = []
        self._item: pytest.Item | None = None
        self._until = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Repeat the reports of the previous process, and watch the remaining tests."""
        if session.testsfailed:
            return (yield)  # the collection failed
        if self._earlier:
            self._report_again(session, Path(self._earlier))
        # pytest would count earlier failures as failures of the collection.
        failed, session.testsfailed = session.testsfailed, 0
        self._until = time.monotonic() + self._seconds
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            return (yield)
        finally:
            self._ended.set()
            session.testsfailed += failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Start the time limit of the next test."""
        with self._turn:
            self._item = item
            self._until = time.monotonic() + self._seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report for a process that may continue the run."""
        with self._turn:
            self._reports.append(report)

    def _report_again(self, session: pytest.Session, file: Path) -> None:
        hook = self._config.hook
        for data in json.loads(file.read_text(encoding="utf-8")):
            report = hook.pytest_report_from_serializable(config=self._config, data=data)
            hook.pytest_runtest_logreport(report=report)
        file.unlink()
        done = {report.nodeid for report in self._reports}
        session.items = [item for item in session.items if item.nodeid not in done]
        if session.shouldfail:  # with --maxfail
            raise session.Failed(session.shouldfail)

    def _watch(self) -> None:
        while not self._ended.wait(max(0.0, self._until - time.monotonic())):
            with self._turn:
                if self._item is not None and time.monotonic() >= self._until:
                    self._go_on_without(self._item)

    def _go_on_without(self, item: pytest.Item) -> NoReturn:
        code: int = pytest.ExitCode.INTERNAL_ERROR
        stdout, stderr = self._streams
        try:
            self._reports.append(self._hung(item))
            os.write(stderr, f"\n{item.nodeid} hangs; the tests after it run in another process\n".encode())
            faulthandler.cancel_dump_traceback_later()
            _end_children()
            # An endless loop in Python would take CPU time from that process. This exception is not reported.
            pythonapi.PyThreadState_SetAsyncExc(c_ulong(threading.main_thread().ident or 0), py_object(SystemExit))
            code = subprocess.run(
                [sys.executable, *sys.orig_argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self._config.invocation_params.dir,
                env={**_ENVIRONMENT, _EARLIER: self._write_reports()},
                check=False,
            ).returncode
        except BaseException:  # noqa: BLE001 - only this thread can end the process
            os.write(stderr, traceback.format_exc().encode())
        os._exit(code)

    def _hung(self, item: pytest.Item) -> pytest.TestReport:
        """Return the report of the failure, with the stack of each thread."""
        phases = sum(report.nodeid == item.nodeid for report in self._reports)
        stacks = "".join(
            f"\n{'Main thread' if thread == threading.main_thread().ident else 'Thread'}:\n"
            f"{''.join(traceback.format_stack(frame))}"
            for thread, frame in sys._current_frames().items()
            if thread != threading.get_ident()
        )
        return pytest.TestReport(
            item.nodeid,
            item.location,
            {},
            outcome="failed",
            longrepr=f"It has not ended after {self._seconds:g} s.\n{stacks}",
            when=_PHASES[min(phases, 2)],  # type: ignore[arg-type]
            duration=self._seconds,
        )

    def _write_reports(self) -> str:
        hook = self._config.hook
        data = [hook.pytest_report_to_serializable(config=self._config, report=report) for report in self._reports]
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False, encoding="utf-8") as file:
            json.dump(data, file, default=str)
        return file.name


def _end_children() -> None:
    """End programs that a test has left running, because they may keep our streams open."""
    for thing in gc.get_objects():
        if isinstance(thing, subprocess.Popen) and thing.returncode is None:
            with suppress(OSError):
                thing.kill()
