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
from typing import Optional

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


class Canonical:
    """The whole environment of the measured process, which takes a moment to know: NumPy is asked meanwhile."""

    def __init__(self) -> None:
        self._variables = _native.environment()
        kept = _native.kept()
        if "PATH" not in kept:
            self._variables["PATH"] = with_programs_of(sys.executable, self._variables.get("PATH", ""))
        self._tells_numpy = _NUMPY not in kept and bool(self._variables.get(_NUMPY, "").strip())
        self._numpy = _ask_numpy(self.unsettled()) if self._tells_numpy else None

    def unsettled(self) -> dict[str, str]:
        """The same but for what NumPy is told, for processes that measure nothing."""
        return dict(self._variables, **({_NUMPY: ""} if self._tells_numpy else {}))

    def settled(self) -> dict[str, str]:
        """All of it, once NumPy has answered."""
        if not self._tells_numpy:
            return self._variables
        return dict(self._variables, **{_NUMPY: only_known(self._variables[_NUMPY], _features(self._numpy))})


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


def _ask_numpy(environment: dict[str, str]) -> "Optional[subprocess.Popen[bytes]]":
    if importlib.util.find_spec("numpy") is None:
        return None
    # In a process of its own, since NumPy starts threads, and since one that cannot be imported is the suite's business.
    return subprocess.Popen(
        [sys.executable, "-c", _ASK_NUMPY],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _features(asked: "Optional[subprocess.Popen[bytes]]") -> list[str]:
    """What NumPy answers; none where there is no NumPy, or none that can be imported."""
    if asked is None:
        return []
    answer, _ = asked.communicate()
    features: list[str] = json.loads(answer) if asked.returncode == 0 else []
    return features
