"""Keeping the interpreter's own business out of a measurement."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Collects garbage, then switches the collector, tracers and profilers off; afterwards on again as they were."""
    collecting = gc.isenabled()
    tracer, profiler = sys.gettrace(), sys.getprofile()
    gc.collect()
    gc.disable()
    sys.settrace(None)
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(profiler)
        sys.settrace(tracer)
        if collecting:
            gc.enable()
