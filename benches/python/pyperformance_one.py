"""Times a benchmark of pyperformance natively and inside regions: `python pyperformance_one.py LIBRARY BENCHMARK FILE` writes a line of
JSON to the file for each function that the benchmark would time. `python pyperformance_one.py --list` prints the benchmarks' names.

Not a measurement of Python: it measures the engine, as `ratios.py` does. The benchmark's own script runs, with a runner of pyperf's
that calls what it is given once instead of many times.
"""

import asyncio
import builtins
import json
import os
import runpy
import sys
import time
import types
from typing import Any, Callable, Optional

import pyperf

from ratios import COLD, COUNTS, SIMULATION, WARM, Engine

# Seconds and calls that a way of executing a function is given, once it was executed.
SECONDS, CALLS = 2.0, 3
# A native call that takes longer has so much to execute that translating it is no matter: one pass does for it.
LONG = 0.5

Call = Callable[[], object]


def folder() -> str:
    """Where pyperformance has its benchmarks."""
    import pyperformance

    return os.path.join(os.path.dirname(str(pyperformance.__file__)), "data-files/benchmarks")


def benchmarks() -> dict[str, str]:
    """All of them, and the folder of each; also those that pyperformance has in its list, but leaves out."""
    found = {}
    with open(os.path.join(folder(), "MANIFEST")) as manifest:
        for line in manifest:
            words = line.lstrip("#").split()
            if len(words) == 2 and words[1].startswith("<local"):
                of = words[1].removeprefix("<local").strip(":>")
                found[words[0]] = f"bm_{of or words[0]}"
    return found


def options(benchmark: str, directory: str) -> list[str]:
    """What the benchmark's script is called with, as its own file says."""
    import tomllib

    own = os.path.join(directory, f"bm_{benchmark}.toml")
    with open(own if os.path.exists(own) else os.path.join(directory, "pyproject.toml"), "rb") as file:
        said = tomllib.load(file).get("tool", {}).get("pyperformance", {})
    return [str(option) for option in said.get("extra_opts", [])]


class Region:
    """A call inside regions, whose exceptions are not lost."""

    def __init__(self, engine: Engine, call: Call) -> None:
        self._engine, self._call = engine, call
        self._raised: Optional[BaseException] = None

    def _caught(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._raised = error

    def seconds(self, mode: int, is_long: bool) -> tuple[float, int, int]:
        """The least of the warm passes, and the instructions and diagnostics of the last; of the cold pass, where it is long."""
        self._engine.attach(mode)
        cold = self._pass(COLD)
        if is_long:
            return cold
        start = time.monotonic()
        warm = [self._pass(WARM)]
        while len(warm) < CALLS and time.monotonic() - start < SECONDS:
            warm.append(self._pass(WARM))
        return min(seconds for seconds, _, _ in warm), *warm[-1][1:]

    def _pass(self, which: int) -> tuple[float, int, int]:
        measured = self._engine.diagnosed_region(self._caught, which)
        if self._raised is not None:
            raise self._raised
        return measured


def native(call: Call) -> float:
    """The least of several calls, after one that is not timed."""
    call()
    least, first = float("inf"), time.monotonic()
    for _ in range(CALLS):
        start = time.thread_time()
        call()
        least = min(least, time.thread_time() - start)
        if time.monotonic() - first > SECONDS:
            break
    return least


def runner(engine: Engine, write: Callable[[dict[str, Any]], None]) -> type:
    """A runner for the benchmark's script."""

    def measure(name: str, call: Call) -> None:
        try:
            seconds = native(call)
            is_long = seconds > LONG
            counts, _, diagnosed = Region(engine, call).seconds(COUNTS, is_long)
            simulated, instructions, diagnostics = Region(engine, call).seconds(SIMULATION, is_long)
        except Exception as error:
            write({"name": name, "error": f"{type(error).__name__}: {error}"})
            return
        write(
            {
                "name": name,
                "native": seconds,
                "counts": counts,
                "simulated": simulated,
                "instructions": instructions,
                "diagnostics": diagnosed | diagnostics,
            }
        )

    class Runner(pyperf.Runner):  # type: ignore[misc]
        def bench_func(self, name: str, func: Callable[..., object], *args: Any, **_: Any) -> None:
            measure(name, lambda: func(*args))

        def bench_time_func(self, name: str, func: Callable[..., object], *args: Any, **_: Any) -> None:
            measure(name, lambda: func(1, *args))

        def bench_async_func(
            self, name: str, func: Callable[..., Any], *args: Any, loop_factory: Any = None, **_: Any
        ) -> None:
            def call() -> None:
                loop = (loop_factory or asyncio.new_event_loop)()
                try:
                    loop.run_until_complete(func(*args))
                finally:
                    loop.close()

            measure(name, call)

        def bench_command(self, name: str, command: Any) -> None:
            write({"name": name, "error": "its work is another process's, and no region's"})

    return Runner


def main(library: str, benchmark: str, file: str) -> None:
    """Runs the benchmark's script."""
    directory = os.path.join(folder(), benchmarks()[benchmark])
    arguments = options(benchmark, directory)
    with open(file, "a") as results:

        def write(row: dict[str, Any]) -> None:
            results.write(json.dumps(row) + "\n")
            results.flush()

        engine = Engine(library)
        stand_in = types.ModuleType("pyperf")
        stand_in.__dict__.update(pyperf.__dict__)
        stand_in.__dict__["Runner"] = runner(engine, write)
        sys.modules["pyperf"] = stand_in
        sys.argv = [os.path.join(directory, "run_benchmark.py"), *arguments]
        sys.path[0] = directory
        # Some want it without its half in C, which can be chosen once.
        sys.modules.pop("pickle", None)
        try:
            # A program finds a module there, and not its names.
            runpy.run_path(sys.argv[0], {"__builtins__": builtins}, run_name="__main__")
        except BaseException as error:
            if not (isinstance(error, SystemExit) and not error.code):
                write({"name": benchmark, "error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(benchmarks()))
    else:
        main(*sys.argv[1:])
