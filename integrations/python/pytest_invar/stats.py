"""Statistics of samples: pytest-benchmark's figures, and robust ones beside them."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

# Two-sided 95 % of a normal distribution: rounds are many.
_Z95 = 1.96


@dataclass(frozen=True)
class Stats:
    """Samples of one benchmark: seconds of one call each, sorted, never empty."""

    data: list[float]
    iterations: int

    @staticmethod
    def of(samples: list[float], iterations: int) -> "Stats":
        """Samples in any order; each is the mean of `iterations` calls."""
        if not samples:
            raise ValueError("no samples")
        return Stats(sorted(samples), iterations)

    @property
    def rounds(self) -> int:
        return len(self.data)

    @property
    def total(self) -> float:
        return math.fsum(self.data)

    @property
    def min(self) -> float:
        return self.data[0]

    @property
    def max(self) -> float:
        return self.data[-1]

    @property
    def mean(self) -> float:
        return self.total / self.rounds

    @property
    def stddev(self) -> float:
        return statistics.stdev(self.data) if self.rounds > 1 else 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.data)

    def _quartile(self, which: int) -> float:
        if self.rounds < 2:
            return self.data[0]
        return statistics.quantiles(self.data, n=4, method="inclusive")[which - 1]

    @property
    def q1(self) -> float:
        return self._quartile(1)

    @property
    def q3(self) -> float:
        return self._quartile(3)

    @property
    def iqr(self) -> float:
        return self.q3 - self.q1

    @property
    def inliers(self) -> list[float]:
        """The samples within Tukey's fences: at most 1.5 interquartile ranges outside of the quartiles."""
        low, high = self.q1 - 1.5 * self.iqr, self.q3 + 1.5 * self.iqr
        return [sample for sample in self.data if low <= sample <= high]

    @property
    def iqr_outliers(self) -> int:
        return self.rounds - len(self.inliers)

    @property
    def stddev_outliers(self) -> int:
        return sum(abs(sample - self.mean) > self.stddev for sample in self.data) if self.rounds > 1 else 0

    @property
    def typical(self) -> float:
        """Mean of the samples within the fences."""
        inliers = self.inliers
        return math.fsum(inliers) / len(inliers)

    @property
    def uncertainty(self) -> float:
        """Half of the 95 % confidence interval of `typical`."""
        inliers = self.inliers
        if len(inliers) < 2:
            return 0.0
        return _Z95 * statistics.stdev(inliers) / math.sqrt(len(inliers))

    @property
    def ops(self) -> float:
        return 1.0 / self.mean if self.mean else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The members of pytest-benchmark's JSON, and two of our own."""
        mean, stddev = self.mean, self.stddev
        low, high = self.q1 - 1.5 * self.iqr, self.q3 + 1.5 * self.iqr
        within = self.inliers
        beyond = sum(abs(sample - mean) > stddev for sample in self.data) if self.rounds > 1 else 0
        return {
            "min": self.min,
            "max": self.max,
            "mean": mean,
            "stddev": stddev,
            "rounds": self.rounds,
            "median": self.median,
            "iqr": self.iqr,
            "q1": self.q1,
            "q3": self.q3,
            "iqr_outliers": self.rounds - len(within),
            "stddev_outliers": beyond,
            "outliers": f"{beyond};{self.rounds - len(within)}",
            "ld15iqr": next(sample for sample in self.data if sample >= low),
            "hd15iqr": next(sample for sample in reversed(self.data) if sample <= high),
            "ops": self.ops,
            "total": self.total,
            "iterations": self.iterations,
            "typical": self.typical,
            "uncertainty": self.uncertainty,
        }


class Result:
    """What `benchmark.stats` is after a measurement: `stats.stats.mean`, `stats["mean"]`."""

    def __init__(self, stats: Stats) -> None:
        self.stats = stats

    def __getitem__(self, name: str) -> Any:
        return self.stats.as_dict()[name]

    def as_dict(self) -> dict[str, Any]:
        return self.stats.as_dict()
