"""Times workloads natively and inside regions, in one process: `python ratios.py LIBRARY [WORKLOAD...]` prints JSON.

Not a measurement of workloads: it measures the engine. Times are thread CPU time, the least of several repetitions, natively
and in regions by turns, so that a busy machine disturbs both alike. Without a library (`-`) only the native way is
timed: that is what runs under callgrind.
"""

import ctypes
import gc
import json
import sys
import time
from typing import Callable, Optional

from workloads import WORKLOADS

COUNTS, SIMULATION, CALL_PATHS = 0, 1, 0x101
COLD, WARM = 0, 1
ROUNDS = 7
# Clocks and random numbers, as they are read by event loops and databases, make no difference here.
HARMLESS = 1 << 6 | 1 << 7


class Result(ctypes.Structure):
    """`struct invar_result`."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("event_count", ctypes.c_uint32),
        ("diagnostics", ctypes.c_uint64),
        ("events", ctypes.c_uint64 * 32),
    ]


class Engine:
    """`libinvar_engine.so`, called with the interpreter's lock held."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.PyDLL(path)
        self._library.invar_error.restype = ctypes.c_char_p

    def attach(self, mode: int) -> None:
        if self._library.invar_attach(None, mode) != 0:
            raise RuntimeError(self._library.invar_error().decode())

    def region(self, call: Callable[[], object], which: int) -> tuple[float, int]:
        """Seconds and instructions of one pass."""
        seconds, instructions, diagnostics = self.diagnosed_region(call, which)
        if diagnostics & ~HARMLESS != 0:
            raise RuntimeError(f"diagnostics {diagnostics}")
        return seconds, instructions

    def diagnosed_region(self, call: Callable[[], object], which: int) -> tuple[float, int, int]:
        """Seconds, instructions and diagnostics of one pass."""
        callback = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(lambda _: call() and None)
        result = Result(size=ctypes.sizeof(Result))
        start = time.thread_time()
        status = self._library.invar_region(b"ratio", which, 0, callback, None, ctypes.byref(result))
        seconds = time.thread_time() - start
        if status != 0:
            raise RuntimeError(f"status {status}: {self._library.invar_error().decode()}")
        return seconds, result.events[0], result.diagnostics


def native(call: Callable[[], object]) -> float:
    """Seconds of one native call."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def times(call: Callable[[], object], engine: Optional[Engine]) -> dict[str, float]:
    """Seconds of each way, and the instructions of the region."""
    for _ in range(8):
        call()
    gc.collect()
    gc.disable()
    found: dict[str, float] = {"native": native(call)}
    if engine is None:
        gc.enable()
        return found
    for name, mode in (("counts", COUNTS), ("simulated", SIMULATION), ("call_paths", CALL_PATHS)):
        engine.attach(mode)
        cold, _ = engine.region(call, COLD)
        found[f"{name}_cold"] = cold
        best = float("inf")
        for _ in range(ROUNDS):
            found["native"] = min(found["native"], native(call))
            seconds, instructions = engine.region(call, WARM)
            best = min(best, seconds)
            found["instructions"] = instructions
        found[name] = best
    gc.enable()
    return found


if __name__ == "__main__":
    library, names = sys.argv[1], sys.argv[2:] or sorted(WORKLOADS)
    attached = None if library == "-" else Engine(library)
    print(json.dumps({name: times(WORKLOADS[name], attached) for name in names}))
