"""Python's half of `cargo xtask bench model`: functions to call, by name.

Three kinds: benchmarks of pyperformance, as far as their work can be called as a function; the twenty of `../python/noise` and the six of
`../python`; and pairs that do the same before and after an optimisation that is known to be one, `NAME__before` and `NAME__after`.
"""

import collections
import functools
import importlib
import importlib.util
import json
import operator
import os
import re
import sys
from typing import Any, Callable

Workload = Callable[[], object]

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBERS = list(range(20_000))
WORDS = [f"word{number * 7919 % 10007}" for number in range(4000)]
ROWS: list[dict[str, Any]] = [
    {"id": number, "name": f"row {number}", "tags": ["a", "b"]} for number in range(300)
]


def comprehension__before() -> object:
    found = []
    for number in NUMBERS:
        found.append(number * 2)
    return found


def comprehension__after() -> object:
    return [number * 2 for number in NUMBERS]


def joining__before() -> object:
    text = ""
    for word in WORDS:
        text = word + text
    return text


def joining__after() -> object:
    return "".join(reversed(WORDS))


def membership__before() -> object:
    some = WORDS[:100]
    return sum(word in some for word in WORDS)


def membership__after() -> object:
    some = set(WORDS[:100])
    return sum(word in some for word in WORDS)


def builtin__before() -> object:
    total = 0
    for number in NUMBERS:
        total += number
    return total


def builtin__after() -> object:
    return sum(NUMBERS)


def counting__before() -> object:
    found: dict[str, int] = {}
    for word in WORDS:
        if word not in found:
            found[word] = 0
        found[word] += 1
    return found


def counting__after() -> object:
    return collections.Counter(WORDS)


def key__before() -> object:
    return sorted(ROWS * 5, key=lambda row: row["name"])


def key__after() -> object:
    return sorted(ROWS * 5, key=operator.itemgetter("name"))


def pattern__before() -> object:
    return sum(bool(re.match(r"word(\d+)", word)) for word in WORDS)


def pattern__after() -> object:
    match = re.compile(r"word(\d+)").match
    return sum(bool(match(word)) for word in WORDS)


def encoder__before() -> object:
    return json.dumps(ROWS, indent=1)


def encoder__after() -> object:
    return json.dumps(ROWS)


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def memory__before() -> object:
    return fibonacci(18)


def memory__after() -> object:
    @functools.lru_cache(None)
    def remembered(n: int) -> int:
        return n if n < 2 else remembered(n - 1) + remembered(n - 2)

    return remembered(18)


def queue__before() -> object:
    queue = list(NUMBERS[:8000])
    while queue:
        queue.pop(0)
    return queue


def queue__after() -> object:
    queue = collections.deque(NUMBERS[:8000])
    while queue:
        queue.popleft()
    return queue


def format__before() -> object:
    return ["{}: {}".format(word, len(word)) for word in WORDS]


def format__after() -> object:
    return [f"{word}: {len(word)}" for word in WORDS]


class _Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    @property
    def sum(self) -> int:
        return self.x + self.y


POINTS = [_Point(number, 1) for number in range(5000)]


def attribute__before() -> object:
    return [point.sum for point in POINTS]


def attribute__after() -> object:
    return [point.x + point.y for point in POINTS]


class _Capture:
    """Stands in for the fixture: keeps the call instead of measuring it."""

    def __init__(self) -> None:
        self.call: Workload = lambda: None

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.call = functools.partial(function, *args, **kwargs)
        return self.call()


def _of_tests() -> dict[str, Workload]:
    """The calls of a suite's tests; what a test does after its call is not part of it."""
    sys.path.insert(0, os.path.join(HERE, "../python/noise"))
    found: dict[str, Workload] = {}
    for module in ("test_library", "test_packages"):
        for name, test in vars(importlib.import_module(module)).items():
            # The event loop is closed by the time that the call would be made once more.
            if name.startswith("test_") and name != "test_asyncio":
                capture = _Capture()
                test(capture)
                found[name.replace("test_", "suite_", 1)] = capture.call
    return found


# Of pyperformance: the benchmark's folder, and what is called of it.
_PYPERFORMANCE: list[tuple[str, Callable[[Any], Workload]]] = [
    ("nbody", lambda module: lambda: module.bench_nbody(1, "sun", 500)),
    ("spectral_norm", lambda module: lambda: module.eval_AtA_times_u([1.0] * 40)),
    ("fannkuch", lambda module: lambda: module.fannkuch(6)),
    ("float", lambda module: lambda: module.benchmark(2000)),
    ("nqueens", lambda module: lambda: module.bench_n_queens(6)),
    ("deltablue", lambda module: lambda: module.delta_blue(40)),
    ("raytrace", lambda module: lambda: module.bench_raytrace(1, 8, 8, None)),
    ("scimark", lambda module: lambda: module.bench_FFT(1, 128, 2)),
    ("comprehensions", lambda module: lambda: module.bench_comprehensions(5)),
    ("unpack_sequence", lambda module: lambda: module.bench_all(40)),
]


def _of_pyperformance() -> dict[str, Workload]:
    pyperformance = importlib.import_module("pyperformance")

    folder = os.path.join(os.path.dirname(str(pyperformance.__file__)), "data-files/benchmarks")
    found: dict[str, Workload] = {}
    for name, of in _PYPERFORMANCE:
        path = os.path.join(folder, f"bm_{name}/run_benchmark.py")
        specification = importlib.util.spec_from_file_location(f"bm_{name}", path)
        try:
            assert specification is not None and specification.loader is not None
            module = importlib.util.module_from_spec(specification)
            sys.modules[module.__name__] = module
            specification.loader.exec_module(module)
            call = of(module)
            call()
        except Exception as error:  # A benchmark that does not run here is one fewer, and is named.
            sys.stderr.write(f"not measured: pyperformance's {name}: {error!r}\n")
            continue
        found[f"pyperformance_{name}"] = call
    return found


def calls() -> dict[str, Workload]:
    """All of them."""
    sys.path.insert(0, os.path.join(HERE, "../python"))
    own = {name: call for name, call in globals().items() if name.endswith(("__before", "__after"))}
    six = importlib.import_module("workloads").WORKLOADS
    return {
        **own,
        **{f"kind_{name}": call for name, call in six.items()},
        **_of_tests(),
        **_of_pyperformance(),
    }
