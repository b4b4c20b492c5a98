"""The environment of the measured process: what `invar run` asks for, with what only this interpreter knows.

Two variables follow the interpreter, as its own path does: programs that were installed beside it are found, and NumPy is
told of exactly those features that it knows. A variable that the user keeps (`pass_env`) is left as it is.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection

from . import _native

_NUMPY = "NPY_DISABLE_CPU_FEATURES"

# Prints which features NumPy has code for beside its baseline, and which of them this host has.
_ASK_NUMPY = """
import json
try:
    from numpy._core import _multiarray_umath as numpy
except ImportError:
    from numpy.core import _multiarray_umath as numpy
print(json.dumps([name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__.get(name)]))
"""


def canonical() -> dict[str, str]:
    """The whole environment of the measured process."""
    environment = _native.environment()
    kept = _native.kept()
    if "PATH" not in kept:
        environment["PATH"] = with_programs_of(sys.executable, environment.get("PATH", ""))
    if _NUMPY not in kept and environment.get(_NUMPY, "").strip():
        environment[_NUMPY] = only_known(environment[_NUMPY], _numpy_features(environment))
    return environment


def with_programs_of(interpreter: str, path: str) -> str:
    """`PATH`, in which the programs beside an interpreter are found first, unless they are found already."""
    directory = os.path.dirname(interpreter)
    if directory in path.split(os.pathsep):
        return path
    return os.pathsep.join(filter(None, (directory, path)))


def only_known(names: str, features: Collection[str]) -> str:
    """Those of the names that are features, filled up with blanks: the length is the same on every host.

    NumPy warns of every other name: of one that its version does not know, and of one that the host has not.
    """
    return " ".join(name for name in names.split() if name in features).ljust(len(names))


def _numpy_features(environment: dict[str, str]) -> list[str]:
    if importlib.util.find_spec("numpy") is None:
        return []
    # In a process of its own, since NumPy starts threads, and since one that cannot be imported is the suite's business.
    asked = subprocess.run(
        [sys.executable, "-c", _ASK_NUMPY],
        env=dict(environment, **{_NUMPY: ""}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if asked.returncode != 0:
        return []
    features: list[str] = json.loads(asked.stdout)
    return features
