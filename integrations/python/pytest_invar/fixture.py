"""The `benchmark` fixture: one object a test, which hands what it is to measure to an instrument."""

from typing import Any, Callable, Optional

import pytest

from .coroutines import Ended, driven
from .options import Options


class FixtureAlreadyUsed(RuntimeError):
    """A test measures one thing."""


class Benchmark:
    """What a test gets as `benchmark`. The attributes are pytest-benchmark's."""

    def __init__(self, item: pytest.Item, instrument: Any, options: Options) -> None:
        marker = item.get_closest_marker("benchmark")
        callspec = getattr(item, "callspec", None)
        self.name: str = item.name
        self.fullname: str = item.nodeid
        self.group: Optional[str] = marker.kwargs.get("group") if marker else None
        self.param: Optional[str] = callspec.id if callspec else None
        self.params: Optional[dict[str, Any]] = dict(callspec.params) if callspec else None
        self.extra_info: dict[str, Any] = {}
        self.stats: Any = None
        self.has_error = False
        self.options = options.marked(marker)
        self.location: tuple[str, Optional[int]] = item.location[:2]
        self._instrument = instrument
        self._used = False

    @property
    def enabled(self) -> bool:
        """Is anything measured?"""
        return bool(self._instrument.enabled)

    @property
    def disabled(self) -> bool:
        """Is nothing measured?"""
        return not self.enabled

    @property
    def used(self) -> bool:
        """Was it called?"""
        return self._used

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Measures `function(*args, **kwargs)` and returns what it returns. Also a decorator."""
        __tracebackhide__ = True
        self._use()
        with driven(function) as (call, to_await):
            result = self._guarded(self._instrument.measure, call, args, kwargs)
        return Ended(result) if to_await else result

    def pedantic(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: Optional[dict[str, Any]] = None,
        setup: Optional[Callable[[], Optional[tuple[tuple[Any, ...], dict[str, Any]]]]] = None,
        teardown: Optional[Callable[..., Any]] = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """Measures `target` by the caller's own plan; set-up and tear-down are outside of what is measured."""
        __tracebackhide__ = True
        if iterations < 1 or rounds < 1 or warmup_rounds < 0:
            raise ValueError("rounds and iterations are at least 1, warmup_rounds at least 0")
        if setup is not None and iterations != 1:
            raise ValueError("with a setup there can be one iteration a round only")
        self._use()
        with driven(target) as (call, to_await):
            plan = Pedantic(
                call, tuple(args), dict(kwargs or {}), setup, teardown, rounds, warmup_rounds, iterations
            )
            result = self._guarded(self._instrument.measure_rounds, plan)
        return Ended(result) if to_await else result

    def _use(self) -> None:
        if self._used:
            raise FixtureAlreadyUsed(
                "the benchmark fixture was used already in this test; it measures one thing"
            )
        self._used = True

    def _guarded(self, measure: Callable[..., Any], *what: Any) -> Any:
        __tracebackhide__ = True
        try:
            return measure(self, *what)
        except BaseException:
            self.has_error = True
            raise


class Pedantic:
    """The arguments of `benchmark.pedantic`."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        setup: Optional[Callable[[], Any]],
        teardown: Optional[Callable[..., Any]],
        rounds: int,
        warmup_rounds: int,
        iterations: int,
    ) -> None:
        self.function = function
        self.rounds = rounds
        self.warmup_rounds = warmup_rounds
        self.iterations = iterations
        self._args = args
        self._kwargs = kwargs
        self._setup = setup
        self._teardown = teardown

    def set_up(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Prepares a round, and says with which arguments."""
        made = self._setup() if self._setup is not None else None
        if made is None:
            return self._args, self._kwargs
        if self._args or self._kwargs:
            raise TypeError("setup returns arguments, so there can be no others")
        args, kwargs = made
        return tuple(args), dict(kwargs)

    def tear_down(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Cleans up after a round."""
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
