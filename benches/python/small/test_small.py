"""Fifty small benchmarks, as a library's suite has them: what `invar run` costs beside pytest itself.

Not a measurement of what they do. `cargo xtask bench engine` times the suite with and without Invar.
"""

import collections
import datetime
import decimal
import itertools
import json
import re
import textwrap

import pytest

TEXT = "the quick brown fox jumps over the lazy dog " * 5
DATA = {"numbers": list(range(20)), "inner": {"text": TEXT}}


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


CASES = {
    "fib": lambda: fib(8),
    "dumps": lambda: json.dumps(DATA),
    "round_trip": lambda: json.loads(json.dumps(DATA)),
    "findall": lambda: re.findall("[a-z]+", TEXT),
    "sorted": lambda: sorted(TEXT),
    "counter": lambda: collections.Counter(TEXT),
    "permutations": lambda: list(itertools.permutations(range(4))),
    "wrap": lambda: textwrap.wrap(TEXT, 20),
    "isoformat": lambda: datetime.datetime(2020, 1, 1).isoformat(),
    "decimal": lambda: decimal.Decimal("1.1") * decimal.Decimal("2.2"),
}


@pytest.mark.parametrize("again", range(5))
@pytest.mark.parametrize("name", CASES)
def test_small(benchmark, name, again):
    benchmark(CASES[name])
