"""The real `invar run`, by way of the tools that people start pytest with; everything that they scrub included."""

import json
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

INVAR = shutil.which("invar") or ""

pytestmark = pytest.mark.skipif(
    not INVAR, reason="is about the command `invar`, which is not on PATH (cargo build -p invar)"
)

BENCHMARKS_FAILED = 3

SUITE = """
    import pytest
    def test_sum(benchmark):
        assert benchmark(sum, range(100)) == 4950
    @pytest.mark.parametrize("n", [5, 6])
    def test_sorted(benchmark, n):
        benchmark(sorted, range(n))
"""

NAMES = ["test_suite.py::test_sorted[5]", "test_suite.py::test_sorted[6]", "test_suite.py::test_sum"]


class Told(NamedTuple):
    """What `invar run` came to, and what it kept."""

    exit: int
    output: str
    run: dict

    @property
    def measured(self):
        """The names of the benchmarks that have a result."""
        return [measurement["benchmark"]["id"] for measurement in self.run["measurements"]]


@pytest.fixture
def invar(pytester, tmp_path):
    """Runs a command under the real `invar run`."""

    def ask(*words):
        return subprocess.run(
            [INVAR, "--store", str(tmp_path / "store"), *words],
            cwd=pytester.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run(*command):
        done = ask("run", "--baseline", "none", "--", *command)
        exported = ask("export", "--json")
        kept = json.loads(exported.stdout) if exported.returncode == 0 else {"measurements": []}
        return Told(done.returncode, done.stdout, kept)

    return run


def tool(name):
    """A program beside this Python, or on PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.access(beside, os.X_OK) else shutil.which(name)
    return found or pytest.skip(f"is about {name}, which is not installed")


def check(told):
    """Three benchmarks, and nothing amiss."""
    assert told.exit == 0, told.output
    assert told.measured == NAMES, told.output


@pytest.mark.parametrize(
    "script",
    [
        "{python} -m pytest -q",
        "env -i {python} -m pytest -q",
        "env -i sh -c 'exec 3>&- && env -u INVAR_RUN_DIR {python} -m pytest -q'",
        "nice {python} -m pytest -q",
    ],
)
def test_a_shell_in_between(script, pytester, invar):
    pytester.makepyfile(test_suite=SUITE)
    check(invar("sh", "-c", script.format(python=sys.executable) + "; exit $?"))


def test_make(pytester, invar):
    make = tool("make")
    pytester.makepyfile(test_suite=SUITE)
    (pytester.path / "Makefile").write_text(f"bench:\n\t{sys.executable} -m pytest -q\n")
    check(invar(make, "bench"))


def test_tox(pytester, invar):
    """It passes on few variables, and closes what it does not know."""
    tox = tool("tox")
    pytester.makepyfile(test_suite=SUITE)
    (pytester.path / "tox.ini").write_text(
        "[tox]\nenv_list = bench\nskipsdist = true\n"
        "[testenv:bench]\nskip_install = true\nallowlist_externals = *\n"
        f"commands = {sys.executable} -m pytest -q --rootdir {{tox_root}} test_suite.py\n"
    )
    check(invar(tox, "run", "-q"))


def test_nox(pytester, invar):
    nox = tool("nox")
    pytester.makepyfile(test_suite=SUITE)
    (pytester.path / "noxfile.py").write_text(
        "import nox\n"
        "@nox.session(venv_backend='none')\n"
        f"def bench(session): session.run({sys.executable!r}, '-m', 'pytest', '-q', 'test_suite.py')\n"
    )
    check(invar(nox, "--session", "bench"))


def test_uv_run(pytester, invar):
    uv = tool("uv")
    pytester.makepyfile(test_suite=SUITE)
    command = ("python", "-m", "pytest", "-q")
    check(invar(uv, "run", "--offline", "--no-project", "--python", sys.executable, *command))


def test_two_workers_of_xdist(pytester, invar):
    pytest.importorskip("xdist", reason="is about pytest-xdist, which is not installed")
    pytester.makepyfile(test_suite=SUITE)
    told = invar(sys.executable, "-m", "pytest", "-n", "2")
    check(told)
    assert any("pytest-xdist hands out tests" in warning for warning in told.run["warnings"])


def test_an_error_in_one_benchmark_is_named_and_the_rest_is_measured(pytester, invar):
    bad = "    def test_bad(benchmark):\n        benchmark(lambda: 1 / 0)\n"
    late = "    def test_late(benchmark):\n        assert benchmark(sum, [1]) == 2\n"
    pytester.makepyfile(test_suite=SUITE + bad + late)
    told = invar(sys.executable, "-m", "pytest", "-q")
    assert told.exit == BENCHMARKS_FAILED, told.output
    # Measured first, failed then: the result is kept.
    assert told.measured == sorted([*NAMES, "test_suite.py::test_late"])
    assert told.run["failed"] == {
        "test_suite.py::test_bad": "ZeroDivisionError: division by zero",
        "test_suite.py::test_late": "assert 1 == 2",
    }
    assert "ZeroDivisionError: division by zero" in told.output


def test_classes_test_cases_and_coroutines(pytester, invar):
    pytest.importorskip("pytest_asyncio", reason="is about pytest-asyncio, which is not installed")
    pytester.makepyfile(
        test_suite="""
        import asyncio, unittest
        import pytest
        async def work():
            await asyncio.sleep(0)
            return 7
        class TestInAClass:
            def test_it(self, benchmark): benchmark(sum, [1])
        class Case(unittest.TestCase):
            @pytest.mark.benchmark
            def test_marked(self): self.assertEqual(sum([1, 2]), 3)
        @pytest.mark.asyncio
        async def test_awaits(benchmark): assert await benchmark(work) == 7
        @pytest.mark.asyncio
        @pytest.mark.benchmark
        async def test_marked_coroutine(): assert await work() == 7
        def test_calls_a_coroutine(benchmark): assert benchmark(work) == 7
        """
    )
    told = invar(sys.executable, "-m", "pytest", "-q")
    assert told.exit == 0, told.output
    assert told.measured == [
        "test_suite.py::Case::test_marked",
        "test_suite.py::TestInAClass::test_it",
        "test_suite.py::test_awaits",
        "test_suite.py::test_calls_a_coroutine",
        "test_suite.py::test_marked_coroutine",
    ]
    assert all(measurement["warm"]["instructions"] > 0 for measurement in told.run["measurements"])


def differences(run, other):
    """What two runs differ in, count by count; equal runs have none."""
    return [
        f"{one['benchmark']['id']}: {part} {name} {count} instead of {another[part].get(name)}"
        for one, another in zip(run.run["measurements"], other.run["measurements"])
        for part in ("cold", "warm")
        for name, count in one[part].items()
        if count != another[part].get(name)
    ]


def test_two_runs_are_equal_to_the_last_count(pytester, invar):
    pytester.makepyfile(test_suite=SUITE)
    first = invar(sys.executable, "-m", "pytest", "-q")
    check(first)
    again = invar("env", "-i", sys.executable, "-m", "pytest", "-q")
    assert differences(again, first) == []
    assert again.run["measurements"] == first.run["measurements"]
