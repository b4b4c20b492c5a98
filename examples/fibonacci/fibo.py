"""Fibonacci numbers, in two ways."""


def recursive_fibo(n: int) -> int:
    """The definition, word by word: exponential."""
    if n < 2:
        return n
    return recursive_fibo(n - 1) + recursive_fibo(n - 2)


def iterative_fibo(n: int) -> int:
    """One addition a step: linear."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
