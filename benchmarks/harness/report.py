# SPDX-License-Identifier: Apache-2.0
"""The tables on the terminal (and in summary.txt)."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rows import GROUPS


def _table(title, columns):
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _ratio(value):
    """A ratio: green where it is better than the baseline, red where it is worse."""
    style = "green" if value < 0.95 else "red" if value > 1.05 else ""
    return Text(f"{value:.2f}", style=style)


def _to_best(value):
    return Text(f"{value:.2f}", style="bold green" if value < 1.005 else "")


def workload_tables(summary):
    """One table per workload: a line per allocator."""
    tables = []
    for row in summary.rows():
        table = _table(Text(f"{row} ({GROUPS[summary.group_of[row]].lower()})", style="bold"), [
            "allocator", "time s", f"/ {summary.baseline}", "spread", "CPU s",
            f"/ {summary.baseline}", "peak RSS MiB", f"/ {summary.baseline}", "faults"])
        for library in summary.libraries:
            table.add_row(
                library,
                f"{summary.median(row, library, 'wall'):.3f}",
                _ratio(summary.ratio(row, library, "wall")),
                f"{summary.spread(row, library, 'wall'):.0%}",
                f"{summary.median(row, library, 'cpu'):.3f}",
                _ratio(summary.ratio(row, library, "cpu")),
                f"{summary.median(row, library, 'rss') / 1024:.1f}",
                _ratio(summary.ratio(row, library, "rss")),
                f"{summary.median_faults(row, library):.0f}",
            )
        tables.append(table)
    return tables


def best_tables(summary):
    """For time, CPU and memory: the ratio of each allocator to the best of the row."""
    tables = []
    for measure, name in (("wall", "Time"), ("cpu", "CPU time"), ("rss", "Peak RSS")):
        table = _table(f"{name}, ratio to the best of the row",
                       ["workload", *summary.libraries, "best"])
        for group in summary.groups(measure):
            for row in summary.rows(group, measure):
                best = min(summary.libraries, key=lambda one: summary.median(row, one, measure))
                value = summary.median(row, best, measure)
                table.add_row(
                    row,
                    *(_to_best(summary.ratio_to_best(row, library, measure))
                      for library in summary.libraries),
                    f"{value / 1024:.1f} MiB" if measure == "rss" else f"{value:.3f} s")
            table.add_section()
        if not summary.rows(measure=measure):
            continue
        table.add_row(Text("geometric mean", style="bold"), *(
            _to_best(summary.geometric_mean(library, measure, to_best=True))
            for library in summary.libraries), "")
        tables.append(table)
    return tables


def metric_table(summary):
    """What the programs reported themselves, or None if nothing."""
    metrics = summary.metrics()
    if not metrics:
        return None
    table = _table("Reported by the workloads", ["workload", "figure", *summary.libraries])
    for row, name in metrics:
        table.add_row(row, name, *(f"{summary.median_metric(row, library, name):.1f}"
                                   for library in summary.libraries))
    return table


def summary_table(summary):
    """Geometric means of the ratios to the baseline, by group and over all rows."""
    table = _table(
        f"Geometric means of the ratios to {summary.baseline} (time / CPU / peak RSS)",
        ["rows", *summary.libraries])
    names = [(GROUPS[group], group) for group in summary.groups()] + [("All", None)]
    for title, group in names:
        cells = []
        for library in summary.libraries:
            means = [summary.geometric_mean(library, measure, group)
                     for measure in ("wall", "cpu", "rss")]
            cells.append(" / ".join("-" if mean is None else f"{mean:.2f}" for mean in means))
        count = len(summary.rows(group))
        table.add_row(f"{title} ({count})", *cells, style="bold" if group is None else "")
    return table


def wide_console(**arguments):
    """A console on which no table is cut, whatever the terminal."""
    return Console(width=max(Console().width, 200), **arguments)


def print_all(console, summary):
    """Prints every table."""
    for table in workload_tables(summary) + best_tables(summary):
        console.print(table)
    metrics = metric_table(summary)
    if metrics is not None:
        console.print(metrics)
    console.print(summary_table(summary))
