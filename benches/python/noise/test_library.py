"""Twenty benchmarks of what Python programs do, for `cargo xtask bench noise`: this half is the standard library's."""

import asyncio
import collections
import copy
import dataclasses
import decimal
import io
import json
import pickle
import re
import sqlite3
import string
import zlib

ROWS = [{"id": number, "name": f"row {number}", "tags": ["a", "b", str(number % 7)]} for number in range(40)]
TEXT = json.dumps(ROWS)
WORDS = [f"{letter}{number * 7919 % 1009}" for number in range(40) for letter in string.ascii_lowercase[:10]]


def test_json_dumps(benchmark):
    benchmark(json.dumps, ROWS)


def test_json_loads(benchmark):
    assert benchmark(json.loads, TEXT) == ROWS


def test_regex(benchmark):
    pattern = re.compile(r'"(\w+)": "row (\d+)"')
    assert len(benchmark(pattern.findall, TEXT)) == 40


def test_sqlite3(benchmark):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE word (number INTEGER PRIMARY KEY, text TEXT)")
    connection.executemany("INSERT INTO word VALUES (?, ?)", enumerate(WORDS))

    @benchmark
    def _():
        return connection.execute("SELECT text, count(*) FROM word GROUP BY text ORDER BY text").fetchall()


def test_asyncio(benchmark):
    async def add(one, two):
        await asyncio.sleep(0)
        return one + two

    async def all_of_them():
        return sum(await asyncio.gather(*(add(number, 1) for number in range(20))))

    loop = asyncio.new_event_loop()
    assert benchmark(lambda: loop.run_until_complete(all_of_them())) == 210
    loop.close()


def test_pickle(benchmark):
    benchmark(lambda: pickle.loads(pickle.dumps(ROWS)))


def test_dict(benchmark):
    @benchmark
    def _():
        found = {}
        for word in WORDS:
            found[word] = found.get(word, 0) + 1
        return found


def test_set_of_objects(benchmark):
    """Hashed by their addresses."""

    class Thing:
        pass

    things = [Thing() for _ in range(300)]

    @benchmark
    def _():
        return len(set(things)) + sum(thing in {things[0], things[1]} for thing in things)


def test_str(benchmark):
    benchmark(lambda: " ".join(word.upper().replace("A", "-") for word in WORDS).split("-"))


def test_sort(benchmark):
    benchmark(lambda: sorted(WORDS, key=lambda word: (word[1:], word)))


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    x: int
    y: int
    name: str = "point"


def test_dataclasses(benchmark):
    @benchmark
    def _():
        points = [Point(number % 5, number) for number in range(60)]
        return max(points), dataclasses.asdict(points[0]), len(set(points))


def test_decimal(benchmark):
    numbers = [decimal.Decimal(number) / 7 for number in range(1, 200)]
    benchmark(lambda: sum(number * number for number in numbers).sqrt())


def test_deepcopy(benchmark):
    benchmark(copy.deepcopy, ROWS[:10])


def test_counter(benchmark):
    benchmark(lambda: collections.Counter(TEXT).most_common(5))


def test_string_io(benchmark):
    @benchmark
    def _():
        file = io.StringIO()
        for word in WORDS:
            file.write(word)
            file.write("\n")
        return file.getvalue()


def test_zlib(benchmark):
    data = TEXT.encode()
    benchmark(lambda: zlib.decompress(zlib.compress(data)))


def test_recursion(benchmark):
    def fibonacci(number):
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert benchmark(fibonacci, 14) == 377
