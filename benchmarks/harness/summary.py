# SPDX-License-Identifier: Apache-2.0
"""From samples to figures: of the rounds, ratios to a baseline, ratios to the best, geometric means.

Other tenants of a machine can take its caches for seconds at a time. They only ever make a run
longer: the least CPU time of many rounds is what is left without them, where a median of few rounds
says who was disturbed more often.

A ratio to the baseline is the median of the ratios of the single rounds: what disturbs a round
disturbs both sides of its ratio. A row that a library did not finish has no figures under it, and
is missing from the means of that library only. Used by report.py, targets.py and charts.py.
"""

import collections
import dataclasses
import statistics
from typing import Callable

from rows import GROUPS, UNTIMED_GROUPS



@dataclasses.dataclass(frozen=True)
class Measure:
    """What is compared."""

    value: Callable  # Of a sample.
    floor: float  # The smallest value that is not taken as noise.
    of_rounds: Callable = statistics.median

    def of(self, samples):
        """The figure of these samples, one per round."""
        return max(self.floor, self.of_rounds([self.value(sample) for sample in samples]))


MEASURES = {
    "wall": Measure(lambda sample: sample.wall_s, 0.001),
    "cpu": Measure(lambda sample: sample.cpu_s, 0.001),
    "least_cpu": Measure(lambda sample: sample.cpu_s, 0.001, min),
    "rss": Measure(lambda sample: sample.max_rss_kib, 1),
}


class Summary:
    """The figures of one benchmark run."""

    def __init__(self, samples, baseline):
        """Groups the samples; `baseline` is the library ratios are taken to."""
        self.samples = samples
        self.libraries = list(dict.fromkeys(sample.library for sample in samples))
        if baseline not in self.libraries:
            raise ValueError(f"the baseline {baseline} was not measured")
        self.baseline = baseline
        self.group_of = {sample.row: sample.group for sample in samples}
        self._runs = collections.defaultdict(dict)
        for sample in samples:
            self._runs[sample.row, sample.library][sample.round] = sample

    def rows(self, group=None, measure=None):
        """The names of the rows that some library ran.

        Args:
          group: of this group only.
          measure: only those that say something about this measure.
        """
        return [row for row, of_group in self.group_of.items()
                if group in (None, of_group)
                and (measure in (None, "rss") or of_group not in UNTIMED_GROUPS)]

    def ran(self, row, library):
        """Whether there is a figure of the row under the library."""
        return (row, library) in self._runs

    def missing(self, library):
        """The rows that the library did not finish, though others did."""
        return [row for row in self.rows() if not self.ran(row, library)]

    def groups(self, measure=None):
        """The groups that have such rows, in their fixed order."""
        present = {self.group_of[row] for row in self.rows(measure=measure)}
        return [group for group in GROUPS if group in present]

    def rounds(self):
        """How many rounds were measured."""
        return len({sample.round for sample in self.samples})

    def figure(self, row, library, measure):
        """A measure over the rounds: the median of most."""
        return MEASURES[measure].of(self._runs[row, library].values())

    def median_faults(self, row, library):
        """The median of the page faults over the rounds."""
        return statistics.median(
            sample.minor_faults + sample.major_faults
            for sample in self._runs[row, library].values())

    def spread(self, row, library, measure):
        """(Largest - smallest) / the figure of a measure over the rounds."""
        values = [MEASURES[measure].value(sample) for sample in self._runs[row, library].values()]
        return (max(values) - min(values)) / self.figure(row, library, measure)

    def ratio(self, row, library, measure):
        """The ratio to the baseline: the median of the ratios of the rounds; None without one."""
        if not self.ran(row, library) or not self.ran(row, self.baseline):
            return None
        of_one = MEASURES[measure].of
        base = self._runs[row, self.baseline]
        ratios = [of_one([sample]) / of_one([base[number]])
                  for number, sample in self._runs[row, library].items() if number in base]
        return statistics.median(ratios) if ratios else None

    def best(self, row, measure, among=None):
        """The library with the smallest figure of the row, or None.

        Args:
          row: the row.
          measure: what is compared.
          among: the libraries to choose from; all of them by default.
        """
        ran = [library for library in among or self.libraries if self.ran(row, library)]
        return min(ran, key=lambda one: self.figure(row, one, measure), default=None)

    def ratio_to_best(self, row, library, measure):
        """The ratio of the figure to the smallest of the row; None without a figure."""
        if not self.ran(row, library):
            return None
        best = self.best(row, measure)
        return self.figure(row, library, measure) / self.figure(row, best, measure)

    def geometric_mean(self, library, measure, group=None, to_best=False):
        """Of the ratios of all rows, or of those of a group; None if it has no such row."""
        ratio = self.ratio_to_best if to_best else self.ratio
        ratios = [ratio(row, library, measure) for row in self.rows(group, measure)]
        ratios = [value for value in ratios if value is not None]
        return statistics.geometric_mean(ratios) if ratios else None

    def metrics(self, group=None):
        """Pairs of row and name of the figures that the programs reported themselves."""
        return list(dict.fromkeys(
            (sample.row, name) for sample in self.samples for name in sample.metrics
            if group in (None, sample.group)))

    def median_metric(self, row, library, name):
        """The median of such a figure over the rounds; None if the library has none."""
        values = [sample.metrics[name] for sample in self._runs.get((row, library), {}).values()
                  if name in sample.metrics]
        return statistics.median(values) if values else None
