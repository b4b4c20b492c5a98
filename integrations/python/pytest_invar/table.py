"""Wall-clock results as text for a terminal. Prints nothing."""

from collections.abc import Iterable, Sequence
from typing import Callable

from .fixture import Benchmark
from .stats import Stats

_UNITS: Sequence[tuple[str, float]] = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))

_COLUMNS: Sequence[tuple[str, Callable[[Stats], str]]] = (
    ("min", lambda stats: seconds(stats.min)),
    ("median", lambda stats: seconds(stats.median)),
    ("mean (95 %)", lambda stats: with_uncertainty(stats.typical, stats.uncertainty)),
    ("stddev", lambda stats: seconds(stats.stddev)),
    ("outliers", lambda stats: str(stats.iqr_outliers)),
    ("rounds", lambda stats: str(stats.rounds)),
    ("calls/round", lambda stats: str(stats.iterations)),
)


def seconds(value: float) -> str:
    """A time with four digits, in the unit that suits it: `12.34 us`."""
    for unit, size in _UNITS:
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value / 1e-9:.4g} ns" if value > 0 else "0 ns"


def with_uncertainty(value: float, uncertainty: float) -> str:
    """A time and its uncertainty in percent: `12.34 us ± 0.4 %`."""
    percent = 100 * uncertainty / value if value else 0.0
    return f"{seconds(value)} ± {percent:.1f} %"


def key_of(benchmark: Benchmark, by: str) -> str:
    """What a benchmark is grouped by: a comma list of pytest-benchmark's words."""
    function = benchmark.name.split("[")[0]
    words: dict[str, str] = {
        "group": benchmark.group or "",
        "name": benchmark.name,
        "func": function,
        "fullfunc": benchmark.fullname.split("[")[0],
        "fullname": benchmark.fullname,
        "param": benchmark.param or "",
    }
    parts = []
    for word in by.split(","):
        if word.startswith("param:"):
            parts.append(str((benchmark.params or {}).get(word[len("param:") :], "")))
        else:
            parts.append(words.get(word, ""))
    return " ".join(part for part in parts if part)


def lines(benchmarks: Iterable[Benchmark], sort: str, group_by: str) -> list[str]:
    """The tables, one a group."""
    groups: dict[str, list[Benchmark]] = {}
    for benchmark in benchmarks:
        groups.setdefault(key_of(benchmark, group_by), []).append(benchmark)
    text: list[str] = []
    for group in sorted(groups):
        if text:
            text.append("")
        if group:
            text.append(f"{group}:")
        text.extend(_table(sorted(groups[group], key=_order(sort))))
    return text


def _order(sort: str) -> Callable[[Benchmark], tuple[float, str]]:
    if sort in ("name", "fullname"):
        return lambda benchmark: (0.0, getattr(benchmark, sort))
    return lambda benchmark: (getattr(benchmark.stats.stats, sort), benchmark.fullname)


def _table(benchmarks: list[Benchmark]) -> list[str]:
    head = ["benchmark", *(title for title, _ in _COLUMNS)]
    rows = [[each.fullname, *(cell(each.stats.stats) for _, cell in _COLUMNS)] for each in benchmarks]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: list[str]) -> str:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
        return "  ".join([row[0].ljust(widths[0]), *cells])

    return [line(head), "-" * (sum(widths) + 2 * len(_COLUMNS)), *(line(row) for row in rows)]
