"""Becoming repeatable: the same command once more, in the canonical environment, with byte code already written.

Runs in a process that is thrown away, so it may make whatever Python objects it likes.
"""

import importlib.metadata
import os
import platform
import subprocess
import sys

from . import __version__, _native
from .environment import Canonical

# Options with which pytest measures nothing.
_LOOKS_ONLY = (
    "--collect-only",
    "--co",
    "--collectonly",
    "--help",
    "-h",
    "--version",
    "-V",
    "--fixtures",
    "--markers",
)


def measures_nothing(args: list[str]) -> bool:
    """Does this command line only look, so that nothing need be repeatable?"""
    return any(arg in _LOOKS_ONLY for arg in args)


def restart() -> None:
    """Starts this very command again, repeatably, in the place of this process. Does not return."""
    with open("/proc/self/cmdline", "rb") as file:
        arguments = [os.fsdecode(argument) for argument in file.read().split(b"\0")[:-1]]
    # The path by which a virtual environment is recognised, always spelled out.
    arguments[0] = sys.executable
    environment = Canonical()
    collecting = _write_byte_code(arguments, environment.unsettled())
    _native.process(runtime(), integration(), packages())
    settled = environment.settled()
    collecting.wait()
    sys.stdout.flush()
    sys.stderr.flush()
    _native.replace_process(sys.executable, arguments, settled)


def _write_byte_code(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Collects the suite once, so that the first measured run finds as much byte code as the second."""
    environment["INVAR"] = "warm"
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    options = environment.get("PYTEST_ADDOPTS", "")
    environment["PYTEST_ADDOPTS"] = f"{options} --collect-only -q -p no:cacheprovider".lstrip()
    # What goes wrong here goes wrong again in the measured process, and is shown there.
    return subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def runtime() -> str:
    """The interpreter, as stored beside results: `CPython 3.11.7`."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def integration() -> str:
    """This package, as stored beside results."""
    return f"pytest-invar {__version__}"


def packages() -> dict[str, str]:
    """The installed distributions and their versions, and the interpreter's build."""
    found = {
        "python": f"{platform.python_version()} ({', '.join(platform.python_build())}; {platform.python_compiler()})"
    }
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found[name.lower().replace("_", "-")] = distribution.version
    return found
