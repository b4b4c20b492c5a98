"""What a session does with its benchmarks: finds them, gives tests the fixture, measures marked tests, reports."""

import gc
import json
import random
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Optional, Union

import pytest
from _pytest.unittest import TestCaseFunction

from . import _native, json_file, options, table
from .coroutines import driven
from .fixture import Benchmark
from .walltime import Disabled, Walltime

_MARKERS = ("benchmark", "codspeed_benchmark")

if TYPE_CHECKING:
    from .simulation import Simulation

Instrument = Union[Walltime, Disabled, "Simulation"]


def is_benchmark(item: pytest.Item) -> bool:
    """Does it use the fixture, or carry the marker?"""
    return "benchmark" in getattr(item, "fixturenames", ()) or is_marked(item)


def is_marked(item: pytest.Item) -> bool:
    """Is the whole test to be measured, unless it uses the fixture?"""
    return any(item.get_closest_marker(name) for name in _MARKERS)


class Suite:
    """The plugin of a session in which the fixture is ours."""

    def __init__(self, config: pytest.Config, instrument: Instrument) -> None:
        self._config = config
        self._instrument = instrument
        self._options = options.read(config)
        self._simulated = not isinstance(instrument, (Walltime, Disabled))
        # There are benchmarks here, and none of those that are asked for.
        self._spared = False

    # Which tests run.

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._simulated:
            # Other tests would only move the heap.
            others = [item for item in items if not is_benchmark(item)]
            if others:
                config.hook.pytest_deselected(items=others)
                items[:] = [item for item in items if is_benchmark(item)]
            # As collected, unless `invar verify` asks for another order, or for some alone.
            before = len(items)
            items[:] = [items[place] for place in _native.arrange([item.nodeid for item in items])]
            self._spared = before > 0 and not items
        for item in items:
            if config.getoption("--benchmark-skip") and is_benchmark(item):
                item.add_marker(pytest.mark.skip(reason="benchmark, and --benchmark-skip is given"))
            if config.getoption("--benchmark-only") and not is_benchmark(item):
                item.add_marker(pytest.mark.skip(reason="no benchmark, and --benchmark-only is given"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        # Every worker of pytest-xdist collects the whole suite; the first one says how large it is.
        worker: dict[str, Any] = getattr(session.config, "workerinput", {})
        if self._simulated and worker.get("workerid", "gw0") == "gw0":
            _native.collected(len(session.items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self._simulated:
            # The same random data in every run, whatever other benchmarks draw, in the same heap.
            random.seed(0)
            gc.collect()
            _native.loosen_heap()
            _native.canonical_heap()

    # The fixture and the marker.

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> Generator[Benchmark, None, None]:
        """Measures a function: `benchmark(function, *args, **kwargs)` returns what the function returns."""
        benchmark = Benchmark(request.node, self._instrument, self._options)
        yield benchmark
        if not benchmark.used:
            request.node.warn(pytest.PytestWarning("the benchmark fixture was not used in this test"))
        self._instrument.finish(benchmark)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, None]:
        # The innermost wrapper: pytest-asyncio has made a plain function of an async one by now.
        yield from self._measuring(pyfuncitem)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, None]:
        # Methods of unittest.TestCase are not called by pytest_pyfunc_call.
        if isinstance(item, TestCaseFunction):
            yield from self._measuring(item)
        else:
            yield

    def _measuring(self, item: Any) -> Generator[None, Any, None]:
        if not is_marked(item) or "benchmark" in item.fixturenames:
            yield
            return
        benchmark = Benchmark(item, self._instrument, self._options)
        original = item.obj

        def measured(*args: Any, **kwargs: Any) -> Any:
            # In a test that is async still, nobody else would run it.
            with driven(original) as (call, _):
                return benchmark(call, *args, **kwargs)

        item.obj = measured
        try:
            yield
        finally:
            item.obj = original
            self._instrument.finish(benchmark)

    # What is said.

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: "pytest.CallInfo[None]"
    ) -> Generator[None, Any, None]:
        outcome = yield
        report = outcome.get_result()
        if self._simulated and report.failed and is_benchmark(item):
            _native.failed(item.nodeid, _first_line(call))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        path: Optional[str] = self._config.getoption("--benchmark-json", None)
        if path and isinstance(self._instrument, Walltime):
            # pytest-benchmark opens the file itself while it parses.
            name = getattr(path, "name", path)
            with open(name, "w", encoding="utf-8") as file:
                json.dump(json_file.document(self._instrument.measured), file, indent=4, default=str)
                file.write("\n")
        if self._spared and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            # A command that runs pytest several times is to come to the benchmarks that are asked for.
            exitstatus = session.exitstatus = pytest.ExitCode.OK
        if self._simulated:
            _native.finished(int(exitstatus))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if isinstance(self._instrument, Walltime):
            if not self._instrument.measured:
                return
            sort, group_by = (self._config.getoption(f"--benchmark-{name}") for name in ("sort", "group-by"))
            terminalreporter.section("benchmarks (wall clock)")
            for line in table.lines(self._instrument.measured, sort, group_by):
                terminalreporter.write_line(line)
        elif isinstance(self._instrument, Disabled):
            return
        elif self._instrument.count:
            count = self._instrument.count
            noun = "benchmark" if count == 1 else "benchmarks"
            terminalreporter.write_line(f"invar: measured {count} {noun} by simulation")


def _first_line(call: "pytest.CallInfo[None]") -> str:
    if call.excinfo is None:
        return "failed"
    return call.excinfo.exconly(tryshort=True).strip().splitlines()[0]
