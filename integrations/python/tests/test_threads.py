"""Threads that a benchmark starts or finds are measured, and the sum is the same in every process, however busy the machine is."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

import runs

SUITE = """
    import queue, threading, time
    from concurrent.futures import ThreadPoolExecutor
    def squares(numbers):
        return sum(number * number for number in range(numbers))
    def test_alone(benchmark):
        assert benchmark(lambda: [squares(20_000) for _ in range(8)])
    def test_pool(benchmark):
        def pool():
            with ThreadPoolExecutor(4) as threads:
                return list(threads.map(squares, [20_000] * 8))
        assert benchmark(pool) == [squares(20_000)] * 8
    def test_queue(benchmark):
        def through_a_queue():
            items, found = queue.Queue(10), []
            def consume():
                while (item := items.get()) is not None:
                    found.append(item)
            threads = [threading.Thread(target=consume) for _ in range(2)]
            for thread in threads:
                thread.start()
            for item in [*range(500), None, None]:
                items.put(item)
            for thread in threads:
                thread.join()
            return sum(found)
        assert benchmark(through_a_queue) == sum(range(500))
    def test_timeouts(benchmark):
        def in_vain():
            lock = threading.Lock()
            lock.acquire()
            sleeper = threading.Thread(target=time.sleep, args=(0.02,))
            sleeper.start()
            got = lock.acquire(timeout=0.01)
            sleeper.join()
            return got
        assert benchmark(in_vain) is False
"""

INSTRUCTIONS = 0
OTHER_THREADS_RAN = 1 << 0
OUTSIDE_ORDER = 1 << 9


@contextlib.contextmanager
def _both_cpus_busy() -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _repeats(simulated, first, **options) -> None:
    """Nine more processes count what the first one has."""
    for _ in range(9):
        again = simulated(**options)
        assert again.exit == 0, again.output
        assert again.passes == first.passes


def test_threads_count_the_same_in_every_process(pytester, simulated):
    pytester.makepyfile(test_suite=SUITE)
    first = simulated()
    assert first.exit == 0, first.output
    assert len(first.measured) == 4
    with _both_cpus_busy():
        _repeats(simulated, first)


def test_work_of_threads_is_counted(pytester, simulated):
    pytester.makepyfile(test_suite=SUITE)
    result = simulated()

    def warm(name):
        return result.passes[f"test_suite.py::{name}", "warm"]

    alone, pool = (warm(name)[0][INSTRUCTIONS] for name in ("test_alone", "test_pool"))
    # What a pool costs besides is a small part.
    assert alone < pool < alone * 1.2
    for name in ("test_pool", "test_queue", "test_timeouts"):
        assert warm(name)[1] & (OTHER_THREADS_RAN | OUTSIDE_ORDER) == 0


def test_python_functions_of_threads_are_in_profiles(pytester, simulated, monkeypatch):
    pytester.makepyfile(
        """
        import threading
        def of_the_region(): return 1
        def of_a_thread(): return of_the_region()
        def of_its_own_thread(): start(of_a_thread)
        def start(function):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
        def test_both(benchmark):
            benchmark(lambda: (of_the_region(), start(of_its_own_thread)))
        """
    )
    found = []
    read = runs._read

    def keep(data, *into):
        found.append(data)
        read(data, *into)

    monkeypatch.setattr(runs, "_read", keep)
    result = simulated(request={"call_paths": True})
    assert result.exit == 0, result.output
    for name in (b"of_the_region", b"of_a_thread", b"of_its_own_thread"):
        assert any(name in data for data in found), name


POOLS = """
    import pytest
    from concurrent.futures import ThreadPoolExecutor
    def squares(numbers):
        return sum(number * number for number in range(numbers))
    @pytest.fixture
    def pool():
        with ThreadPoolExecutor(4) as threads:
            yield threads
    def test_pool(benchmark, pool):
        assert benchmark(lambda: list(pool.map(squares, [5_000] * 8))) == [squares(5_000)] * 8
    def test_idle(benchmark, pool):
        pool.submit(squares, 10).result()
        assert benchmark(squares, 10_000)
"""

PRODUCTS = """
    import numpy
    import pytest
    @pytest.fixture
    def matrices():
        a = numpy.arange(300 * 300, dtype=float).reshape(300, 300) / 1000
        return a, a @ a
    def test_product(benchmark, matrices):
        a, b = matrices
        assert (benchmark(lambda: a @ a) == b).all()
    def test_idle(benchmark, matrices):
        assert benchmark(lambda: sum(range(10_000)))
"""


def test_pools_from_before_count_the_same_in_every_process(pytester, simulated):
    pytester.makepyfile(test_suite=POOLS)
    with _both_cpus_busy():
        first = simulated()
        assert first.exit == 0, first.output
        assert [diagnostics for _, diagnostics in first.passes.values()] == [0] * 4
        _repeats(simulated, first)


def test_python_functions_of_a_pool_are_in_profiles(pytester, simulated):
    pytester.makepyfile(test_suite=POOLS)
    result = simulated(request={"call_paths": True})
    calls = result.call_paths["test_suite.py::test_pool"].calls
    assert sum(call.calls for call in calls if call.callee[:2] == ("code", "squares")) == 8


def test_linear_algebra_of_four_threads_counts_the_same_in_every_process(pytester, simulated):
    pytest.importorskip("numpy")
    pytester.makepyfile(test_suite=PRODUCTS)
    request = {"environment": {**runs.ENVIRONMENT, "OPENBLAS_NUM_THREADS": "4"}}
    with _both_cpus_busy():
        first = simulated(request=request)
        assert first.exit == 0, first.output
        assert first.passes["test_suite.py::test_product", "warm"][1] == 0
        assert first.passes["test_suite.py::test_idle", "warm"][1] == 0
        _repeats(simulated, first, request=request)
