"""Benchmarks are tests: they check the result, and the fixture measures the way to it."""

from fibo import iterative_fibo, recursive_fibo


def test_recursive_fibo_small(benchmark):
    assert benchmark(recursive_fibo, 5) == 5


def test_recursive_fibo_big(benchmark):
    assert benchmark(recursive_fibo, 12) == 144


def test_recursive_fibo_huge(benchmark):
    @benchmark
    def result():
        return recursive_fibo(18)

    assert result == 2584


def test_iterative_fibo_small(benchmark):
    assert benchmark(iterative_fibo, 5) == 5


def test_iterative_fibo_big(benchmark):
    assert benchmark(iterative_fibo, 100) == 354224848179261915075


def test_iterative_fibo_huge(benchmark):
    @benchmark
    def result():
        return iterative_fibo(5000)

    assert result % 1_000_000_007 == 976_496_506
