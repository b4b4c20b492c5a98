"""Under `invar run`: what is measured, what is said, and that it is the same every time."""

import os
import platform
import sys

import pytest

SUITE = """
    import json, os, random, re, threading, time, uuid
    import pytest
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    class Node:
        def __init__(self, n):
            self.children = [Node(n - 1) for _ in range(2)] if n else []
    def mix():
        text = json.dumps([{"a": i, "b": [str(i)] * 3} for i in range(50)])
        re.findall(r"[0-9]+", text)
        return sorted(json.loads(text), key=lambda row: -row["a"])
    @pytest.mark.parametrize("n", [1, 10])
    def test_fib(benchmark, n):
        benchmark(fib, n)
    def test_mix(benchmark):
        benchmark(mix)
    def test_objects(benchmark):
        benchmark(Node, 6)
    def test_identities(benchmark):
        benchmark(lambda: {object() for _ in range(500)})
    def test_file(benchmark, tmp_path):
        benchmark((tmp_path / "file").write_text, "text")
    def test_random(benchmark):
        benchmark(lambda: sorted(random.random() for _ in range(100)))
    def test_names_of_chance(benchmark):
        benchmark(lambda: {uuid.uuid4().hex: os.urandom(8) for _ in range(100)})
    def test_lock(benchmark):
        lock = threading.RLock()
        def locked():
            with lock:
                return time.monotonic() > 0
        benchmark(locked)
    @pytest.mark.benchmark
    def test_whole():
        mix()
"""


def test_every_count_is_the_same_in_every_process(pytester, simulated):
    pytester.makepyfile(test_suite=SUITE)
    first = simulated()
    assert first.exit == 0, first.output
    assert len(first.measured) == 10
    for number in range(9):
        elsewhere = {
            "HOME": "/" + "h" * 9 * number,
            "JUNK": "x" * 1234 * number,
            "PYTHONHASHSEED": str(number),
        }
        again = simulated(env=elsewhere)
        assert again.exit == 0, again.output
        assert again.passes == first.passes


def test_a_process_that_is_not_layout_fixed_becomes_it(pytester, simulated):
    pytester.makepyfile(
        """
        import os, sys
        def test_it(benchmark):
            assert not sys.stdout.isatty()
            assert int(open("/proc/self/personality").read(), 16) & 0x40000
            assert os.environ["INVAR"] == "1"
            assert not any("INVAR_RUN_DIR" in name for name in os.environ)
            assert os.environ["HOME"] == "/" and os.environ["PASSED"] == "yes" and "JUNK" not in os.environ
            assert sys.flags.dont_write_bytecode and sys.flags.hash_randomization == 0
            assert sys.executable == %r
            benchmark(sum, [1])
        """
        % sys.executable
    )
    run = simulated(env={"JUNK": "1", "PASSED": "yes"}, request={"pass": ["PASSED"]})
    assert run.exit == 0, run.output


def test_names_are_paths_relative_to_the_root(pytester, simulated):
    pytester.makeini("[pytest]")
    inner = pytester.mkdir("tests")
    (inner / "test_fibo.py").write_text(
        "import pytest\n"
        "class TestA:\n"
        "    @pytest.mark.parametrize('n', [5])\n"
        "    def test_b(self, benchmark, n): benchmark(sum, range(n))\n"
    )
    for arguments, cwd in ([["tests"], pytester.path], [[], inner]):
        run = simulated(*arguments, cwd=cwd)
        assert run.measured == ["tests/test_fibo.py::TestA::test_b[5]"], run.output


def test_a_benchmark_is_described(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        import pytest
        @pytest.mark.parametrize("n", [5])
        def test_b(benchmark, n):
            benchmark(sum, range(n))
            benchmark.group = "sums"
            benchmark.extra_info["more"] = [1]
        """
    )
    run = simulated()
    about = run.descriptions["test_a.py::test_b[5]"]
    assert about.pop("integration").startswith("pytest-invar ")
    assert about == {
        "name": "test_b[5]",
        "file": "test_a.py",
        "line": 2,
        "group": "sums",
        "params": {"n": "5"},
        "extra_info": {"more": [1]},
        "language": "python",
        "runtime": f"CPython {platform.python_version()}",
    }


def test_progress_tells_the_course_of_a_run(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        def test_bad(benchmark): benchmark(lambda: 1 / 0)
        def test_good(benchmark): benchmark(sum, [1])
        def test_plain(): pass
        """
    )
    run = simulated()
    events = [line["event"] for line in run.progress]
    assert events == [
        "process",
        "placed",
        "collected",
        "started",
        "failed",
        "started",
        "measured",
        "finished",
    ]
    assert run.events("collected")[0]["benchmarks"] == 2
    assert run.events("finished")[0]["exit"] == 1
    assert "pytest" in run.events("process")[0]["packages"]


def test_an_error_in_a_benchmark_fails_its_test_alone(pytester, simulated):
    # One raises at once, one natively in the warm-up, one in the cold pass and one in the warm pass: after 8, 9 calls.
    pytester.makepyfile(
        test_a="""
        import pytest
        @pytest.mark.parametrize("calls", [0, 3, 8, 9])
        def test_bad(benchmark, calls):
            left = [calls]
            def target():
                if not left[0]:
                    raise KeyError("gone", calls)
                left[0] -= 1
            benchmark.pedantic(target)
        def test_second_call(benchmark):
            calls = []
            def target():
                calls.append(1)
                assert len(calls) < 2, "the counted call of the warm-up"
            benchmark(target)
        def test_skips(benchmark):
            benchmark(pytest.skip, "not here")
        def test_good(benchmark):
            benchmark(sum, [1])
        """
    )
    run = simulated()
    assert run.exit == 1
    assert "5 failed, 1 passed, 1 skipped" in run.output
    assert run.measured == ["test_a.py::test_good"]
    assert {line["message"] for line in run.events("failed")} == {
        "KeyError: ('gone', 0)",
        "KeyError: ('gone', 3)",
        "KeyError: ('gone', 8)",
        "KeyError: ('gone', 9)",
        "AssertionError: the counted call of the warm-up",
    }


def test_a_crash_loses_nothing_that_was_measured_before(pytester, simulated):
    pytester.makepyfile(
        test_a="""
        import os, signal
        def test_good(benchmark): benchmark(sum, [1])
        def test_dies(benchmark): benchmark(os.kill, os.getpid(), signal.SIGKILL)
        """
    )
    run = simulated()
    assert run.exit == -9
    assert run.measured == ["test_a.py::test_good"]
    assert run.events("started")[-1]["benchmark"] == "test_a.py::test_dies"


def test_other_tests_are_deselected(pytester, simulated):
    pytester.makepyfile(
        """
        def test_plain(): raise AssertionError("must not run")
        def test_it(benchmark): benchmark(sum, [1])
        """
    )
    run = simulated()
    assert run.exit == 0, run.output
    assert "1 deselected" in run.output


def test_a_suite_without_benchmarks_collects_none(pytester, simulated):
    pytester.makepyfile("def test_plain(): pass")
    run = simulated()
    assert run.exit == pytest.ExitCode.NO_TESTS_COLLECTED
    assert run.events("collected")[0]["benchmarks"] == 0


def test_two_sizes_of_work_have_counts_in_proportion(pytester, simulated):
    pytester.makepyfile(
        """
        import itertools, pytest
        def work(n):
            for _ in itertools.repeat(None, n):
                abs(1)
        @pytest.mark.parametrize("n", [1000, 2000, 4000])
        def test_it(benchmark, n): benchmark(work, n)
        """
    )
    run = simulated()
    one, two, four = (run.passes[name, "warm"][0][0] for name in sorted(run.measured))
    assert abs((four - two) / (two - one) - 2) < 0.02


def test_counts_mode_measures_too(pytester, simulated):
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    run = simulated(request={"mode": "counts"})
    assert run.exit == 0, run.output
    assert len(run.measured) == 1


def test_an_unknown_machine_fails_the_session_with_a_sentence(pytester, simulated):
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    run = simulated(request={"machine": "pentium"})
    assert run.exit == pytest.ExitCode.USAGE_ERROR
    assert "unknown machine `pentium`" in run.output
    assert run.measured == []


@pytest.mark.parametrize(
    "script",
    [
        "exec {python} -m pytest -q",
        "env -i PATH=/usr/bin:/bin {python} -m pytest -q",
        "{bin}/pytest -q",
        "{python} run.py",
        '(cd / && {python} -m pytest -q "$OLDPWD" --rootdir "$OLDPWD")',
    ],
)
def test_whatever_ends_up_in_pytest_is_measured(script, pytester, simulated):
    """A scrubbed environment included: the run directory is found by way of the parent process."""
    pytester.makepyfile(
        test_a="def test_it(benchmark): benchmark(sum, [1])",
        run="import pytest; raise SystemExit(pytest.main(['-q']))",
    )
    script = script.format(python=sys.executable, bin=os.path.dirname(sys.executable))
    run = simulated(command=["sh", "-c", f"{script}; exit $?"])
    assert run.exit == 0, run.output
    assert run.measured == ["test_a.py::test_it"], run.output


def test_pytest_inside_of_a_benchmark_is_left_alone(pytester, simulated):
    pytester.makepyfile(
        test_inner="def test_inner(benchmark): benchmark(sum, [1])",
        test_outer="""
        import subprocess, sys
        def test_outer(benchmark):
            subprocess.run([sys.executable, "-m", "pytest", "-q", "test_inner.py"], check=True)
            benchmark(sum, [1])
        """,
    )
    run = simulated("test_outer.py")
    assert run.exit == 0, run.output
    assert run.measured == ["test_outer.py::test_outer"]


def test_looking_only_measures_nothing(pytester, simulated):
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    run = simulated("--collect-only", "-q")
    assert run.exit == 0, run.output
    assert run.progress == []


@pytest.mark.parametrize("must_not_write", ["", "1"])
def test_the_first_run_equals_the_second_though_it_had_no_byte_code(must_not_write, pytester, simulated):
    pytester.makepyfile(helper="def work(): return sorted(range(50))")
    pytester.makepyfile(test_suite="import helper\ndef test_it(benchmark): benchmark(helper.work)")
    first = simulated(env={"PYTHONDONTWRITEBYTECODE": must_not_write})
    assert first.exit == 0, first.output
    assert simulated().passes == first.passes


def test_a_process_that_lacks_byte_code_begins_again_and_measures_once(pytester, simulated):
    pytester.makeconftest(
        """
        import os, pathlib
        lock = pathlib.Path("/proc/self/fd/199")
        with pathlib.Path("imports").open("a") as file:
            print(os.environ["INVAR"], lock.is_symlink() and os.path.basename(os.readlink(lock)), file=file)
        """
    )
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    imports = pytester.path / "imports"
    copy, measures = "warm False", "1 0.lock"
    for expected in ([copy, copy, measures], [copy, measures]):
        imports.write_text("")
        run = simulated("--", ".")
        assert run.exit == 0, run.output
        assert imports.read_text().splitlines() == expected
        assert len(run.events("collected")) == 1
        assert run.output.count("collected 1 item") == 1


def test_byte_code_is_missing_that_is_not_of_its_source(pytester, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    pytester.makepyfile(
        helper="",
        looks="""
        import os, pathlib
        import helper
        from pytest_invar import byte_code
        def pytest_configure():
            print("none changed:", byte_code.is_missing())
            # Importlib has written the byte code of the one, pytest that of the other.
            for file in (helper.__file__, __file__):
                path = pathlib.Path(file)
                text, status = path.read_text(), path.stat()
                path.write_text(text + "#")
                print(path.stem, "changed:", byte_code.is_missing())
                path.write_text(text)
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        """,
    )
    # What the first process imports it may have to compile.
    _, looked = (pytester.runpytest_subprocess("-p", "looks", "-s") for _ in range(2))
    looked.stdout.fnmatch_lines(["none changed: False", "helper changed: True", "looks changed: True"])


def test_workers_of_xdist_measure(pytester, simulated):
    pytest.importorskip("xdist", reason="is about pytest-xdist, which is not installed")
    pytester.makepyfile(test_suite=SUITE)
    run = simulated("-n2")
    assert run.exit == 0, run.output
    assert len(run.measured) == 10
    assert sum(line["benchmarks"] for line in run.events("collected")) == 10
    assert len(run.events("warning")) == 1
    assert "pytest-xdist hands out tests" in run.output


def test_a_terminal_is_relayed(pytester, simulated):
    pytester.makepyfile(
        test_a="import sys\ndef test_it(benchmark): assert not sys.__stdout__.isatty(); benchmark(sum, [1])"
    )
    command = f"{sys.executable} -m pytest -q"
    run = simulated(command=["script", "-qec", command, "/dev/null"])
    assert run.exit == 0, run.output
    assert "1 passed" in run.output
    assert len(run.measured) == 1


@pytest.mark.parametrize("rival", ["pytest_benchmark", "pytest_codspeed"])
def test_another_plugin_gives_the_fixture_up(rival, pytester, simulated):
    pytest.importorskip(rival, reason=f"is about {rival}, which is not installed")
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    other = {"pytest_benchmark": "codspeed", "pytest_codspeed": "benchmark"}[rival]
    arguments = ["--benchmark-min-rounds=3"] if rival == "pytest_benchmark" else []
    run = simulated("-p", f"no:{other}", *arguments)
    assert run.exit == 0, run.output
    assert len(run.measured) == 1
    assert f"{rival.replace('_', '-')} is installed too: under `invar run`" in run.output


def test_an_order_of_chance_and_coverage_are_switched_off(pytester, simulated):
    for name in ("pytest_randomly", "pytest_cov"):
        pytest.importorskip(name, reason=f"is about {name}, which is not installed")
    pytester.makepyfile(
        test_suite="""
        import sys
        import pytest
        @pytest.mark.parametrize("n", range(12))
        def test_it(benchmark, n):
            assert sys.gettrace() is None and "coverage.control" not in sys.modules
            benchmark(sum, range(n))
        """
    )
    first = simulated("--cov=.")
    assert first.exit == 0, first.output
    assert [line["benchmark"] for line in first.events("started")] == [
        f"test_suite.py::test_it[{n}]" for n in range(12)
    ]
    assert simulated("--cov=.").passes == first.passes


def test_random_hashes_are_warned_of(pytester, simulated):
    pytester.makepyfile("def test_it(benchmark): benchmark(sum, [1])")
    run = simulated(command=[sys.executable, "-E", "-m", "pytest"])
    assert run.exit == 0, run.output
    assert "hashes are random" in run.output
    assert len(run.events("warning")) == 1


def test_an_edit_elsewhere_hardly_moves_a_benchmark(pytester, simulated):
    pytester.makepyfile(test_suite=SUITE)
    before = simulated()
    for name in ("stray.txt", "another_one.py"):
        (pytester.path / name).touch()
    more = "    UNUSED = [str(i) for i in range(3000)]\n    def test_more(benchmark):\n        benchmark(sum, [1])\n"
    pytester.makepyfile(test_suite=SUITE + more)
    after = simulated()
    assert after.exit == 0, after.output
    for name in ("test_fib[10]", "test_mix", "test_objects", "test_identities", "test_whole"):
        key = f"test_suite.py::{name}", "warm"
        # Most stay below 0.1 %; the hashes of older objects made it 0.6 % for test_mix on Debian's 3.11.2.
        assert after.passes[key][0][0] == pytest.approx(before.passes[key][0][0], rel=0.01), name
