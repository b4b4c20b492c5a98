"""The simulation instrument: what `invar run` measures with.

Every benchmark takes the same steps in every run: warm-up, garbage collected and the collector off, a cold pass,
a warm pass. No step looks at a clock, and no count comes back to Python: an `int` that varies is an object that varies.
"""

import json
from typing import Any, Callable

from . import _native
from .fixture import Benchmark, Pedantic
from .quiet import quiet
from .repeatable import integration, runtime

# Set-up is the caller's and may be slow, so its calls are few; eight make CPython 3.11 specialise.
_WARM_UP_ROUNDS = 8


class Simulation:
    """Measures with the engine, which is attached."""

    enabled = True

    def __init__(self) -> None:
        self.count = 0
        self._common = {"language": "python", "runtime": runtime(), "integration": integration()}

    def measure(
        self,
        benchmark: Benchmark,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        __tracebackhide__ = True
        name = benchmark.fullname
        _native.started(name)
        _native.warm_up(function, args, kwargs)
        with quiet():
            _native.canonical_heap()
            _native.measure(name, "cold", function, args, kwargs)
            result = _native.measure(name, "warm", function, args, kwargs)
        self._keep()
        return result

    def measure_rounds(self, benchmark: Benchmark, pedantic: Pedantic) -> Any:
        """Rounds and iterations are the clock's business: one call is simulated, twice."""
        __tracebackhide__ = True
        name = benchmark.fullname
        _native.started(name)
        natively = False
        for _ in range(max(pedantic.warmup_rounds, _WARM_UP_ROUNDS)):
            args, kwargs = pedantic.set_up()
            if natively:
                pedantic.function(*args, **kwargs)
            else:
                natively = not _native.rehearse(pedantic.function, args, kwargs)
            pedantic.tear_down(args, kwargs)
        result = None
        for which in ("cold", "warm"):
            args, kwargs = pedantic.set_up()
            result = None
            with quiet():
                _native.canonical_heap()
                result = _native.measure(name, which, pedantic.function, args, kwargs)
            pedantic.tear_down(args, kwargs)
        self._keep()
        return result

    def _keep(self) -> None:
        _native.loosen_heap()
        self.count += 1
        _native.flush()

    def finish(self, benchmark: Benchmark) -> None:
        """Describes the benchmark, when the test has said all it has to say about it."""
        if not benchmark.used or benchmark.has_error:
            return
        file, line = benchmark.location
        about: dict[str, Any] = {"name": benchmark.name, "file": file, **self._common}
        if line is not None:
            about["line"] = line + 1
        if benchmark.group is not None:
            about["group"] = str(benchmark.group)
        if benchmark.params:
            about["params"] = {name: _text(value) for name, value in benchmark.params.items()}
        if benchmark.extra_info:
            about["extra_info"] = benchmark.extra_info
        _native.describe(benchmark.fullname, json.dumps(about, sort_keys=True, default=str))
        _native.flush()


def _text(value: Any) -> str:
    """A parameter as text that is the same in every run: no addresses."""
    if value is None or isinstance(value, (str, bytes, int, float, complex, bool)):
        return str(value)
    return getattr(value, "__qualname__", type(value).__qualname__)
