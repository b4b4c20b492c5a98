"""Plain pytest: the wall clock, its options, its table and its file."""

import json

import pytest

TWO = """
    import pytest
    def test_plain():
        pass
    @pytest.mark.parametrize("n", [1, 2])
    def test_sum(benchmark, n):
        benchmark.group = "sums"
        benchmark.extra_info["n"] = n
        benchmark(sum, range(n))
"""


def test_disabled_benchmarks_are_called_once(pytester, plainly):
    pytester.makepyfile(
        """
        def test_it(benchmark):
            calls = []
            benchmark(calls.append, 1)
            assert calls == [1]
            assert benchmark.disabled and benchmark.stats is None
        """
    )
    result = plainly("--benchmark-disable")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*wall clock*")


def test_only_leaves_benchmarks(pytester, plainly):
    pytester.makepyfile(TWO)
    plainly("--benchmark-only").assert_outcomes(passed=2, skipped=1)


def test_skip_leaves_the_others(pytester, plainly):
    pytester.makepyfile(TWO)
    plainly("--benchmark-skip").assert_outcomes(passed=1, skipped=2)


def test_only_and_disable_exclude_each_other(pytester, plainly):
    result = plainly("--benchmark-only", "--benchmark-disable")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*exclude each other*"])


def test_the_json_file_has_the_shape_of_pytest_benchmark(pytester, plainly):
    pytester.makepyfile(TWO)
    plainly("--benchmark-json=out.json").assert_outcomes(passed=3)
    document = json.loads((pytester.path / "out.json").read_text())
    assert set(document) == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    first, second = document["benchmarks"]
    assert first["name"] == "test_sum[1]"
    assert first["fullname"].endswith(".py::test_sum[1]")
    assert first["group"] == "sums"
    assert first["params"] == {"n": 1} and first["param"] == "1"
    assert second["extra_info"] == {"n": 2}
    stats = first["stats"]
    assert stats["rounds"] == len(stats["data"]) >= 5
    assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]
    needed = "mean stddev iqr iqr_outliers stddev_outliers outliers ld15iqr hd15iqr ops total iterations"
    assert set(needed.split()) <= set(stats)


def test_the_table_shows_groups_and_columns(pytester, plainly):
    pytester.makepyfile(TWO)
    plainly().stdout.fnmatch_lines(
        [
            "sums:",
            "benchmark*min*median*mean (95 %)*stddev*outliers*rounds*calls/round",
            "*test_sum?1?*",
            "*test_sum?2?*",
        ]
    )


def test_stats_are_there_after_the_call(pytester, plainly):
    pytester.makepyfile(
        """
        def test_it(benchmark):
            benchmark(sum, range(100))
            assert benchmark.stats.stats.mean == benchmark.stats["mean"]
            assert benchmark.stats.stats.min <= benchmark.stats.stats.median <= benchmark.stats.stats.max
        """
    )
    plainly().assert_outcomes(passed=1)


def test_pedantic_makes_as_many_rounds_as_it_is_told(pytester, plainly):
    pytester.makepyfile(
        """
        def test_it(benchmark):
            calls = []
            benchmark.pedantic(calls.append, args=(1,), rounds=7, iterations=3, warmup_rounds=2)
            assert len(calls) == (7 + 2) * 3
            assert benchmark.stats.stats.rounds == 7
        """
    )
    plainly().assert_outcomes(passed=1)


def test_an_error_in_a_benchmark_fails_its_test_alone(pytester, plainly):
    pytester.makepyfile(
        """
        def test_bad(benchmark):
            benchmark(lambda: 1 / 0)
        def test_good(benchmark):
            benchmark(sum, [1])
        """
    )
    result = plainly()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*", "*test_good*"])


def test_options_of_pytest_benchmark_are_accepted(pytester, plainly):
    pytester.makepyfile(TWO)
    result = plainly(
        "--benchmark-autosave", "--benchmark-sort=mean", "--benchmark-group-by=func", "--benchmark-verbose"
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["invar: --benchmark-autosave: accepted, without effect*", "test_sum:"])


def test_workers_of_xdist_do_not_time(pytester, plainly):
    pytest.importorskip("xdist", reason="is about pytest-xdist, which is not installed")
    pytester.makepyfile(TWO)
    result = plainly("-n2")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["invar: benchmarks are called but not timed*"])


@pytest.mark.parametrize("rival", ["pytest_benchmark", "pytest_codspeed"])
def test_another_plugin_keeps_the_fixture(rival, pytester):
    pytest.importorskip(rival, reason=f"is about {rival}, which is not installed")
    pytester.makepyfile("def test_it(benchmark): assert type(benchmark).__module__.startswith('%s')" % rival)
    other = {"pytest_benchmark": "codspeed", "pytest_codspeed": "benchmark"}[rival]
    result = pytester.runpytest_subprocess("-p", f"no:{other}", "-v")
    result.stdout.fnmatch_lines(
        [f"invar: {rival.replace('_', '-')} is installed too: without `invar run`*left to it"]
    )
    assert "AssertionError" not in result.stdout.str()
