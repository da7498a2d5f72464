# SPDX-License-Identifier: Apache-2.0
"""Resident memory over time: what replays of recorded programs printed, as a CSV file, as tables of
peaks and ends, and as a chart. benchmark.py --memory calls it."""

import collections
import csv
import dataclasses
import os
import statistics

from rich import box
from rich.table import Table

_POINTS = 240  # Kept of a run.
_MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Run:
    """One replay under one library."""

    row: str
    library: str
    round: int
    metrics: dict  # live_peak_mib, live_final_mib, rss_peak_mib, rss_final_mib, average_ratio
    points: list  # of (milliseconds, live bytes, resident bytes)


def thinned(points):
    """At most some _POINTS of the points, evenly in time, the first and the last among them."""
    if len(points) <= _POINTS:
        return points
    step = max(1, (points[-1][0] - points[0][0]) / (_POINTS - 1))
    kept, due = [], points[0][0]
    for point in points:
        if point[0] >= due:
            kept.append(point)
            due = max(due + step, point[0] + step / 2)
    if kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def write_csv(path, runs):
    """Writes every run's points, thinned."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "library", "round", "ms", "live_kib", "resident_kib"])
        for run in runs:
            for ms, live, resident in thinned(run.points):
                writer.writerow([run.row, run.library, run.round, ms, live // 1024,
                                 resident // 1024])


def _grouped(runs):
    """row -> library -> its runs, in order."""
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for run in runs:
        groups[run.row][run.library].append(run)
    return groups


def _median(runs, value):
    return statistics.median(value(run.metrics) for run in runs)


def tables(runs):
    """Peaks, ends and averages: medians of the rounds."""
    made = []
    libraries = list(dict.fromkeys(run.library for run in runs))
    groups = _grouped(runs)
    for title, live, value in (
            ("Peak resident memory / most bytes live", "live_peak_mib",
             lambda m: m["rss_peak_mib"] / m["live_peak_mib"]),
            ("Resident memory at the end / bytes live then", "live_final_mib",
             lambda m: m["rss_final_mib"] / m["live_final_mib"]),
            ("Resident memory / bytes live, averages over time", None,
             lambda m: m["average_ratio"])):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("row")
        table.add_column("live MiB", justify="right")
        for library in libraries:
            table.add_column(library, justify="right")
        for row, by_library in groups.items():
            first = next(iter(by_library.values()))
            values = {library: _median(of_library, value)
                      for library, of_library in by_library.items()}
            best = min(values.values())
            table.add_row(
                row, f"{_median(first, lambda m: m[live]):.1f}" if live else "",
                *(f"{values[library]:.2f}{' *' if values[library] == best else ''}"
                  if library in values else "" for library in libraries))
        made.append(table)
    return made


def write_chart(runs, folder):
    """Writes memory.svg, a panel for each row, from the first round; returns its path."""
    import charts  # pylint: disable=import-outside-toplevel
    pyplot = charts.pyplot
    groups = _grouped(run for run in runs if run.round == 0)
    figure, panels = pyplot.subplots(len(groups), 1, figsize=(12, 3.4 * len(groups)),
                                     squeeze=False)
    libraries = list(dict.fromkeys(run.library for run in runs))
    for axes, (row, by_library) in zip(panels[:, 0], groups.items()):
        lived = thinned(next(iter(by_library.values()))[0].points)
        axes.fill_between([ms / 1000 for ms, _, _ in lived],
                          [live / _MIB for _, live, _ in lived], color="#dddddd", label="live")
        for library, of_library in by_library.items():
            points = thinned(of_library[0].points)
            axes.plot([ms / 1000 for ms, _, _ in points],
                      [resident / _MIB for _, _, resident in points], label=library,
                      linewidth=2 if library == "spanmalloc" else 1,
                      color=charts.color(libraries.index(library)))
        axes.set_title(row, fontsize=10, loc="left")
        axes.set_ylabel("MiB")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
    panels[-1, 0].set_xlabel("seconds")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=5, loc="upper right", frameon=False, fontsize=8)
    figure.suptitle("Resident memory over time: lower is better", x=0.01, ha="left")
    figure.tight_layout()
    path = os.path.join(folder, "memory.svg")
    charts.save(figure, path)
    return path
