"""Another layout of memory, on purpose: what depends on where objects lie is averaged over several.

A seed says how many blocks of each size are taken before the suite is imported, for as long as the process lives. So whatever the
import makes lies elsewhere: other sets of the caches, other places in tables of addresses. One seed makes one layout, always.
"""

# Sizes of blocks: those of Python's own allocator, and some of the C library's.
_SMALL = range(48, 513, 16)
_LARGE = range(1024, 16385, 1024)
# At most so many of each.
_SMALL_MOST = 97
_LARGE_MOST = 5
# What a bytes object needs beside its content.
_HEAD = 33

_taken: list[bytes] = []


def shift(seed: int) -> None:
    """Takes the blocks of a seed; of seed 0 there are none."""
    state = seed
    if seed == 0:
        return
    for sizes, most in ((_SMALL, _SMALL_MOST), (_LARGE, _LARGE_MOST)):
        for size in sizes:
            # Knuth's generator, whose high bits are the good ones.
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            _taken.extend(bytes(size - _HEAD) for _ in range((state >> 33) % most))
