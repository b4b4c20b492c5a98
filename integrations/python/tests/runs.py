"""A stand-in for `invar run`: prepares a run directory, starts a command, reads what was left there."""

import contextlib
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

ENVIRONMENT = {
    "COLUMNS": "120",
    "HOME": "/",
    "LANG": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
}


class Call(NamedTuple):
    """A callee, along one path of callers."""

    # Index of the caller's; the first is its own.
    parent: int
    # ("code", name, file, line), ("line", number) or ("address", number).
    callee: tuple[Any, ...]
    calls: int
    # What superblocks have executed that were entered in it: with what these called and returned from on their way.
    instructions: int


class CallPaths(NamedTuple):
    """A pass by call paths."""

    calls: list[Call]

    def lines(self, name: str) -> dict[int, tuple[int, int]]:
        """By the lines of a function: how often each was come to, and what was executed there, with what it called."""
        inclusive = [call.instructions for call in self.calls]
        for index in range(len(self.calls) - 1, 0, -1):
            inclusive[self.calls[index].parent] += inclusive[index]
        lines: dict[int, tuple[int, int]] = {}
        for index, (parent, callee, calls, _) in enumerate(self.calls):
            if callee[0] == "line" and self.calls[parent].callee[1].rsplit(".", 1)[-1] == name:
                entered, cost = lines.get(callee[1], (0, 0))
                lines[callee[1]] = (entered + calls, cost + inclusive[index])
        return lines


class Run(NamedTuple):
    """What a run came to."""

    exit: int
    output: str
    # Progress lines of all processes.
    progress: list[dict[str, Any]]
    # (benchmark, pass) -> (every event, diagnostics).
    passes: dict[tuple[str, str], tuple[tuple[int, ...], int]]
    # benchmark -> its description.
    descriptions: dict[str, dict[str, Any]]
    # benchmark -> its warm pass by call path.
    call_paths: dict[str, "CallPaths"]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The progress lines of one kind."""
        return [line for line in self.progress if line["event"] == kind]

    @property
    def measured(self) -> list[str]:
        """The benchmarks that have a warm pass, sorted."""
        return sorted(name for name, which in self.passes if which == "warm")


def run(
    command: Sequence[str],
    cwd: "os.PathLike[str]",
    env: Optional[dict[str, str]] = None,
    request: Optional[dict[str, Any]] = None,
) -> Run:
    """Runs a command as `invar run` does."""
    with _run_directory(request or {}) as directory:
        environment = dict(os.environ, INVAR_RUN_DIR=str(directory), **(env or {}))
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        progress = [
            json.loads(line)
            for path in sorted(directory.glob("progress-*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        passes: dict[tuple[str, str], tuple[tuple[int, ...], int]] = {}
        descriptions: dict[str, dict[str, Any]] = {}
        call_paths: dict[str, CallPaths] = {}
        for path in sorted(directory.glob("raw-*.invar")):
            _read(path.read_bytes(), passes, descriptions, call_paths)
        return Run(done.returncode, done.stdout, progress, passes, descriptions, call_paths)


@contextlib.contextmanager
def _run_directory(request: dict[str, Any]) -> Iterator[Path]:
    # Without a prefix of fixed length nothing would show a dependency on the path.
    with tempfile.TemporaryDirectory(prefix="r" * (1 + os.getpid() % 7)) as name:
        whole = {
            "version": 1,
            "mode": "simulation",
            "machine": "reference-1",
            "environment": ENVIRONMENT,
            "pass": [],
        }
        whole.update(request)
        Path(name, "request.json").write_text(json.dumps(whole))
        yield Path(name)


def _read(
    data: bytes,
    passes: dict[Any, Any],
    descriptions: dict[str, Any],
    call_paths: dict[str, CallPaths],
) -> None:
    """Reads a raw file: crates/invar-core/src/wire/raw.rs."""
    assert data[:6] == b"INVRAW"
    at = 8
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        payload, at = data[at + 8 : at + 8 + length], at + 8 + length
        if kind == 2:
            name, rest = _text(payload)
            diagnostics, count = struct.unpack_from("<QI", rest, 2)
            events = struct.unpack_from(f"<{count}Q", rest, 14)
            passes[name, ("cold", "warm")[rest[0]]] = (events, diagnostics)
        elif kind == 3:
            name, rest = _text(payload)
            descriptions[name] = json.loads(_text(rest)[0])
        elif kind == 5:
            name, rest = _text(payload)
            call_paths[name] = _call_paths(rest)


def _text(payload: bytes) -> tuple[str, bytes]:
    (length,) = struct.unpack_from("<I", payload)
    return payload[4 : 4 + length].decode(), payload[4 + length :]


def _call_paths(data: bytes) -> CallPaths:
    """Reads the exits that calls have taken: crates/invar-core/src/wire/raw/taken_exits.rs."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text() -> str:
        nonlocal at
        length = number()
        at += length
        return data[at - length : at].decode()

    def byte() -> int:
        nonlocal at
        at += 1
        return data[at - 1]

    text()
    python = [(text(), text(), number()) for _ in range(number())]
    calls: list[tuple[int, tuple[Any, ...], int]] = []
    for index in range(number()):
        parent, code = index - number(), number()
        if code == 0:
            callee: tuple[Any, ...] = ("address", number())
        elif code <= len(python):
            callee = ("code", *python[code - 1])
        else:
            callee = ("line", code - 1 - len(python))
        calls.append((parent, callee, number()))
    for _ in range(number()):
        number(), number()
        for _ in range(byte()):
            number()
            (flow, *_), at = data[at : at + 4], at + 4
            number()
            if flow & 3 == 1:
                number()
    exits = [(number(), byte(), byte()) for _ in range(number())]
    executed = [0] * len(calls)
    for _ in range(number()):
        call, (_, instructions, _) = number(), exits[number()]
        executed[call] += instructions * number()
    return CallPaths([Call(*call, own) for call, own in zip(calls, executed)])


if __name__ == "__main__":
    # python runs.py COMMAND...: one run, one line a pass, to be compared by eye or by diff.
    result = run(sys.argv[1:], cwd=Path.cwd())
    sys.stderr.write(result.output)
    for (benchmark, which), (events, diagnostics) in sorted(result.passes.items()):
        print(benchmark, which, *events, f"diagnostics={diagnostics}")
    sys.exit(result.exit)
