"""Each benchmark in a process of its own, so that none depends on those before it.

Before the first benchmark the session forks a *template*: the suite is imported, and nothing has been set up or measured. For each
benchmark the template forks a child, which sets everything up that the benchmark needs, as if it were the only one, measures, and
sends its reports and warnings back. The template does nothing else, so every child begins with the same memory.

What follows: fixtures of modules and sessions are set up for each benchmark anew, and a benchmark that needs what another one has
left behind does not find it. Collections of garbage, also those that a benchmark asks for, leave out what was there when the
template was made (`gc.freeze`), so that their cost is of the benchmark's own objects.
"""

import gc
import importlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, Callable, Optional

import pytest
from _pytest.runner import runtestprotocol

from . import _native

# Numbers on the pipes, and lengths of what follows them.
_BYTES = 8

# By this member a warning is told from a report.
_WARNING = "$invar_warning"

# What a child does with its benchmark; it is given what sends a report.
Measure = Callable[[pytest.Item, Callable[[bytes], None]], None]


class Isolation:
    """The plugin of a session whose benchmarks are apart from each other."""

    def __init__(self, instrument: Any) -> None:
        self._instrument = instrument
        self._template: Optional[_Template] = None
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

    def _reports(self, item: pytest.Item, template: "_Template") -> Iterator[pytest.TestReport]:
        for data in template.run(item.session.items.index(item)):
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

    def run(self, place: int) -> Iterator[dict[str, Any]]:
        """Runs the benchmark at that place; what it reports. How its process ended is in `status` afterwards."""
        os.write(self._ask, place.to_bytes(_BYTES, "big"))
        while True:
            length = int.from_bytes(self._answers.read(_BYTES), "big")
            if length == 0:
                break
            yield json.loads(self._answers.read(length))
        # Nothing but how the child ended comes without a text; nothing at all if the template itself has ended.
        self.status = _ended(self._answers.read(_BYTES))

    def end(self) -> None:
        """Lets it go, and waits for it."""
        os.close(self._ask)
        self._answers.close()
        os.waitpid(self._process, 0)


def _ended(status: bytes) -> int:
    if len(status) < _BYTES:
        return 1
    return os.waitstatus_to_exitcode(int.from_bytes(status, "big"))


def _serve(items: list[pytest.Item], asked: int, answered: int, measure: Measure) -> None:
    """What the template does until nobody asks any more. Does not return."""
    status = 1
    try:
        # Children collect garbage thrice. What the suite has imported is none, and going through it would have each child copy
        # the memory that it shares with the template: half of a small benchmark's time.
        gc.collect()
        gc.freeze()
        while place := os.read(asked, _BYTES):
            child = os.fork()
            if child == 0:
                os.close(asked)
                _child(items[int.from_bytes(place, "big")], answered, measure)
            _, ended = os.waitpid(child, 0)
            _write(answered, bytes(_BYTES) + ended.to_bytes(_BYTES, "big"))
        status = 0
    finally:
        os._exit(status)


def _child(item: pytest.Item, answered: int, measure: Measure) -> None:
    """Measures one benchmark. Does not return."""
    status = 1
    try:
        measure(item, lambda text: _write(answered, len(text).to_bytes(_BYTES, "big") + text))
        _native.finished(0)
        sys.stdout.flush()
        sys.stderr.flush()
        status = 0
    finally:
        os._exit(status)


def _write(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
