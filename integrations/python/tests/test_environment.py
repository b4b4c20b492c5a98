"""The environment of the measured process: what is asked for, and what follows the interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_invar import environment

# What the environment of the measured process is, printed by a benchmark.
SUITE = """
    import json, os
    def test_it(benchmark):
        with open("environment.json", "w") as file:
            json.dump(dict(os.environ), file)
        benchmark(sum, [1])
"""

AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL X86_V4 AVX512_SPR"


@pytest.fixture
def measured_in(pytester, simulated):
    """The environment in which a benchmark finds itself."""
    pytester.makepyfile(SUITE)

    def run(**how):
        run = simulated(**how)
        assert run.exit == 0, run.output
        return json.loads((pytester.path / "environment.json").read_text())

    return run


@pytest.mark.parametrize(
    "name", ["LD_LIBRARY_PATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH", "PYTHONSAFEPATH"]
)
def test_what_is_set_and_empty_counts_as_unset(name, measured_in):
    request = {"pass": ["LD_LIBRARY_PATH"]}
    assert name not in measured_in(env={name: ""}, request=request)


def test_what_the_user_keeps_is_kept_though_it_is_empty(measured_in):
    found = measured_in(env={"EMPTY": "", "PATH": ""}, request={"pass": ["EMPTY", "PATH", "UNSET"]})
    assert found["EMPTY"] == "" and found["PATH"] == ""
    assert "UNSET" not in found


def test_programs_beside_the_interpreter_are_found_first(measured_in):
    here = os.path.dirname(sys.executable)
    path = measured_in(request={"environment": {"PATH": "/usr/bin:/bin"}})["PATH"]
    assert path.split(":")[0] == here or here in ("/usr/bin", "/bin")
    assert path.endswith("/usr/bin:/bin")


def test_a_directory_is_in_the_path_once():
    assert environment.with_programs_of("/venv/bin/python", "/usr/bin:/bin") == "/venv/bin:/usr/bin:/bin"
    assert environment.with_programs_of("/usr/bin/python3", "/usr/bin:/bin") == "/usr/bin:/bin"
    assert environment.with_programs_of("/venv/bin/python", "") == "/venv/bin"


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        # NumPy 1.26 and 2.4 on a host with all of it, NumPy 2.4 on an older one, and none at all.
        (["AVX2", "AVX512F", "AVX512_SKX", "AVX512_ICL"], "AVX512F AVX512_SKX AVX512_ICL"),
        (["X86_V3", "X86_V4", "AVX512_ICL", "AVX512_SPR"], "AVX512_ICL X86_V4 AVX512_SPR"),
        (["X86_V3", "X86_V4"], "X86_V4"),
        ([], ""),
    ],
)
def test_numpy_is_told_of_the_features_that_it_knows(features, expected):
    value = environment.only_known(AVX512, features)
    assert value.split() == expected.split()
    assert len(value) == len(AVX512)


def test_numpy_does_without_the_features_and_does_not_warn(tmp_path: Path):
    """On this host's own features: which names are asked for makes no difference to NumPy."""
    pytest.importorskip("numpy", reason="is about NumPy, which is not installed")
    plain = dict(os.environ, NPY_DISABLE_CPU_FEATURES="")
    features = environment._features(environment._ask_numpy(plain))
    wanted = [name for name in features if name in (*AVX512.split(), "AVX2", "FMA3", "X86_V3")]
    if not wanted:
        pytest.skip("this host has no feature for which NumPy has code beside its baseline")
    value = environment.only_known(f"{AVX512} AVX2 FMA3 X86_V3 NO_SUCH_FEATURE", features)
    assert value.split() == [name for name in value.split() if name in wanted]
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", environment._ASK_NUMPY],
        env=dict(plain, NPY_DISABLE_CPU_FEATURES=value),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0 and found.stderr == "", found.stderr
    assert not set(wanted) & set(json.loads(found.stdout))


def test_numpy_is_measured_without_avx512(measured_in, pytester):
    """Whatever this host has, the request names all of it. What NumPy has no code for it may know of, and cannot be denied."""
    pytest.importorskip("numpy", reason="is about NumPy, which is not installed")
    pytester.makepyfile(
        test_numpy="""
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            import numpy
        try:
            from numpy._core import _multiarray_umath as its
        except ImportError:
            from numpy.core import _multiarray_umath as its
        def test_it(benchmark):
            chosen_from = [name for name in its.__cpu_dispatch__ if its.__cpu_features__[name]]
            assert not [name for name in chosen_from if name.startswith(("AVX512", "X86_V4"))]
            benchmark(numpy.zeros, 10)
        """
    )
    request = {"environment": {"PATH": "/usr/bin:/bin", "NPY_DISABLE_CPU_FEATURES": AVX512}}
    assert len(measured_in(request=request)["NPY_DISABLE_CPU_FEATURES"]) == len(AVX512)
