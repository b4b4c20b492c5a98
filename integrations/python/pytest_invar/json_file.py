"""Wall-clock results as pytest-benchmark's JSON. Writes nothing."""

import datetime
import os
import platform
import subprocess
from typing import Any, Optional

from . import __version__
from .fixture import Benchmark


def document(benchmarks: list[Benchmark]) -> dict[str, Any]:
    """The whole file."""
    return {
        "machine_info": _machine(),
        "commit_info": _commit(),
        "benchmarks": [_benchmark(each) for each in benchmarks],
        "datetime": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "version": f"pytest-invar {__version__}",
    }


def _benchmark(benchmark: Benchmark) -> dict[str, Any]:
    return {
        "group": benchmark.group,
        "name": benchmark.name,
        "fullname": benchmark.fullname,
        "params": _plain(benchmark.params),
        "param": benchmark.param,
        "extra_info": benchmark.extra_info,
        "options": {
            "disable_gc": True,
            "timer": getattr(benchmark.options.timer, "__name__", str(benchmark.options.timer)),
            "min_rounds": benchmark.options.min_rounds,
            "max_time": benchmark.options.max_time,
            "min_time": benchmark.options.min_time,
            "warmup": benchmark.options.warmup > 0,
        },
        "stats": {**benchmark.stats.as_dict(), "data": benchmark.stats.stats.data},
    }


def _plain(params: Optional[dict[str, Any]]) -> Optional[dict[str, Any]]:
    if params is None:
        return None
    simple = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, simple) else str(value) for name, value in params.items()}


def _machine() -> dict[str, Any]:
    return {
        "node": platform.node(),
        "processor": platform.processor(),
        "machine": platform.machine(),
        "python_compiler": platform.python_compiler(),
        "python_implementation": platform.python_implementation(),
        "python_implementation_version": platform.python_version(),
        "python_version": platform.python_version(),
        "python_build": list(platform.python_build()),
        "release": platform.release(),
        "system": platform.system(),
        "cpu": {"count": os.cpu_count()},
    }


def _commit() -> dict[str, Any]:
    def git(*words: str) -> Optional[str]:
        try:
            done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    status = git("status", "--porcelain", "--untracked-files=no")
    return {
        "id": git("rev-parse", "HEAD"),
        "time": git("show", "-s", "--format=%cI"),
        "author_time": git("show", "-s", "--format=%aI"),
        "dirty": bool(status),
        "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
    }
