"""The workloads as benchmarks: `invar run -- pytest benches/python`."""

import pytest

from workloads import WORKLOADS


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_workload(benchmark, name):
    assert benchmark(WORKLOADS[name]) > 0
