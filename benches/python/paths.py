"""Times warm passes of workloads with profiles and without: `python paths.py KIND WORKLOAD...` prints JSON.

Not a measurement of workloads: it measures the engine, as `ratios.py` does, but with an interpreter to look at: what pytest-invar does
for a benchmark is done here without pytest. `KIND` is `none`, `calls` (call paths) or `lines` (with Python's lines). A process does
one of them, since a process is asked once what it is to measure.
"""

import json
import os
import sys
import tempfile
import time

from workloads import WORKLOADS

PASSES = 12
WARM_UP = 10
# Where a measuring process finds its run directory (docs/protocol.md).
RUN_DIRECTORY = 198
MACHINE = (
    "reference-1;l1i=65536/8/bit-plru;l1d=65536/8/bit-plru;l2=262144/8/lru;l3=16777216/16/lru;"
    "latency=2/5/22/90;mhz=2000"
)


def attached(kind: str, directory: str) -> object:
    """The native half of pytest-invar, in a process that is asked for passes of a kind."""
    request = {
        "version": 1,
        "mode": "simulation",
        "machine": MACHINE,
        "environment": {},
        "pass": [],
        "call_paths": kind != "none",
        "python_lines": kind == "lines",
    }
    with open(os.path.join(directory, "request.json"), "w") as file:
        json.dump(request, file)
    os.environ["INVAR"] = "1"
    os.dup2(os.open(directory, os.O_RDONLY), RUN_DIRECTORY)
    from pytest_invar import _native

    _native.state()
    _native.attach()
    return _native


def seconds(native: object, name: str) -> float:
    """Thread CPU time of a warm pass, the least of several: what is told of it at its end included."""
    call = WORKLOADS[name]
    for _ in range(WARM_UP):
        call()
    native.measure(name, "cold", call, (), {})  # type: ignore[attr-defined]
    least = float("inf")
    for _ in range(PASSES):
        start = time.thread_time()
        native.measure(name, "warm", call, (), {})  # type: ignore[attr-defined]
        least = min(least, time.thread_time() - start)
        # As pytest-invar does behind each benchmark; what is kept would grow otherwise.
        native.flush()  # type: ignore[attr-defined]
    return least


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        native = attached(sys.argv[1], directory)
        print(json.dumps({name: seconds(native, name) for name in sys.argv[2:] or sorted(WORKLOADS)}))
