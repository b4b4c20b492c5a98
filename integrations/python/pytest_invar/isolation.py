"""Each benchmark in a process of its own, so that none depends on those before it.

Before the first benchmark the session forks a *template*: the suite is imported, and nothing has been set up or measured. For each
benchmark the template forks a child, which sets everything up that the benchmark needs, as if it were the only one, measures, and
sends its reports and warnings back. The template does nothing else, so every child begins with the same memory, however many are
measured at the same time (`jobs`).

What follows: fixtures of modules and sessions are set up for each benchmark anew, and a benchmark that needs what another one has
left behind does not find it. Collections of garbage, also those that a benchmark asks for, leave out what was there when the
template was made (`gc.freeze`), so that their cost is of the benchmark's own objects.
"""

import contextlib
import gc
import importlib
import json
import os
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, Callable, Optional

import pytest
from _pytest.runner import runtestprotocol

from . import _native

# Numbers on the pipes, and what asks for the end of a child instead of for the benchmark of a place.
_BYTES = 8
_WAIT = (1 << 64) - 1

# Messages to the session: their kind, the benchmark's place or its process, and how much follows.
_HEADER = struct.Struct(">BQH")
# A process was started for a benchmark; a process has ended, with this status; a part of a text, and its last one.
_STARTED, _ENDED, _PART, _TEXT = range(4)
# What is no longer than this with its header (`PIPE_BUF`) is written to a pipe at once.
_PART_BYTES = 4096 - _HEADER.size

# By this member a warning is told from a report.
_WARNING = "$invar_warning"

# What a child does with its benchmark; it is given what sends a report.
Measure = Callable[[pytest.Item, Callable[[bytes], None]], None]


class Isolation:
    """The plugin of a session whose benchmarks are apart from each other."""

    def __init__(self, instrument: Any) -> None:
        self._instrument = instrument
        self._template: Optional[_Template] = None
        # Places of benchmarks that were started and are not reported yet, and the first place that was not reached.
        self._started: set[int] = set()
        self._next = 0
        self._tell: Optional[Callable[[pytest.TestReport], None]] = None
        self._tell_warning: Optional[Callable[[dict[str, Any]], None]] = None

    # Before anything of the first test is in the template, such as the filters of its warnings.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        if not session.items or session.config.option.collectonly:
            return
        if threading.active_count() > 1:
            # They would not be in the children, and what they hold would be held for ever.
            _native.warning("importing the suite has started threads, so benchmarks share one process")
        else:
            self._template = _Template(session.items, self._measure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Optional[bool]:
        if self._tell is not None:
            for report in runtestprotocol(item, log=False, nextitem=None):
                self._tell(report)
            return True
        if self._template is None:
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item, self._template):
            hook.pytest_runtest_logreport(report=report)
            if report.when == "call" and report.passed:
                self._instrument.count += 1
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _start(self, template: "_Template", place: int, end: int) -> None:
        """Starts the benchmark at a place, unless it was, and those behind it that may be measured beside it."""
        beside = min(place + _native.jobs(), end)
        for other in (place, *range(max(self._next, place + 1), beside)):
            if other not in self._started:
                self._started.add(other)
                template.start(other)
        self._next = max(self._next, beside)

    def _reports(self, item: pytest.Item, template: "_Template") -> Iterator[pytest.TestReport]:
        items = item.session.items
        place = items.index(item)
        self._start(template, place, len(items))
        self._started.discard(place)
        for data in template.run(place):
            if _WARNING in data:
                item.ihook.pytest_warning_recorded.call_historic(kwargs=_recorded(data[_WARNING]))
                continue
            yield item.config.hook.pytest_report_from_serializable(config=item.config, data=data)
        if template.status != 0:
            how = f"signal {-template.status}" if template.status < 0 else f"status {template.status}"
            message = f"the process of the benchmark ended with {how}"
            _native.failed(item.nodeid, message)
            yield pytest.TestReport(item.nodeid, item.location, {}, "failed", message, "call")

    def _measure(self, item: pytest.Item, tell: Callable[[bytes], None]) -> None:
        """In the child: runs a benchmark with all that other plugins put around it, as if it were the only one."""
        hook = item.config.hook

        def serialized(report: pytest.TestReport) -> None:
            data = hook.pytest_report_to_serializable(config=item.config, report=report)
            tell(json.dumps(data, default=str).encode())

        self._tell = serialized
        self._tell_warning = lambda warning: tell(json.dumps({_WARNING: warning}).encode())
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)

    def pytest_warning_recorded(
        self, warning_message: "warnings.WarningMessage", when: str, nodeid: str
    ) -> None:
        """In the child: sends it to where the summary is written."""
        if self._tell_warning is not None:
            category = warning_message.category
            self._tell_warning(
                {
                    "message": str(warning_message.message),
                    "module": category.__module__,
                    "category": category.__qualname__,
                    "filename": warning_message.filename,
                    "lineno": warning_message.lineno,
                    "when": when,
                    "nodeid": nodeid,
                }
            )

    def pytest_sessionfinish(self) -> None:
        if self._template is not None:
            self._template.end()


def _recorded(sent: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `pytest_warning_recorded` for what a child has sent."""
    # The suite is imported here, too; a class that a test has made is not.
    category = getattr(importlib.import_module(sent["module"]), sent["category"], Warning)
    warning = warnings.WarningMessage(sent["message"], category, sent["filename"], sent["lineno"])
    return {"warning_message": warning, "when": sent["when"], "nodeid": sent["nodeid"], "location": None}


class _Template:
    """The process that children are forked from, as its parent sees it."""

    def __init__(self, items: list[pytest.Item], measure: Measure) -> None:
        asked, ask = os.pipe()
        answer, answered = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.status = 0
        self._process = os.fork()
        if self._process == 0:
            os.close(ask)
            os.close(answer)
            _serve(items, asked, answered, measure)
        os.close(asked)
        os.close(answered)
        self._ask = ask
        self._answers: BinaryIO = os.fdopen(answer, "rb")
        # Which benchmarks are being measured, by process.
        self._running: dict[int, int] = {}
        # What was sent and not looked at yet, by the benchmark's place: whole texts, the beginning of one, how its process ended.
        self._texts: dict[int, list[bytes]] = {}
        self._begun: dict[int, bytes] = {}
        self._ended: dict[int, int] = {}
        self._waits = False

    def start(self, place: int) -> None:
        """Has the benchmark at that place measured, beside those that are."""
        self._request(place)

    def run(self, place: int) -> Iterator[dict[str, Any]]:
        """What the benchmark at that place, which was started, reports. How its process ended is in `status` afterwards."""
        while True:
            for text in self._texts.pop(place, []):
                yield json.loads(text)
            if place in self._ended:
                self.status = self._ended.pop(place)
                return
            if not self._waits:
                self._request(_WAIT)
                self._waits = True
            if not self._receive():
                # The template itself has ended.
                self.status = 1
                return

    def _request(self, what: int) -> None:
        # Where nobody reads any more, nothing will be answered either.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._ask, what.to_bytes(_BYTES, "big"))

    def _receive(self) -> bool:
        header = self._answers.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return False
        kind, number, length = _HEADER.unpack(header)
        content = self._answers.read(length)
        if kind == _STARTED:
            self._running[int.from_bytes(content, "big")] = number
        elif kind == _ENDED:
            self._waits = False
            status = int.from_bytes(content, "big")
            self._ended[self._running.pop(number)] = os.waitstatus_to_exitcode(status)
        elif kind == _PART:
            self._begun[number] = self._begun.get(number, b"") + content
        else:
            self._texts.setdefault(number, []).append(self._begun.pop(number, b"") + content)
        return True

    def end(self) -> None:
        """Lets it go, and waits for it, and for what is being measured."""
        os.close(self._ask)
        while self._running and self._receive():
            pass
        self._answers.close()
        os.waitpid(self._process, 0)


def _serve(items: list[pytest.Item], asked: int, answered: int, measure: Measure) -> None:
    """What the template does until nobody asks any more. Does not return. Between two forks it keeps nothing."""
    status = 1
    try:
        # Children collect garbage thrice. What the suite has imported is none, and going through it would have each child copy
        # the memory that it shares with the template: half of a small benchmark's time.
        gc.collect()
        gc.freeze()
        _native.fill_heap_for_good()
        while request := os.read(asked, _BYTES):
            place = int.from_bytes(request, "big")
            if place == _WAIT:
                _tell_end(answered)
                continue
            child = os.fork()
            if child == 0:
                os.close(asked)
                _child(items[place], place, answered, measure)
            _tell(answered, _STARTED, place, child.to_bytes(_BYTES, "big"))
        while _has_children():
            _tell_end(answered)
        status = 0
    finally:
        os._exit(status)


def _child(item: pytest.Item, place: int, answered: int, measure: Measure) -> None:
    """Measures one benchmark. Does not return."""
    status = 1
    try:
        measure(item, lambda text: _tell(answered, _TEXT, place, text))
        _native.finished(0)
        sys.stdout.flush()
        sys.stderr.flush()
        status = 0
    finally:
        os._exit(status)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _tell_end(answered: int) -> None:
    """Waits for a child, and tells how it has ended."""
    child, status = os.wait()
    _tell(answered, _ENDED, child, status.to_bytes(_BYTES, "big"))


def _tell(file: int, kind: int, number: int, content: bytes) -> None:
    """Writes a message, in parts that are written at once: others write to the same pipe."""
    while len(content) > _PART_BYTES:
        os.write(file, _HEADER.pack(_PART, number, _PART_BYTES) + content[:_PART_BYTES])
        content = content[_PART_BYTES:]
    os.write(file, _HEADER.pack(kind, number, len(content)) + content)
