# SPDX-License-Identifier: Apache-2.0
"""From the measurements of single servers to the figures of the tables.

Called by comparison.py and report.py. Within a server, commands are joined by the geometric mean.
Between rounds, a figure is the median; a ratio is the median of the rounds' ratios to the baseline
of the same round, because a machine's speed drifts more between rounds than within one.
"""

import dataclasses
import statistics

# The figures of a table row, in its order. Of the first one more is better, of the others less.
FIGURES = ("throughput", "p99", "cpu", "peak_rss")


@dataclasses.dataclass
class GroupMeasurement:
    """A workload group on one server."""

    name: str
    cpu_seconds: float
    results: list  # of workload.CommandResult


@dataclasses.dataclass
class ServerMeasurement:
    """One server, from its start to its end."""

    allocator: str
    round: int
    peak_rss_kib: int
    groups: list  # of GroupMeasurement


@dataclasses.dataclass(frozen=True)
class Figure:
    """A value, its ratio to the baseline's, and how far that ratio moved between rounds."""

    value: float
    ratio: float
    spread: float  # half of the distance from the smallest to the largest ratio


def requests_per_second(groups):
    """Returns the geometric mean over the commands of the groups."""
    return statistics.geometric_mean(
        result.requests_per_second for group in groups for result in group.results
    )


def p99_milliseconds(groups):
    """Returns the geometric mean over the commands of the groups."""
    return statistics.geometric_mean(
        result.p99_milliseconds for group in groups for result in group.results
    )


def cpu_seconds_per_million(groups):
    """Returns the server's CPU seconds per million requests."""
    requests = sum(result.requests for group in groups for result in group.results)
    return sum(group.cpu_seconds for group in groups) / requests * 1e6


_READERS = {
    "throughput": lambda server: requests_per_second(server.groups),
    "p99": lambda server: p99_milliseconds(server.groups),
    "cpu": lambda server: cpu_seconds_per_million(server.groups),
    "peak_rss": lambda server: server.peak_rss_kib / 1024,
}


def overall(measurements, allocator, baseline):
    """Returns {figure: Figure} of the allocator over all groups."""
    return {
        name: _figure(measurements, allocator, baseline, _READERS[name]) for name in FIGURES
    }


def by_group(measurements, allocator, baseline, read):
    """Returns one Figure per group; read is requests_per_second or another of that kind."""
    return [
        _figure(measurements, allocator, baseline, lambda server, i=i: read([server.groups[i]]))
        for i in range(len(measurements[0].groups))
    ]


def _figure(measurements, allocator, baseline, read):
    mine = {m.round: read(m) for m in measurements if m.allocator == allocator}
    base = {m.round: read(m) for m in measurements if m.allocator == baseline}
    ratios = [mine[i] / base[i] for i in mine]
    return Figure(
        statistics.median(mine.values()),
        statistics.median(ratios),
        (max(ratios) - min(ratios)) / 2,
    )
