# SPDX-License-Identifier: Apache-2.0
"""`tools/benchmark --micro`: the microbenchmark of the entry points under each library.

CPU nanoseconds of one operation. Each benchmark runs under all libraries, one after the other,
before the next benchmark. The smallest round is the figure least disturbed by others on the
machine; the median says how much it was disturbed.
"""

import csv
import json
import os
import re
import statistics
import subprocess

from rich import box
from rich.table import Table
from rich.text import Text

from runner import in_order_of


def names(program):
    """The benchmarks of the program."""
    return subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True,
                          check=True).stdout.split()


def _shown_name(name):
    return name.removeprefix("BM_").removesuffix("/process_time")


def _run(program, name, library, min_time_s, timeout_s):
    """One benchmark under one library: CPU nanoseconds. Raises SubprocessError or ValueError."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    environment.update(library.environment)
    if library.path is not None:
        environment["LD_PRELOAD"] = library.path
    output = subprocess.run(
        [program, "--benchmark_format=json", f"--benchmark_min_time={min_time_s}",
         f"--benchmark_filter=^{re.escape(name)}$"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=timeout_s).stdout
    runs = json.loads(output)["benchmarks"]
    if len(runs) != 1:
        raise ValueError(f"{len(runs)} results")
    return runs[0]["cpu_time"]


def measure(program, benchmarks, libraries, rounds, scale, timeout_s, progress):
    """All rounds. What fails or hangs under a library isn't tried under it again.

    Args:
      program: path of malloc_free_benchmark.
      benchmarks: the names of its benchmarks to run.
      libraries: the libraries to compare.
      rounds: how often each is run.
      scale: multiplies the time of each benchmark.
      timeout_s: how long one run may take.
      progress: called before each run with the names of the benchmark and the library.

    Returns:
      (benchmark, library name) -> list of CPU nanoseconds, one per round; and a list of texts, one
      for each benchmark that failed under a library.
    """
    results, failures = {}, {}
    for round_number in range(rounds):
        for benchmark in benchmarks:
            name = _shown_name(benchmark)
            for library in in_order_of(libraries, round_number, name):
                progress(f"{name} {library.name}")
                if (name, library.name) in failures:
                    continue
                try:
                    time_ns = _run(program, benchmark, library, 0.1 * scale, timeout_s)
                    results.setdefault((name, library.name), []).append(time_ns)
                except (subprocess.SubprocessError, ValueError) as error:
                    failures[name, library.name] = f"{name} under {library.name}: {error}"
    return results, list(failures.values())


def write_csv(path, results):
    """One line per benchmark, library and round."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "library", "round", "cpu_ns"])
        for (name, library), times in results.items():
            for number, time_ns in enumerate(times):
                writer.writerow([name, library, number, f"{time_ns:.3f}"])


def ratios_to_best(results, library_names):
    """Benchmark -> library -> ratio of its smallest time to the smallest of all libraries."""
    ratios = {}
    for name in dict.fromkeys(name for name, _ in results):
        smallest = {library: min(results[name, library]) for library in library_names
                    if (name, library) in results}
        best = min(smallest.values())
        ratios[name] = {library: time / best for library, time in smallest.items()}
    return ratios


def _table(title, libraries):
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("benchmark", no_wrap=True)
    for library in libraries:
        shown.add_column(library.name, justify="right", no_wrap=True)
    return shown


def _nanoseconds(value):
    return f"{value:.0f}" if value >= 1000 else f"{value:.2f}"


def tables(results, libraries):
    """Per benchmark and library: smallest / median CPU nanoseconds; and the ratio to the best."""
    time_table = _table("CPU ns per operation: smallest / median of the rounds", libraries)
    ratio_table = _table("CPU ns per operation: smallest, ratio to the best of the row", libraries)
    ratios = ratios_to_best(results, [library.name for library in libraries])
    for name, of_row in ratios.items():
        time_cells, ratio_cells = [], []
        for library in libraries:
            if library.name not in of_row:
                time_cells.append(Text("failed", style="red"))
                ratio_cells.append("-")
                continue
            times = results[name, library.name]
            style = "bold green" if of_row[library.name] < 1.005 else ""
            time_cells.append(Text(f"{_nanoseconds(min(times))} / "
                                   f"{_nanoseconds(statistics.median(times))}", style=style))
            ratio_cells.append(Text(f"{of_row[library.name]:.2f}", style=style))
        time_table.add_row(name, *time_cells)
        ratio_table.add_row(name, *ratio_cells)
    ratio_table.add_section()
    ratio_table.add_row(Text("geometric mean", style="bold"), *(
        _mean([of_row[library.name] for of_row in ratios.values() if library.name in of_row])
        for library in libraries))
    return [time_table, ratio_table]


def _mean(ratios):
    return f"{statistics.geometric_mean(ratios):.2f}" if ratios else "-"
