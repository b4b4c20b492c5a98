"""Fixtures of these tests: a suite in a directory, run plainly or as `invar run` does."""

import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

import runs

pytest_plugins = ["pytester"]

SimulatedRun = Callable[..., runs.Run]


@pytest.fixture(autouse=True)
def _outside_of_any_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INVAR", "INVAR_RUN_DIR", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def plainly(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs pytest on the test's directory; rounds are few, since no number is looked at."""

    def run(*args: str) -> pytest.RunResult:
        quick = ("--benchmark-max-time=0.01", "--benchmark-warmup=off")
        # Where pytest-benchmark or pytest-codspeed is installed as well, it would have the fixture.
        others = [word for name in ("randomly", "benchmark", "codspeed") for word in ("-p", f"no:{name}")]
        return pytester.runpytest_subprocess(*others, *quick, *args)

    return run


@pytest.fixture
def simulated(pytester: pytest.Pytester) -> SimulatedRun:
    """Runs pytest on the test's directory, as `invar run` does."""

    def run(
        *args: str,
        command: Optional[list] = None,
        env: Optional[dict[str, str]] = None,
        cwd: Optional[Path] = None,
        request: Optional[dict[str, Any]] = None,
    ) -> runs.Run:
        command = command or [sys.executable, "-m", "pytest"]
        return runs.run([*command, *args], cwd=cwd or pytester.path, env=env, request=request)

    return run
