"""The fixture and the marker: the same under both instruments."""

import pytest

import runs

SUITES = {
    "calling_it_returns_what_the_function_returns": """
        def test_it(benchmark):
            assert benchmark(sorted, [2, 1], reverse=True) == [2, 1]
    """,
    "it_is_a_decorator": """
        def test_it(benchmark):
            calls = []
            @benchmark
            def _():
                calls.append(1)
            assert calls
    """,
    "a_marked_test_is_measured_whole": """
        import pytest
        @pytest.mark.benchmark
        def test_it(tmp_path):
            assert tmp_path.exists()
    """,
    "a_marked_module_is_measured": """
        import pytest
        pytestmark = pytest.mark.benchmark(group="all")
        def test_it():
            sum(range(10))
    """,
    "a_test_marked_for_codspeed_is_measured": """
        import pytest
        @pytest.mark.codspeed_benchmark
        def test_it():
            sum(range(10))
    """,
    "the_marker_beside_the_fixture_gives_options_only": """
        import pytest
        @pytest.mark.benchmark(group="g", min_rounds=3, disable_gc=True, warmup=False)
        def test_it(benchmark):
            assert benchmark.group == "g"
            benchmark(sum, [1])
    """,
    "a_method_of_a_class_is_measured": """
        class Test:
            def test_it(self, benchmark):
                benchmark(sum, [1])
    """,
    "a_marked_method_of_a_testcase_is_measured": """
        import unittest, pytest
        class Test(unittest.TestCase):
            def setUp(self):
                self.values = [1]
            @pytest.mark.benchmark
            def test_it(self):
                self.assertEqual(sum(self.values), 1)
    """,
    "a_testcase_gets_the_fixture_by_an_autouse_fixture": """
        import unittest, pytest
        class Test(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _set(self, benchmark):
                self.benchmark = benchmark
            def test_it(self):
                self.assertEqual(self.benchmark(sum, [1]), 1)
    """,
    "attributes_name_the_test": """
        import pytest
        @pytest.mark.parametrize("n", [5])
        def test_it(benchmark, n):
            assert benchmark.name == "test_it[5]"
            assert benchmark.fullname.endswith("::test_it[5]")
            assert benchmark.param == "5"
            assert benchmark.params == {"n": 5}
            assert benchmark.extra_info == {}
            assert benchmark.group is None
            assert benchmark.enabled and not benchmark.disabled
            benchmark.group = "set later"
            benchmark.extra_info["n"] = n
            benchmark(sum, [n])
    """,
    "pedantic_sets_up_and_tears_down_around_every_call": """
        def test_it(benchmark):
            log = []
            def setup():
                log.append("setup")
                return ([len(log)],), {}
            def target(values):
                assert log[-1] == "setup"
                log.append("call")
                return values
            def teardown(values):
                assert log[-1] == "call"
                log.append("teardown")
            result = benchmark.pedantic(target, setup=setup, teardown=teardown, rounds=3, warmup_rounds=2)
            assert isinstance(result[0], int)
            assert len(log) % 3 == 0 and log[-1] == "teardown"
            assert log.count("call") >= 5
    """,
    "pedantic_takes_arguments_and_iterations": """
        def test_it(benchmark):
            assert benchmark.pedantic(sorted, args=([2, 1],), kwargs={"reverse": True}, iterations=3, rounds=2) == [2, 1]
    """,
    "an_async_function_is_run_to_its_end": """
        import asyncio
        async def add(a, b):
            await asyncio.sleep(0)
            return a + b
        def test_it(benchmark):
            assert benchmark(add, 1, b=2) == 3
    """,
    "the_collector_is_off_during_the_benchmark_and_on_afterwards": """
        import gc
        def test_it(benchmark):
            states = []
            benchmark(lambda: states.append(gc.isenabled()))
            assert states[-1] is False
            assert gc.isenabled()
    """,
}

ASYNC_SUITES = {
    "an_async_test_awaits_the_benchmark_of_an_async_function": """
        import asyncio, pytest
        async def add(a, b):
            await asyncio.sleep(0)
            return a + b
        @pytest.mark.asyncio
        async def test_it(benchmark):
            assert await benchmark(add, 1, 2) == 3
            await asyncio.sleep(0)
            assert asyncio.current_task() is not None
    """,
    "an_async_test_benchmarks_a_plain_function": """
        import pytest
        @pytest.mark.asyncio
        async def test_it(benchmark):
            assert benchmark(sum, [1]) == 1
    """,
    "a_marked_async_test_is_measured_on_its_own_loop": """
        import asyncio, pytest
        @pytest.mark.benchmark
        @pytest.mark.asyncio
        async def test_it():
            await asyncio.sleep(0)
    """,
}


@pytest.mark.parametrize("suite", SUITES)
def test_by_wall_clock(suite, pytester, plainly):
    pytester.makepyfile(SUITES[suite])
    result = plainly()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*benchmarks (wall clock)*", "*test_it*"])


@pytest.mark.parametrize("suite", SUITES)
def test_by_simulation(suite, pytester, simulated):
    pytester.makepyfile(SUITES[suite])
    check_one_measured(simulated())


@pytest.mark.parametrize("suite", ASYNC_SUITES)
def test_async_by_wall_clock(suite, pytester, plainly):
    pytest.importorskip("pytest_asyncio", reason="is about pytest-asyncio, which is not installed")
    pytester.makepyfile(ASYNC_SUITES[suite])
    result = plainly()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*benchmarks (wall clock)*", "*test_it*"])


@pytest.mark.parametrize("suite", ASYNC_SUITES)
def test_async_by_simulation(suite, pytester, simulated):
    pytest.importorskip("pytest_asyncio", reason="is about pytest-asyncio, which is not installed")
    pytester.makepyfile(ASYNC_SUITES[suite])
    check_one_measured(simulated())


def check_one_measured(run: runs.Run) -> None:
    assert run.exit == 0, run.output
    assert len(run.measured) == 1, run.output
    (name,) = run.measured
    assert run.passes[name, "cold"][0][0] > 0
    assert run.passes[name, "warm"][0][0] > 0
    assert [line["benchmark"] for line in run.events("measured")] == [name]


def test_a_second_use_in_one_test_is_an_error(pytester, plainly):
    pytester.makepyfile(
        """
        def test_it(benchmark):
            benchmark(sum, [1])
            benchmark(sum, [1])
        """
    )
    result = plainly()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*FixtureAlreadyUsed: the benchmark fixture was used already*"])


def test_a_marker_argument_that_nobody_knows_is_an_error(pytester, plainly):
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.benchmark(speed=1)
        def test_it(benchmark):
            benchmark(sum, [1])
        """
    )
    result = plainly()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ValueError: the benchmark marker knows no speed*"])


def test_a_setup_with_iterations_is_an_error(pytester, plainly):
    pytester.makepyfile(
        """
        def test_it(benchmark):
            benchmark.pedantic(sum, setup=lambda: (([1],), {}), iterations=2)
        """
    )
    plainly().assert_outcomes(failed=1)


def test_an_unused_fixture_is_a_warning(pytester, plainly):
    pytester.makepyfile("def test_it(benchmark): pass")
    result = plainly()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*the benchmark fixture was not used in this test"])
