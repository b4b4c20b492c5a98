"""Kinds of work for measuring the engine itself: each takes some 10 ms and returns a number that checks it."""

import asyncio
import json
import pickle
import re
import sqlite3


def fib(n: int = 22) -> int:
    """Calls: nothing but the interpreter's loop and frames."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def mix(rows: int = 2000) -> int:
    """Everyday work in C: json, re, dict, sort."""
    table = [
        {"id": i, "name": f"row {i * 7919 % rows}", "tags": [str(i % 7), str(i % 11)]} for i in range(rows)
    ]
    text = json.dumps(table)
    again = json.loads(text)
    words = re.findall(r"row ([0-9]+)", text)
    counts: dict[str, int] = {}
    for row in again:
        for tag in row["tags"]:
            counts[tag] = counts.get(tag, 0) + 1
    again.sort(key=lambda row: row["name"])
    first: int = again[0]["id"]
    return len(words) + sum(counts.values()) + first


class Node:
    """An object with a dictionary, as most are."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.children = [Node(depth - 1), Node(depth - 1)] if depth else []


def allocations(turns: int = 4) -> int:
    """Memory: trees of objects, lists and strings, made and dropped."""
    total = 0
    for turn in range(turns):
        tree = Node(9)
        strings = [f"{turn}-{i}" * 3 for i in range(3000)]
        blocks = [bytearray(i) for i in range(0, 4096, 16)]
        total += len(tree.children) + len(strings) + len(blocks)
    return total


def database(rows: int = 1500) -> int:
    """A large library in C that interprets code of its own: SQLite, in memory."""
    connection = sqlite3.connect(":memory:")
    connection.execute("create table item (id integer primary key, name text, price real)")
    items = ((i, f"item {i * 7919 % rows}", i * 0.25) for i in range(rows))
    connection.executemany("insert into item values (?, ?, ?)", items)
    connection.execute("create index by_name on item (name)")
    found = connection.execute(
        "select name, price from item where name like 'item 1%' order by name"
    ).fetchall()
    (total,) = connection.execute("select sum(price) from item where id % 3 = 0").fetchone()
    connection.close()
    return len(found) + int(total)


def pickles(objects: int = 3000) -> int:
    """Objects to bytes and back."""
    data = [{"id": i, "pair": (i, str(i)), "values": [i * 0.5, None, True]} for i in range(objects)]
    return len(pickle.loads(pickle.dumps(data))) + len(pickle.dumps(data, protocol=2)) % 7


async def worker(queue: "asyncio.Queue[int]", seen: list[int]) -> None:
    """Takes numbers until there is a zero."""
    while number := await queue.get():
        seen.append(number)
        await asyncio.sleep(0)


async def produce(numbers: int) -> int:
    """Three workers at one short queue."""
    queue: asyncio.Queue[int] = asyncio.Queue(4)
    seen: list[int] = []
    workers = [asyncio.ensure_future(worker(queue, seen)) for _ in range(3)]
    for number in range(1, numbers):
        await queue.put(number)
    for _ in workers:
        await queue.put(0)
    await asyncio.gather(*workers)
    return sum(seen)


def coroutines(numbers: int = 400) -> int:
    """An event loop: much code, each part of it for a short time."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(produce(numbers))
    finally:
        loop.close()


WORKLOADS = {
    "fib": fib,
    "mix": mix,
    "allocations": allocations,
    "sqlite3": database,
    "pickle": pickles,
    "asyncio": coroutines,
}

if __name__ == "__main__":
    import time

    for name, workload in WORKLOADS.items():
        start = time.perf_counter()
        value = workload()
        print(f"{name}: {value} in {1000 * (time.perf_counter() - start):.1f} ms")
