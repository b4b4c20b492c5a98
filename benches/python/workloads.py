"""Three kinds of work for measuring the engine itself: each takes some 10 ms and returns a number that checks it."""

import json
import re


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


WORKLOADS = {"fib": fib, "mix": mix, "allocations": allocations}

if __name__ == "__main__":
    import time

    for name, workload in WORKLOADS.items():
        start = time.perf_counter()
        value = workload()
        print(f"{name}: {value} in {1000 * (time.perf_counter() - start):.1f} ms")
