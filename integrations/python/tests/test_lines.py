"""Costs of the lines of Python functions: beside what Python's own tracer sees of the same work, on whatever Python this is."""

import collections
import importlib
import sys

import pytest

WORK = """
import json


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def loops(n):
    total = 0
    for i in range(n):
        if i % 3 == 0:
            total += i
        else:
            total -= len(
                str(i))
    while total > 100:
        total //= 2
        if total == 7:
            break
    else:
        total += 1
    return total


def squares(n):
    for i in range(n):
        yield i * i


def loops_over_a_generator(n):
    total = 0
    for square in squares(n):
        total += square
    for square in squares(n):
        total -= square
    return total


def raises(n):
    count = 0
    for i in range(n):
        try:
            if i % 2:
                raise ValueError(i)
            count += 1
        except ValueError:
            count += 10
    return count


def raises_again(n):
    count = 0
    try:
        try:
            int("one")
        except ValueError:
            count += n
            raise
    except ValueError:
        count += 100
    return count


def moves(a, b):
    x = a
    y = b
    z = x
    w = y
    return z, w


class Key:
    def __init__(self, n):
        self.n = n
        self.items = []

    def add(self, item):
        self.items.append(item)
        return self

    def __lt__(self, other):
        left = self.n
        return left < other.n


def objects(n):
    keys = []
    for i in range(n):
        key = Key(n - i)
        key.add(i).add(
            i + 1)
        keys.append(key)
    keys.sort()
    return json.dumps(
        keys[0].items)


def main():
    fib(10)
    loops(30)
    loops_over_a_generator(8)
    raises(7)
    raises_again(3)
    for k in range(3):
        moves(k, k)
    objects(6)
"""

BENCH = """
import work


def test_main(benchmark):
    benchmark(work.main)
"""

ASKED = {"call_paths": True, "python_lines": True}


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(work=WORK, test_work=BENCH)
    return pytester


def traced(pytester):
    """How often Python's tracer comes to the lines of each function, but for the line of its `def`."""
    pytester.syspathinsert()
    work = importlib.import_module("work")
    try:
        events: "collections.Counter[tuple[str, int]]" = collections.Counter()

        def trace(frame, event, _):
            code = frame.f_code
            if code.co_filename != work.__file__:
                return None
            if event == "line" and frame.f_lineno != code.co_firstlineno:
                events[code.co_name, frame.f_lineno] += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            work.main()
        finally:
            sys.settrace(before)
        return events
    finally:
        del sys.modules["work"]


def test_lines_are_come_to_as_often_as_the_tracer_sees_it(suite, simulated):
    run = simulated(request=ASKED)
    (paths,) = run.call_paths.values()
    # A generator comes to its line again where it goes on, which is no event of a tracer.
    expected = {line: count for line, count in traced(suite).items() if line[0] != "squares"}
    names = {name for name, _ in expected}
    assert names >= {"fib", "loops", "raises", "raises_again", "moves", "add", "__lt__", "objects", "main"}
    first = {
        call.callee[1].rsplit(".", 1)[-1]: call.callee[3] for call in paths.calls if call.callee[0] == "code"
    }
    found = {
        (name, line): entered
        for name in names
        for line, (entered, _) in paths.lines(name).items()
        if line not in {0, first[name]}
    }
    assert found == expected


def test_lines_change_no_count(suite, simulated):
    passes = [simulated(request=request).passes for request in ({}, {"call_paths": True}, ASKED)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 2


def test_lines_are_told_where_they_are_asked_for_only(suite, simulated):
    (paths,) = simulated(request={"call_paths": True}).call_paths.values()
    assert any(call.callee[0] == "code" for call in paths.calls)
    assert not any(call.callee[0] == "line" for call in paths.calls)


def test_every_instruction_is_below_one_call(suite, simulated):
    run = simulated(request=ASKED)
    ((name, paths),) = run.call_paths.items()
    events, _ = run.passes[name, "warm"]
    assert sum(call.instructions for call in paths.calls) == events[0]


def test_a_line_that_is_executed_twice_as_often_costs_twice_as_much(pytester, simulated):
    pytester.makepyfile(
        work="""
def slow(numbers):
    total = 0
    for number in numbers:
        total ^= number
        total += len("abc")
    return total
""",
        test_work="""
import pytest

import work


@pytest.mark.parametrize("n", [10, 20, 40])
def test_slow(benchmark, n):
    benchmark(work.slow, [3] * n)
""",
    )
    run = simulated(request=ASKED)
    few, some, many = (run.call_paths[f"test_work.py::test_slow[{n}]"].lines("slow") for n in (10, 20, 40))
    assert [few[4][0], some[4][0], many[4][0]] == [10, 20, 40]
    for line in (3, 4, 5):
        more, most = some[line][1] - few[line][1], many[line][1] - some[line][1]
        assert more > 0
        assert most == 2 * more
    assert few[6] == some[6] == many[6]
