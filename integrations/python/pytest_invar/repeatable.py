"""Becoming repeatable: the same command once more, in the canonical environment.

Runs in a process that is thrown away, so it may make whatever Python objects it likes.
"""

import importlib.metadata
import os
import platform
import sys

from . import __version__, _native, byte_code
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
    arguments = _command_line()
    environment = Canonical()
    # A process that may write byte code has written that of what it has imported.
    must_not_write = sys.dont_write_bytecode and byte_code.is_missing()
    writing = byte_code.written_by_another(arguments, environment.unsettled()) if must_not_write else None
    _native.process(runtime(), integration(), packages())
    settled = environment.settled()
    if writing is not None:
        writing.wait()
    _execute(arguments, settled)


def begin_again() -> None:
    """Starts this process, which is repeatable, once more in its own place. Does not return."""
    # As it was given: pytest adds a variable of its own.
    given = {name: os.environ.get(name, value) for name, value in _native.environment().items()}
    _execute(_command_line(), given)


def _command_line() -> list[str]:
    with open("/proc/self/cmdline", "rb") as file:
        arguments = [os.fsdecode(argument) for argument in file.read().split(b"\0")[:-1]]
    # The path by which a virtual environment is recognised, always spelled out.
    arguments[0] = sys.executable
    return arguments


def _execute(arguments: list[str], environment: dict[str, str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    _native.replace_process(sys.executable, arguments, environment)


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
