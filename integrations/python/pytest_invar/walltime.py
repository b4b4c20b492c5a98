"""The wall-clock instrument: what plain `pytest` measures with.

Warm-up, then as many calls a round as the clock can resolve, then rounds until the time is used up. The garbage collector
is off meanwhile. Outliers are kept in the samples; `stats` knows how to look past them.
"""

import itertools
import math
from typing import Any, Callable, Optional

from .fixture import Benchmark, Pedantic
from .options import Options
from .quiet import quiet
from .stats import Result, Stats

# A round lasts at least so many ticks of the clock, so that the clock's resolution is at most 0.1 % of it.
_TICKS_A_ROUND = 1000


class Walltime:
    """Measures with a clock."""

    enabled = True

    def __init__(self) -> None:
        self.measured: list[Benchmark] = []

    def measure(
        self,
        benchmark: Benchmark,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        __tracebackhide__ = True
        result = function(*args, **kwargs)
        with quiet():
            samples, loops = _sample(function, args, kwargs, benchmark.options)
        self._keep(benchmark, samples, loops)
        return result

    def measure_rounds(self, benchmark: Benchmark, pedantic: Pedantic) -> Any:
        __tracebackhide__ = True
        timer = benchmark.options.timer
        samples: list[float] = []
        result: Any = None
        for number in range(pedantic.warmup_rounds + pedantic.rounds):
            args, kwargs = pedantic.set_up()
            with quiet():
                seconds, result = _time_loop(timer, pedantic.function, args, kwargs, pedantic.iterations)
            pedantic.tear_down(args, kwargs)
            if number >= pedantic.warmup_rounds:
                samples.append(seconds / pedantic.iterations)
        self._keep(benchmark, samples, pedantic.iterations)
        return result

    def _keep(self, benchmark: Benchmark, samples: list[float], loops: int) -> None:
        benchmark.stats = Result(Stats.of(samples, loops))
        self.measured.append(benchmark)

    def finish(self, benchmark: Benchmark) -> None:
        """Nothing is left to be done after a test."""


class Disabled:
    """Calls once and measures nothing."""

    enabled = False

    def measure(
        self,
        benchmark: Benchmark,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        __tracebackhide__ = True
        return function(*args, **kwargs)

    def measure_rounds(self, benchmark: Benchmark, pedantic: Pedantic) -> Any:
        __tracebackhide__ = True
        args, kwargs = pedantic.set_up()
        result = pedantic.function(*args, **kwargs)
        pedantic.tear_down(args, kwargs)
        return result

    def finish(self, benchmark: Benchmark) -> None:
        """Nothing is left to be done after a test."""


def _time_loop(
    timer: Callable[[], float],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    loops: int,
) -> tuple[float, Any]:
    __tracebackhide__ = True
    result: Any = None
    if kwargs:
        start = timer()
        for _ in itertools.repeat(None, loops):
            result = function(*args, **kwargs)
        end = timer()
    else:
        start = timer()
        for _ in itertools.repeat(None, loops):
            result = function(*args)
        end = timer()
    return end - start, result


def _sample(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], options: Options
) -> tuple[list[float], int]:
    __tracebackhide__ = True

    def round_of(loops: int) -> float:
        return _time_loop(options.timer, function, args, kwargs, loops)[0]

    loops, a_round = _calibrate(round_of, max(options.min_time, _TICKS_A_ROUND * _resolution(options.timer)))
    warm_until = options.timer() + options.warmup
    while options.timer() < warm_until:
        round_of(loops)
    end = options.timer() + options.max_time
    samples: list[float] = []
    while len(samples) < options.min_rounds or (
        options.timer() + a_round <= end and len(samples) < options.max_rounds
    ):
        samples.append(round_of(loops) / loops)
    return samples, loops


def _calibrate(round_of: Callable[[int], float], least: float) -> tuple[int, float]:
    """How many calls last `least` seconds, and how long they lasted."""
    loops = 1
    while True:
        seconds = round_of(loops)
        if seconds >= least:
            return loops, seconds
        # Short rounds say little about long ones, so steps are at most tenfold.
        wanted = math.ceil(loops * least / seconds) if seconds > 0 else loops * 10
        loops = max(loops + 1, min(wanted, loops * 10))


_resolutions: dict[Callable[[], float], float] = {}


def _resolution(timer: Callable[[], float]) -> float:
    """The least step that this clock makes, in seconds."""
    known: Optional[float] = _resolutions.get(timer)
    if known is not None:
        return known
    steps = []
    for _ in range(20):
        start = end = timer()
        while end <= start:
            end = timer()
        steps.append(end - start)
    _resolutions[timer] = min(steps)
    return _resolutions[timer]
