"""What a benchmark reads of clocks takes the same course in every process, as does what it waits for until a time is over."""

import pytest

# Each does as much as the clock says, so that a microsecond more is some instructions more. (Integers of nanoseconds have two digits
# of 30 bits, and the difference of two has another digit in one run of many.)
SUITE = """
    import asyncio, threading, time
    def as_long_as(time):
        for _ in range(int(time * 1e6) % 1000):
            pass
    def test_clocks(benchmark):
        def clocks():
            for clock in (time.monotonic, time.perf_counter):
                before = clock()
                as_long_as(0.000999)
                as_long_as(clock() - before)
            return time.time()
        benchmark(clocks)
    def test_sleeps(benchmark):
        def sleeps():
            for _ in range(3):
                before = time.monotonic()
                time.sleep(0.002)
                as_long_as(time.monotonic() - before)
        benchmark(sleeps)
    def test_timeouts(benchmark):
        def in_vain():
            lock = threading.Lock()
            lock.acquire()
            before = time.monotonic()
            assert not lock.acquire(timeout=0.002)
            as_long_as(time.monotonic() - before)
        benchmark(in_vain)
    def test_event_loop(benchmark):
        async def tick(count):
            for _ in range(count):
                await asyncio.sleep(0.001)
        async def several():
            await asyncio.gather(*(tick(count) for count in range(1, 6)))
            try:
                await asyncio.wait_for(asyncio.Event().wait(), 0.002)
            except asyncio.TimeoutError:
                pass
        benchmark(lambda: asyncio.run(several()))
"""

ROUNDS = """
    import threading, time
    from concurrent.futures import ThreadPoolExecutor
    def wait_in_vain(lock):
        before = time.monotonic()
        assert not lock.acquire(timeout=0.002)
        for _ in range(int((time.monotonic() - before) * 1e6) % 1000):
            pass
    def squares():
        with ThreadPoolExecutor(3) as threads:
            return list(threads.map(lambda number: number * number, range(100)))
    def set_up():
        lock = threading.Lock()
        lock.acquire()
        return (lock,), {}
    def test_waits(benchmark):
        benchmark.pedantic(wait_in_vain, setup=set_up, rounds=3)
    def test_threads(benchmark):
        assert benchmark.pedantic(squares, rounds=3)[9] == 81
"""

READ_CLOCK = 1 << 6


@pytest.mark.parametrize(("suite", "benchmarks"), [(SUITE, 4), (ROUNDS, 2)], ids=["calls", "rounds"])
def test_time_takes_the_same_course_in_every_process(pytester, simulated, suite, benchmarks):
    pytester.makepyfile(test_suite=suite)
    first = simulated()
    assert first.exit == 0, first.output
    assert len(first.measured) == benchmarks
    for _ in range(5):
        again = simulated()
        assert again.exit == 0, again.output
        assert again.passes == first.passes


def test_only_the_time_of_day_may_change_what_is_counted(pytester, simulated):
    pytester.makepyfile(test_suite=SUITE)
    result = simulated()
    read = [name for (name, _), (_, diagnostics) in result.passes.items() if diagnostics & READ_CLOCK]
    assert set(read) == {"test_suite.py::test_clocks"}


def test_a_first_call_that_reads_a_clock_leaves_the_others_native(pytester, simulated):
    pytester.makepyfile(
        """
        import ctypes, time
        def test_it(benchmark):
            drawn = []
            def target():
                if not drawn:
                    time.monotonic()
                number = ctypes.create_string_buffer(8)
                ctypes.CDLL(None).syscall(318, number, 8, 0)
                drawn.append(number.raw)
            benchmark(target)
            # The kernel's random numbers are the same in each region: in the first two calls of the warm-up, and in both passes.
            first, *others = drawn
            assert [number == first for number in others] == [True] + [False] * 14 + [True] * 2
        """
    )
    run = simulated()
    assert run.exit == 0, run.output
