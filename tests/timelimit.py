"""Fails a test that hangs, and runs the tests after it in a process of their own.

Nothing in Python ends a thread that waits in the kernel or for a lock, and that is what a hung test does. So a watchdog
reports the failure, starts the same pytest again for the tests that are left, and ends as that one ends. The other
process gets all reports so far, and its summary is that of the whole run, but for the time. A test that hangs and holds
Python's global lock stops the watchdog too: of it, faulthandler_timeout shows where it is.
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

# As it was before the tests changed it.
_ENVIRONMENT = dict(os.environ)
# Names the file of the reports so far, to the process that runs the rest.
_EARLIER = "PIPECTL_EARLIER_REPORTS"
_PHASES = ("setup", "call", "teardown")


class TimeLimit:
    """A plugin of pytest that gives a test, with its fixtures, so many seconds. Make it in `pytest_configure`."""

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        self._config = config
        self._seconds = seconds
        self._earlier = os.environ.pop(_EARLIER, None)
        self._streams = os.dup(1), os.dup(2)  # before pytest captures what tests write
        self._ended = threading.Event()
        # Whose turn it is to report. The watchdog keeps it, so that a test that ends too late reports no more.
        self._turn = threading.Lock()
        self._reports: list[pytest.TestReport] = []
        self._item: pytest.Item | None = None
        self._until = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Begin with the reports of the process before, and watch the tests that are left."""
        if session.testsfailed:
            return (yield)  # the collection failed
        if self._earlier:
            self._report_again(session, Path(self._earlier))
        # pytest would take failures from before for those of the collection.
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
        """Give the next test its time."""
        with self._turn:
            self._item = item
            self._until = time.monotonic() + self._seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report for the process that may come after this one."""
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
            # A loop of Python's own would take the processor from that process. No report comes of this exception.
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
        except BaseException:  # noqa: BLE001 - this thread alone can end the process
            os.write(stderr, traceback.format_exc().encode())
        os._exit(code)

    def _hung(self, item: pytest.Item) -> pytest.TestReport:
        """Report the failure, with what each thread is doing."""
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
    """End the programs that a test has started and left running, which may keep our streams open."""
    for thing in gc.get_objects():
        if isinstance(thing, subprocess.Popen) and thing.returncode is None:
            with suppress(OSError):
                thing.kill()
