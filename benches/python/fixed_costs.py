"""What the engine costs whatever is measured: `python fixed_costs.py LIBRARY` prints JSON.

Not a measurement of workloads: it measures the engine, as `ratios.py` does. Times are thread CPU time; of what can be repeated
the least.
"""

import ctypes
import json
import mmap
import sys
import tempfile
import time

from ratios import COLD, SIMULATION, WARM, Engine

# push rax; mov rdx, [rsp]; lea rax, [rdx + 8]; cmp rax, rdx; je next; mov [rsp], rax; movzx ecx, byte ptr [rsp]; pop rcx
EIGHT_INSTRUCTIONS = bytes.fromhex("50 488b1424 488d4208 4839d0 7400 48890424 0fb60c24 59")
RETURN = b"\xc3"
REPEATS = 12_500


def nothing() -> None:
    """The empty region: ctypes' way into Python and out of it, some thousand instructions."""


def long_function() -> object:
    """A function of a hundred thousand instructions that are executed one after the other, mapped from a file as a
    library's are."""
    code = EIGHT_INSTRUCTIONS * REPEATS + RETURN
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    with tempfile.TemporaryFile() as file:
        file.write(code)
        file.flush()
        protection = mmap.PROT_READ | mmap.PROT_EXEC
        address = libc.mmap(None, len(code), protection, mmap.MAP_PRIVATE, file.fileno(), 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "cannot map code")
    function = ctypes.PYFUNCTYPE(None)(address)
    function()
    return function


def costs(library: str) -> dict[str, float]:
    """Milliseconds to attach; microseconds for an empty warm region, and for each instruction that is new."""
    function = long_function()
    engine = Engine(library)
    start = time.thread_time()
    engine.attach(SIMULATION)
    attach = time.thread_time() - start
    engine.region(nothing, COLD)
    empty = min(engine.region(nothing, WARM)[0] for _ in range(1000))
    cold, _ = engine.region(function, COLD)
    warm = min(engine.region(function, WARM)[0] for _ in range(10))
    instructions = 8 * REPEATS
    return {
        "attach_ms": attach * 1e3,
        "empty_us": empty * 1e6,
        "translation_us": (cold - warm) / instructions * 1e6,
    }


if __name__ == "__main__":
    print(json.dumps(costs(sys.argv[1])))
