"""Times workloads natively and simulates them, in one process: `python model.py LIBRARY KERNELS` prints JSON.

Natively each is called in many rounds, with all the others between two of its calls, so that a minute in which the machine is slow is
nobody's alone; the least counts. Simulated are a cold pass and a warm one on each of two machines; the warm one counts.
"""

import ctypes
import gc
import json
import subprocess
import sys
import time
from typing import Any, Callable

from calls import calls

SIMULATION = 1
COLD, WARM = 0, 1
ROUNDS = 60
MACHINES = ("reference-1", "callgrind")
# Clocks, random numbers and the addresses of gathers, which are approximate, make no difference here.
HARMLESS = 1 << 3 | 1 << 6 | 1 << 7


class Result(ctypes.Structure):
    """`struct invar_result`."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("event_count", ctypes.c_uint32),
        ("diagnostics", ctypes.c_uint64),
        ("events", ctypes.c_uint64 * 32),
    ]


def kernels(path: str) -> dict[str, "ctypes._FuncPointer"]:
    """The kernels of the library, by name; they are called as the engine calls them."""
    library = ctypes.CDLL(path)
    library.kernels_prepare()
    symbols = subprocess.run(["nm", "-D", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    names = sorted(line.split()[-1] for line in symbols.splitlines() if " T kernel_" in line)
    return {name[len("kernel_") :]: getattr(library, name) for name in names}


def python(call: Callable[[], object]) -> "ctypes._FuncPointer":
    """A call of Python as the engine calls it."""
    return ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(lambda _: call() and None)


def simulate(engine: ctypes.PyDLL, function: "ctypes._FuncPointer") -> list[int]:
    """The events of a warm pass."""
    result = Result(size=ctypes.sizeof(Result))
    for which in (COLD, WARM):
        status = engine.invar_region(b"model", which, 0, function, None, ctypes.byref(result))
        if status != 0 or result.diagnostics & ~HARMLESS != 0:
            raise RuntimeError(f"status {status}, diagnostics {result.diagnostics:#x}")
    return list(result.events[: result.event_count])


def main(engine_path: str, kernels_path: str) -> None:
    """Prints what was found."""
    engine = ctypes.PyDLL(engine_path)
    engine.invar_error.restype = ctypes.c_char_p
    # All are called from the C library's side of ctypes, and take an argument that kernels do not look at.
    functions = {f"c_{name}": function for name, function in kernels(kernels_path).items()}
    functions.update({f"py_{name}": python(call) for name, call in calls().items()})
    least = dict.fromkeys(functions, float("inf"))
    for _ in range(8):
        for function in functions.values():
            function(None)
    gc.collect()
    gc.disable()
    for number in range(ROUNDS):
        if number % 20 == 0:
            sys.stderr.write(f"native round {number} of {ROUNDS}\n")
        for name, function in functions.items():
            function(None)
            start = time.perf_counter()
            function(None)
            least[name] = min(least[name], time.perf_counter() - start)
    found: dict[str, dict[str, Any]] = {name: {"seconds": seconds} for name, seconds in least.items()}
    for machine in MACHINES:
        sys.stderr.write(f"simulating on {machine}\n")
        if engine.invar_attach(machine.encode(), SIMULATION) != 0:
            raise RuntimeError(engine.invar_error().decode())
        for name, function in functions.items():
            found[name][machine] = simulate(engine, function)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
