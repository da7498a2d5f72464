# SPDX-License-Identifier: Apache-2.0
"""The tables on the terminal (and in summary.txt)."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import targets as targets_module
from rows import GROUPS, SCALING

_MEASURES = {"wall": "time", "cpu": "CPU", "least_cpu": "least CPU", "rss": "peak RSS"}


def _table(title, columns):
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _ratio(value):
    """A ratio: green where it is better than the baseline, red where it is worse."""
    if value is None:
        return Text("-")
    style = "green" if value < 0.95 else "red" if value > 1.05 else ""
    return Text(f"{value:.2f}", style=style)


def _to_best(value):
    if value is None:
        return Text("-")
    return Text(f"{value:.2f}", style="bold green" if value < 1.005 else "")


def workload_tables(summary):
    """One table per workload: a line per allocator."""
    tables = []
    for row in summary.rows():
        table = _table(Text(f"{row} ({GROUPS[summary.group_of[row]].lower()})", style="bold"), [
            "allocator", "time s", f"/ {summary.baseline}", "spread", "CPU s",
            f"/ {summary.baseline}", "peak RSS MiB", f"/ {summary.baseline}", "faults"])
        for library in summary.libraries:
            if not summary.ran(row, library):
                table.add_row(library, Text("failed", style="red"))
                continue
            table.add_row(
                library,
                f"{summary.figure(row, library, 'wall'):.3f}",
                _ratio(summary.ratio(row, library, "wall")),
                f"{summary.spread(row, library, 'wall'):.0%}",
                f"{summary.figure(row, library, 'cpu'):.3f}",
                _ratio(summary.ratio(row, library, "cpu")),
                f"{summary.figure(row, library, 'rss') / 1024:.1f}",
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
                best = summary.best(row, measure)
                value = summary.figure(row, best, measure)
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


def _figure(value):
    """A reported figure with three digits or more."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def metric_table(summary):
    """What the programs reported themselves, or None if nothing; not the latencies."""
    metrics = [(row, name) for row, name in summary.metrics()
               if summary.group_of[row] != "latency"]
    if not metrics:
        return None
    table = _table("Reported by the workloads", ["workload", "figure", *summary.libraries])
    for row, name in metrics:
        table.add_row(row, name, *(_figure(summary.median_metric(row, library, name))
                                   for library in summary.libraries))
    return table


def latency_tables(summary):
    """One table for malloc and one for free per row: percentiles in nanoseconds."""
    tables = []
    names = summary.metrics("latency")
    for row in summary.rows("latency"):
        for function in ("malloc", "free"):
            figures = [name for of_row, name in names
                       if of_row == row and name.startswith(function + "_")]
            if not figures:
                continue
            table = _table(f"Latency of {function} in ns: {row}", [
                "allocator", *(name.removeprefix(function + "_").removesuffix("_ns")
                               for name in figures)])
            for library in summary.libraries:
                table.add_row(library, *(
                    Text("-" if value is None else f"{value:,.0f}")
                    for value in (summary.median_metric(row, library, name) for name in figures)))
            tables.append(table)
    return tables


def scaling_tables(summary):
    """For rows of the same work with more threads: the time of each, relative to the first."""
    tables = []
    for name, rows in SCALING.items():
        present = [row for row in rows if row in summary.rows()]
        if len(present) < 2 or present[0] != rows[0]:
            continue
        table = _table(f"{name}: time relative to {present[0]} (CPU in brackets)",
                       ["workload", *summary.libraries])
        for row in present[1:]:
            cells = []
            for library in summary.libraries:
                if not summary.ran(row, library) or not summary.ran(present[0], library):
                    cells.append("-")
                    continue
                wall, cpu = (summary.figure(row, library, measure)
                             / summary.figure(present[0], library, measure)
                             for measure in ("wall", "cpu"))
                cells.append(f"{wall:.2f} ({cpu:.2f})")
            table.add_row(row, *cells)
        tables.append(table)
    return tables


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


def missing_lines(summary):
    """A line for each library that did not finish every row."""
    return [f"{library} did not finish: {', '.join(summary.missing(library))}; its means are of "
            "the other rows." for library in summary.libraries if summary.missing(library)]


def target_tables(summary, ours):
    """The library against the best peer of each row, and every library against the best."""
    table = _table(f"{ours} to the best peer of the row", ["workload", *(
        cell for name in _MEASURES.values() for cell in (name, "best peer"))])
    by_row = {}
    for measure in _MEASURES:
        for target in targets_module.targets(summary, ours, measure):
            by_row.setdefault(target.row, {})[measure] = target
    order = [row for group in summary.groups() for row in summary.rows(group) if row in by_row]
    for row in order:
        cells = []
        for measure in _MEASURES:
            target = by_row[row].get(measure)
            cells += [_loss(target.ratio, measure), target.peer] if target else ["", ""]
        table.add_row(row, *cells)
    return [table, _distance_table(summary)]


def _loss(ratio, measure):
    """A ratio to the best peer: red where it is a clear loss, yellow where it may be one."""
    slight, clear = (targets_module.LARGE_RSS,) * 2 if measure == "rss" else targets_module.LOSSES
    style = "red" if ratio > clear else "yellow" if ratio > slight else "green" if ratio < 1 else ""
    return Text(f"{ratio:.2f}", style=style)


def _distance_table(summary):
    """A line per library: means of the ratios to the best of each row, and rows lost."""
    slight, clear = ((limit - 1) * 100 for limit in targets_module.LOSSES)
    large = targets_module.LARGE_RSS
    timed = [measure for measure in _MEASURES if measure != "rss"]
    table = _table("Ratios to the best of each row: geometric means, and rows above a limit", [
        "allocator", "rows", *_MEASURES.values(), *(
            head for measure in timed
            for head in (f"{_MEASURES[measure]} > {slight:.0f} %", f"> {clear:.0f} %")),
        f"RSS > {large:g}"])
    for library in summary.libraries:
        means = [summary.geometric_mean(library, measure, to_best=True) for measure in _MEASURES]
        counts = [targets_module.above(summary, library, measure, limit)
                  for measure in timed for limit in targets_module.LOSSES]
        counts.append(targets_module.above(summary, library, "rss", large))
        ran = len(summary.rows()) - len(summary.missing(library))
        table.add_row(library, f"{ran}/{len(summary.rows())}", *map(_to_best, means),
                      *map(str, counts))
    return table


def wide_console(**arguments):
    """A console on which no table is cut, whatever the terminal."""
    return Console(width=max(Console().width, 400), **arguments)


def print_targets(console, summary, ours):
    """Prints how far `ours` is from the best."""
    for table in target_tables(summary, ours):
        console.print(table)
    for line in missing_lines(summary):
        console.print(line, style="red")


def print_all(console, summary, ours):
    """Prints every table; those of the targets only if `ours`, a library, isn't None."""
    for table in (workload_tables(summary) + best_tables(summary) + latency_tables(summary)
                  + scaling_tables(summary)):
        console.print(table)
    metrics = metric_table(summary)
    if metrics is not None:
        console.print(metrics)
    console.print(summary_table(summary))
    if ours is not None:
        print_targets(console, summary, ours)
        return
    for line in missing_lines(summary):
        console.print(line, style="red")
