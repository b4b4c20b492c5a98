"""Command-line options and marker arguments: pytest-benchmark's names, so that its command lines stay valid."""

import importlib
import time
from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Optional

import pytest

# Accepted by the marker. Those that are no field of `Options` belong to other plugins' ways, and do nothing here.
_OTHERS = {"cprofile", "disable_gc", "calibration_precision", "group", "warmup_iterations"}

# Accepted on the command line and without effect: Invar keeps, compares and draws results itself.
_WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "--benchmark-disable-gc": {"action": "store_true"},
    "--benchmark-warmup-iterations": {"type": int},
    "--benchmark-calibration-precision": {"type": int},
    "--benchmark-autosave": {"action": "store_true"},
    "--benchmark-save": {},
    "--benchmark-save-data": {"action": "store_true"},
    "--benchmark-compare": {"nargs": "?", "const": True},
    "--benchmark-compare-fail": {"nargs": "?", "action": "append"},
    "--benchmark-storage": {},
    "--benchmark-histogram": {"nargs": "?", "const": True},
    "--benchmark-columns": {},
    "--benchmark-name": {},
    "--benchmark-time-unit": {},
    "--benchmark-verbose": {"action": "store_true"},
    "--benchmark-quiet": {"action": "store_true"},
    "--benchmark-enable": {"action": "store_true"},
}


@dataclass(frozen=True)
class Options:
    """How one benchmark is timed. Times are in seconds."""

    min_time: float = 0.0001
    max_time: float = 1.0
    min_rounds: int = 5
    max_rounds: int = 100_000
    warmup: float = 0.1
    timer: Callable[[], float] = time.perf_counter

    def marked(self, marker: Optional[pytest.Mark]) -> "Options":
        """These options, changed as `@pytest.mark.benchmark(...)` says."""
        if marker is None:
            return self
        if marker.args:
            raise ValueError("the benchmark marker takes named arguments only")
        own = {field.name for field in fields(self)}
        unknown = sorted(set(marker.kwargs) - own - _OTHERS)
        if unknown:
            raise ValueError(f"the benchmark marker knows no {', '.join(unknown)}")
        changes = {name: value for name, value in marker.kwargs.items() if name in own}
        if isinstance(changes.get("warmup"), (bool, str)):
            changes["warmup"] = warm_up_seconds(changes["warmup"])
        return replace(self, **changes)


def warm_up_seconds(value: Any) -> float:
    """pytest-benchmark's `on`, `off`, `auto`, `True` and `False` as a time."""
    return 0.0 if value in (False, "off") else Options.warmup


def add(parser: pytest.Parser) -> None:
    """Declares the options on pytest's command line."""
    group = parser.getgroup("benchmark")
    say = group.addoption
    say(
        "--benchmark-min-time",
        type=float,
        default=Options.min_time,
        help="Least seconds of a round (%(default)s).",
    )
    say(
        "--benchmark-max-time",
        type=float,
        default=Options.max_time,
        help="Seconds for a benchmark (%(default)s).",
    )
    say(
        "--benchmark-min-rounds",
        type=int,
        default=Options.min_rounds,
        help="Least number of rounds (%(default)s).",
    )
    say("--benchmark-timer", default=None, help="Clock to use, as module.function (time.perf_counter).")
    say(
        "--benchmark-warmup",
        nargs="?",
        const="on",
        default="auto",
        choices=["auto", "on", "off"],
        help="Whether to warm up before measuring (%(default)s: yes).",
    )
    say("--benchmark-skip", action="store_true", help="Skip benchmarks.")
    say("--benchmark-only", action="store_true", help="Skip everything but benchmarks.")
    say(
        "--benchmark-disable", action="store_true", help="Call benchmarked functions once, without measuring."
    )
    say("--benchmark-json", metavar="PATH", default=None, help="Write results as pytest-benchmark's JSON.")
    say(
        "--benchmark-sort",
        default="fullname",
        choices=["min", "max", "mean", "stddev", "median", "name", "fullname"],
        help="Order of the table (%(default)s).",
    )
    say(
        "--benchmark-group-by",
        default="group",
        help="Tables by: group, name, func, fullfunc, fullname, param, or several with commas (%(default)s).",
    )
    for name, how in _WITHOUT_EFFECT.items():
        say(name, help="Accepted for pytest-benchmark's sake; without effect.", **how)


def without_effect(config: pytest.Config) -> Optional[str]:
    """A sentence about the options on this command line that do nothing, if there are any."""
    given = [name for name in _WITHOUT_EFFECT if config.getoption(name, None) not in (None, False, [])]
    quiet = {"--benchmark-disable-gc", "--benchmark-verbose", "--benchmark-quiet", "--benchmark-enable"}
    named = [name for name in given if name not in quiet]
    if not named:
        return None
    return f"{', '.join(named)}: accepted, without effect; `invar run` keeps results, `invar compare` compares them"


def read(config: pytest.Config) -> Options:
    """The options of this command line."""

    def given(name: str, default: Any) -> Any:
        # Where pytest-benchmark was displaced, the values are in its way of writing.
        value = config.getoption(name, None)
        return default if value is None else value

    timer = given("--benchmark-timer", None)
    return Options(
        min_time=float(given("--benchmark-min-time", Options.min_time)),
        max_time=float(given("--benchmark-max-time", Options.max_time)),
        min_rounds=int(given("--benchmark-min-rounds", Options.min_rounds)),
        warmup=warm_up_seconds(given("--benchmark-warmup", "auto")),
        timer=_clock(timer) if isinstance(timer, str) else time.perf_counter,
    )


def _clock(name: str) -> Callable[[], float]:
    module, _, function = name.rpartition(".")
    try:
        clock: Callable[[], float] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(f"--benchmark-timer {name}: {error}") from error
    return clock
