# SPDX-License-Identifier: Apache-2.0
"""`tools/benchmark --micro`: the microbenchmark of the entry points under each library.

CPU nanoseconds of one operation, interleaved like the workloads. The smallest round is the figure
least disturbed by others on the machine; the median says how much it was disturbed.
"""

import csv
import json
import os
import statistics
import subprocess

from rich import box
from rich.table import Table
from rich.text import Text

from runner import rotated


def _run(program, library, min_time_s, timeout_s):
    """One run of the program: benchmark name -> CPU nanoseconds."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    if library.path is not None:
        environment["LD_PRELOAD"] = library.path
    output = subprocess.run(
        [program, "--benchmark_format=json", f"--benchmark_min_time={min_time_s}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=timeout_s).stdout
    return {
        run["name"].removeprefix("BM_").removesuffix("/process_time"): run["cpu_time"]
        for run in json.loads(output)["benchmarks"]
    }


def measure(program, libraries, rounds, scale, timeout_s, progress):
    """All rounds.

    Args:
      program: path of malloc_free_benchmark.
      libraries: the libraries to compare.
      rounds: how often each is run.
      scale: multiplies the time of each benchmark.
      timeout_s: how long one run may take.
      progress: called after each run with the library's name.

    Returns:
      (benchmark, library name) -> list of CPU nanoseconds, one per round.
    """
    results = {}
    for round_number in range(rounds):
        for library in rotated(libraries, round_number):
            for name, time_ns in _run(program, library, 0.1 * scale, timeout_s).items():
                results.setdefault((name, library.name), []).append(time_ns)
            progress(library.name)
    return results


def write_csv(path, results):
    """One line per benchmark, library and round."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "library", "round", "cpu_ns"])
        for (name, library), times in results.items():
            for number, time_ns in enumerate(times):
                writer.writerow([name, library, number, f"{time_ns:.3f}"])


def table(results, libraries):
    """A line per benchmark: smallest / median CPU nanoseconds under each library."""
    shown = Table(title="CPU ns per operation: smallest / median of the rounds",
                  title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("benchmark", no_wrap=True)
    for library in libraries:
        shown.add_column(library.name, justify="right", no_wrap=True)
    for name in dict.fromkeys(name for name, _ in results):
        best = min(min(results[name, library.name]) for library in libraries)
        cells = []
        for library in libraries:
            times = results[name, library.name]
            style = "bold green" if min(times) == best else ""
            cells.append(Text(f"{min(times):.2f} / {statistics.median(times):.2f}", style=style))
        shown.add_row(name, *cells)
    return shown
