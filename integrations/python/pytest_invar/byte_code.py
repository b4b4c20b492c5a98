"""Byte code is there before anything is measured: no run finds what the one before it has left.

What is imported before the suite, pytest above all, the process writes that finds the run directory, or has written where it must not
(`is_missing`). What the suite imports is written by a copy of the process that is to measure, which collects the suite and is thrown away.
Nothing of it comes back but whether it has written something; if it has, the process begins again, since some of what it has looked for
may have been found otherwise.
"""

import importlib.util
import os
import struct
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any, Literal, Optional

import pytest
from _pytest.assertion.rewrite import PYC_TAIL, AssertionRewritingHook

from . import _native

# Importlib's header, and pytest's: magic number, flags, and the source's time and size or its hash.
_HEADER_BYTES = 16
_BY_HASH, _CHECKED = 1, 2


def is_missing() -> bool:
    """Has something that was imported here no byte code that is up to date?"""
    return not all(_has_byte_code(module) for module in list(sys.modules.values()))


def written_by_another(arguments: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a process that imports what this one has imported, and collects the suite."""
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


def written_by_copy(config: pytest.Config, args: list[str]) -> Literal["copy", "ready", "again"]:
    """Has a copy of this process collect the suite that `args` are about, and waits for it. Returns in both.

    Says which of them this is: the `copy`, or the one that is to measure, which is `ready` or has to begin `again`.
    """
    which = _native.copy_process()
    if which == "copy":
        # In front: what stands behind `--` is no option. Pytest reads them once more when its initial conftests are loaded.
        args.insert(0, "--collect-only")
        config.pluginmanager.consider_pluginarg("no:cacheprovider")
        os.environ["INVAR"] = "warm"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False
        sys.addaudithook(_note_byte_code)
    return which


def _note_byte_code(event: str, args: tuple[Any, ...]) -> None:
    # Importlib and pytest write under another name first, which has this one in it.
    if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR) and ".pyc" in str(args[0]):
        _native.note_byte_code()


def _has_byte_code(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    source: Optional[str] = getattr(spec, "origin", None)
    loader = getattr(spec, "loader", None)
    if source is None or not isinstance(loader, (SourceFileLoader, AssertionRewritingHook)):
        return True
    path = importlib.util.cache_from_source(source)
    if isinstance(loader, AssertionRewritingHook):
        stem, _ = os.path.splitext(os.path.basename(source))
        path = os.path.join(os.path.dirname(path), stem + PYC_TAIL)
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
        return header[:4] == importlib.util.MAGIC_NUMBER and _is_of(source, header[4:])
    except OSError:
        return False


def _is_of(source: str, header: bytes) -> bool:
    """Is a source what a header says, behind its magic number? (PEP 552)"""
    flags, *time_and_size = struct.unpack("<III", header)
    if flags & _BY_HASH:
        with open(source, "rb") as file:
            return not flags & _CHECKED or header[4:] == importlib.util.source_hash(file.read())
    status = os.stat(source)
    return time_and_size == [int(number) & 0xFFFFFFFF for number in (status.st_mtime, status.st_size)]
