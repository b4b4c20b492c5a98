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
        for path in sorted(directory.glob("raw-*.invar")):
            _read(path.read_bytes(), passes, descriptions)
        return Run(done.returncode, done.stdout, progress, passes, descriptions)


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


def _read(data: bytes, passes: dict[Any, Any], descriptions: dict[str, Any]) -> None:
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


def _text(payload: bytes) -> tuple[str, bytes]:
    (length,) = struct.unpack_from("<I", payload)
    return payload[4 : 4 + length].decode(), payload[4 + length :]


if __name__ == "__main__":
    # python runs.py COMMAND...: one run, one line a pass, to be compared by eye or by diff.
    result = run(sys.argv[1:], cwd=Path.cwd())
    sys.stderr.write(result.output)
    for (benchmark, which), (events, diagnostics) in sorted(result.passes.items()):
        print(benchmark, which, *events, f"diagnostics={diagnostics}")
    sys.exit(result.exit)
