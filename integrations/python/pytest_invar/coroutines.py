"""Benchmarks of async functions: a call runs the coroutine to its end on an event loop of its own.

The loop is made once, outside of what is measured. In a test that is async itself `benchmark(...)` returns something to
await, which has ended already: the test's own loop stands still meanwhile, as it does for any function that is called.
What is bound to the test's own loop (a connection opened by a fixture) can therefore not be used in there; mark the whole
test with `@pytest.mark.benchmark` for that.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Generator, Iterator
from typing import Any, Callable


def is_async(function: Callable[..., Any]) -> bool:
    """Does calling it make a coroutine?"""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


@contextlib.contextmanager
def driven(function: Callable[..., Any]) -> Iterator[tuple[Callable[..., Any], bool]]:
    """The function as one that can just be called, and whether its result is to be awaited."""
    if not is_async(function):
        yield function, False
        return
    with _outer_loop_suspended() as suspended:
        loop = asyncio.new_event_loop()
        try:
            run = loop.run_until_complete

            def call(*args: Any, **kwargs: Any) -> Any:
                return run(function(*args, **kwargs))

            yield call, suspended
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


@contextlib.contextmanager
def _outer_loop_suspended() -> Iterator[bool]:
    try:
        outer = asyncio.get_running_loop()
    except RuntimeError:
        yield False
        return
    task = asyncio.current_task(outer)
    # asyncio has no public way to nest loops; these functions are the same from 3.9 to 3.14.
    if task is not None:
        asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(None)
    try:
        yield True
    finally:
        asyncio._set_running_loop(outer)
        if task is not None:
            asyncio.tasks._enter_task(outer, task)


class Ended(Awaitable[Any]):
    """A result to await that is there already."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result
        yield  # makes this a generator
