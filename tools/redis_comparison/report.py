# SPDX-License-Identifier: Apache-2.0
"""Prints the comparison: its tables, the statistics from the server, one closing line.

Called by comparison.py.
"""

from rich import box
from rich.table import Table
from rich.text import Text

from .allocators import mallctl_counts_redis
from .summary import by_group, cpu_seconds_per_million, overall, requests_per_second

BASELINE = "glibc"
_STATS_LINES = 60
_NOTABLE_FOREIGN_SHARE = 0.05
_FIGURE_NAMES = (
    ("throughput", "throughput"),
    ("p99", "p99 latency"),
    ("cpu", "CPU time"),
    ("peak_rss", "peak RSS"),
)
_INFO_FIELDS = (
    "used_memory_human",
    "used_memory_rss_human",
    "used_memory_peak_human",
    "allocator_allocated",
    "allocator_active",
    "allocator_resident",
    "allocator_frag_ratio",
    "allocator_rss_ratio",
    "mem_fragmentation_ratio",
)


def print_comparison(console, conditions, measurements, names):
    """Prints the three tables, and how far to trust them."""
    rounds = 1 + max(measurement.round for measurement in measurements)
    console.print(
        f"redis-server on {conditions['cpus']} CPUs ({conditions['cpu']}), "
        f"Linux {conditions['kernel']}, transparent huge pages: "
        f"{conditions['transparent_hugepage']}\n"
        f"median of {rounds} round{'s' if rounds > 1 else ''}; x = ratio to {BASELINE}",
        highlight=False,
    )
    console.print(_overall_table(measurements, names))
    speed = "Thousand requests per second (higher is better)"
    console.print(_group_table(speed, measurements, names, _thousands))
    cpu = "Server's CPU seconds per million requests (lower is better)"
    console.print(_group_table(cpu, measurements, names, cpu_seconds_per_million))
    _print_noise(console, conditions["foreign_cpu_share"], measurements, names)


def print_statistics(console, name, statistics, full):
    """Prints what our own server said of its memory after the load."""
    console.rule(f"{name} through the server: MEMORY MALLOC-STATS")
    lines = statistics.malloc_stats.splitlines()
    shown = lines if full else lines[:_STATS_LINES]
    console.print(Text("\n".join(shown)), soft_wrap=True)
    if len(shown) < len(lines):
        console.print(f"({len(lines) - len(shown)} more lines: --full-stats)", highlight=False)
    console.rule("INFO memory")
    if not mallctl_counts_redis(statistics.info_memory):
        console.print(f"(the linked libjemalloc answers here, not {name})", highlight=False)
    for field in _INFO_FIELDS:
        console.print(f"{field}: {statistics.info_memory.get(field, '-')}", highlight=False)
    console.rule("MEMORY PURGE")
    console.print(
        f"RSS {_mib(statistics.rss_loaded_kib)} under load, "
        f"{_mib(statistics.rss_before_purge_kib)} after FLUSHALL, "
        f"{_mib(statistics.rss_after_purge_kib)} after MEMORY PURGE",
        highlight=False,
    )


def print_verdict(console, measurements, names):
    """Prints our own row as one sentence."""
    figures = overall(measurements, names[0], BASELINE)
    ratios = [f"{figures[key].ratio:.3f} x {what}" for key, what in _FIGURE_NAMES]
    console.rule()
    console.print(
        f"{names[0]} against {BASELINE}: {', '.join(ratios)}", highlight=False, soft_wrap=True
    )


def _print_noise(console, foreign_cpu_share, measurements, names):
    """Prints the largest spread of each column, and a warning if the machine was not ours."""
    if any(measurement.round > 0 for measurement in measurements):
        rows = [overall(measurements, name, BASELINE) for name in names]
        spreads = [
            f"{what} {max(row[key].spread for row in rows):.3f}" for key, what in _FIGURE_NAMES
        ]
        console.print(
            f"Ratios moved between rounds by up to (+-): {', '.join(spreads)}",
            highlight=False,
            soft_wrap=True,
        )
    if foreign_cpu_share > _NOTABLE_FOREIGN_SHARE:
        console.print(
            f"Other processes took {foreign_cpu_share:.0%} of this machine's CPU time meanwhile: "
            "repeat this on an idle machine.",
            style="bold red",
            highlight=False,
            soft_wrap=True,
        )


def _table(title):
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _overall_table(measurements, names):
    table = _table("All commands (geometric mean)")
    table.add_column("allocator", no_wrap=True)
    for heading in ("requests/s", "x", "p99 ms", "x", "CPU s/M", "x", "peak MiB", "x"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        figures = overall(measurements, name, BASELINE)
        cells = []
        for key, form in (
            ("throughput", "{:,.0f}"),
            ("p99", "{:.3f}"),
            ("cpu", "{:.3f}"),
            ("peak_rss", "{:.1f}"),
        ):
            cells += [form.format(figures[key].value), f"{figures[key].ratio:.3f}"]
        table.add_row(name, *cells)
    return table


def _group_table(title, measurements, names, read):
    table = _table(title)
    table.add_column("", no_wrap=True)
    columns = []
    for name in names:
        table.add_column(name, justify="right", max_width=12, overflow="fold")
        figures = by_group(measurements, name, BASELINE, read)
        columns.append([f"{figure.value:.3g} {figure.ratio:.2f}x" for figure in figures])
    for group, *cells in zip(measurements[0].groups, *columns):
        table.add_row(group.name, *cells)
    return table


def _thousands(groups):
    return requests_per_second(groups) / 1000


def _mib(kib):
    return f"{kib / 1024:.1f} MiB"
