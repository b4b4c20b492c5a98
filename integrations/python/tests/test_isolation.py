"""Benchmarks apart from each other: `isolated` in the request."""

import pytest

SUITE = """
    import copy, dataclasses, warnings
    import pytest

    @dataclasses.dataclass
    class Point:
        x: int

    TREE = {"a": [1, 2, {"b": (3, Point(4))}], "c": "text"}

    @pytest.fixture(scope="session")
    def shared():
        return []

    def test_first(benchmark, shared):
        shared.append(1)
        benchmark(copy.deepcopy, TREE)
        assert shared == [1]

    def test_second(benchmark, shared):
        shared.append(2)
        benchmark(dataclasses.asdict, Point(5))
        assert shared == [2], "a fixture of the session is everyone's own"

    def test_third(benchmark):
        benchmark(lambda: sorted(str(number) for number in range(50)))
"""


def test_a_number_depends_on_no_neighbour(pytester, simulated):
    pytester.makepyfile(test_a=SUITE)
    usual = simulated(request={"isolated": True})
    assert usual.exit == 0, usual.output
    assert "3 passed" in usual.output and "measured 3 benchmarks" in usual.output
    names = usual.measured
    assert len(names) == 3
    backwards = simulated(request={"isolated": True, "order": "reversed"})
    assert backwards.passes == usual.passes
    for name in names:
        alone = simulated(request={"isolated": True, "only": [name]})
        assert alone.passes == {key: counts for key, counts in usual.passes.items() if key[0] == name}


def test_a_collection_of_garbage_costs_what_the_benchmark_has_made(pytester, simulated):
    def instructions(others):
        pytester.makepyfile(
            test_a=f"import gc\n{others}\ndef test_collects(benchmark): benchmark(gc.collect)\n"
        )
        return simulated(request={"isolated": True}).passes["test_a.py::test_collects", "warm"][0][0]

    few, many = instructions(""), instructions("OTHERS = [[number] for number in range(100_000)]")
    assert many < 2 * few


def test_a_number_does_not_depend_on_how_many_are_measured_at_the_same_time(pytester, simulated):
    pytester.makepyfile(test_a=SUITE)
    usual = simulated(request={"isolated": True})
    at_once = simulated(request={"isolated": True, "jobs": 3})
    assert "3 passed" in at_once.output and at_once.exit == 0
    assert at_once.passes == usual.passes


def test_benchmarks_at_the_same_time_are_reported_in_their_order(pytester, simulated):
    pytester.makeconftest(
        """
        import pathlib
        def pytest_runtest_logreport(report):
            if report.when == "call" and report.capstdout:
                pathlib.Path(__file__).with_name("captured").write_text(report.capstdout)
        """
    )
    pytester.makepyfile(
        test_a="""
        import os, pathlib, sys, time
        FLAG = pathlib.Path(__file__).with_name("flag")
        def test_waits(benchmark):
            print("a long text " * 10_000)
            while not FLAG.exists():
                time.sleep(0.01)
            assert benchmark(sum, [1]) == 2
        def test_is_waited_for(benchmark):
            benchmark(sum, [1])
            FLAG.touch()
        def test_dies(benchmark): os.abort()
        """
    )
    run = simulated(request={"isolated": True, "jobs": 2})
    assert set(run.measured) == {"test_a.py::test_waits", "test_a.py::test_is_waited_for"}
    assert [line for line in run.output.splitlines() if line.startswith("FAILED")] == [
        "FAILED test_a.py::test_waits - assert 1 == 2",
        "FAILED test_a.py::test_dies - the process of the benchmark ended with signal 6",
    ]
    assert (pytester.path / "captured").read_text() == "a long text " * 10_000 + "\n"


def test_an_order_can_be_asked_for(pytester, simulated):
    pytester.makepyfile(
        test_a="\n".join(f"def test_{name}(benchmark): benchmark(sum, [1])" for name in "abc")
    )
    started = [event["benchmark"] for event in simulated(request={"order": "reversed"}).events("started")]
    assert started == ["test_a.py::test_c", "test_a.py::test_b", "test_a.py::test_a"]
    some = simulated(request={"only": ["test_a.py::test_b"]})
    assert some.measured == ["test_a.py::test_b"]


def test_a_suite_of_which_nothing_is_asked_for_has_not_failed(pytester, simulated):
    pytester.makepyfile(test_a="def test_a(benchmark): benchmark(sum, [1])")
    other = simulated(request={"only": ["test_b.py::test_b"]})
    assert (other.exit, other.measured) == (0, [])
    assert other.events("finished")[-1]["exit"] == 0


def test_a_crash_costs_one_benchmark(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        import os, signal
        def test_dies(benchmark): benchmark(lambda: os.kill(os.getpid(), signal.SIGKILL))
        def test_good(benchmark): benchmark(sum, [1])
        """
    )
    run = simulated(request={"isolated": True})
    assert run.exit == 1
    assert run.measured == ["test_a.py::test_good"]
    assert run.events("failed")[0]["message"] == "the process of the benchmark ended with signal 9"


def test_what_others_put_around_a_test_is_around_it(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        import warnings
        import pytest
        @pytest.mark.filterwarnings("error")
        def test_strict(benchmark):
            benchmark(sum, [1])
            warnings.warn("strictly forbidden")
        def test_lax(benchmark):
            benchmark(sum, [1])
            warnings.warn("allowed")
        def test_fails(benchmark):
            print("said before it failed")
            assert benchmark(sum, [1]) == 2
        """
    )
    run = simulated(request={"isolated": True})
    assert "2 failed, 1 passed" in run.output
    assert "said before it failed" in run.output and "strictly forbidden" in run.output
    assert "1 warning" in run.output and "UserWarning: allowed" in run.output


def test_a_suite_with_threads_shares_one_process(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        import threading
        stop = threading.Event()
        threading.Thread(target=stop.wait, daemon=True).start()
        def test_a(benchmark): benchmark(sum, [1])
        """
    )
    run = simulated(request={"isolated": True})
    assert run.exit == 0 and run.measured == ["test_a.py::test_a"]
    assert "started threads" in run.events("warning")[0]["message"]


def test_tests_after_enough_failures_are_not_run(pytester, simulated):
    pytester.makepyfile(test_a="def test_a(benchmark): assert 0\ndef test_b(benchmark): benchmark(sum, [1])")
    run = simulated("-x", request={"isolated": True})
    assert run.exit == 1 and run.measured == []


@pytest.mark.parametrize("which", ["collect-only", "no tests"])
def test_nothing_to_measure_is_nothing_to_isolate(which, pytester, simulated):
    pytester.makepyfile(test_a="def test_plain(): pass")
    run = simulated(*(["--collect-only"] if which == "collect-only" else []), request={"isolated": True})
    assert run.measured == []


def test_a_seed_makes_one_other_layout(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        class Thing: pass
        THINGS = [Thing() for _ in range(100)]
        def test_addresses(benchmark): benchmark(lambda: len(set(THINGS)))
        def test_sum(benchmark): benchmark(sum, [1, 2, 3])
        """
    )
    usual, one, again, other = (simulated(request={"layout": seed}).passes for seed in (0, 1, 1, 2))
    assert one == again
    assert len({str(passes) for passes in (usual, one, other)}) == 3
    warm = [passes["test_a.py::test_sum", "warm"][0][0] for passes in (usual, one, other)]
    assert len(set(warm)) == 1, "work that does not depend on addresses is the same"


def test_holes_of_the_heap_are_filled_before_processes_are_forked(pytester, simulated):
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def zone():
            # Each time that holes are filled, what is allocated next lies in the next zone.
            return (id(object()) >> 32) - 0x2000
        @pytest.mark.parametrize("number", range(2))
        def test_it(benchmark, number, zone):
            benchmark(sum, [1])
            # The template has filled its own, and the benchmark's set-up comes second.
            assert zone == 2
        """
    )
    run = simulated(request={"isolated": True})
    assert run.exit == 0, run.output
