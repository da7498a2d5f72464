# SPDX-License-Identifier: Apache-2.0
"""`tools/benchmark --micro`: the microbenchmark of the entry points under each library.

CPU nanoseconds of one operation. Each benchmark runs under all libraries, one after the other,
before the next benchmark. The smallest round is the figure least disturbed by others on the
machine; the median says how much it was disturbed. Ratios are medians of those of the single
rounds: what disturbs a round disturbs both sides.
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


def shown_name(name):
    """A benchmark's name in the tables."""
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
            name = shown_name(benchmark)
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


def _ratio(times, base):
    """The median of the ratios of the single rounds."""
    return statistics.median(time / other for time, other in zip(times, base))


def ratios_to_best(results, library_names):
    """Benchmark -> library -> ratio of its times to those of the library with the smallest median."""
    ratios = {}
    for name in dict.fromkeys(name for name, _ in results):
        times = {library: results[name, library] for library in library_names
                 if (name, library) in results}
        best = min(times, key=lambda library, times=times: statistics.median(times[library]))
        ratios[name] = {library: _ratio(of_library, times[best])
                        for library, of_library in times.items()}
    return ratios


def best_peers(results, library_names, ours):
    """Benchmark -> the library with the smallest median, ours left aside, and our ratio to it."""
    best = {}
    for name in dict.fromkeys(name for name, library in results if library == ours):
        peers = {library: results[name, library] for library in library_names
                 if library != ours and (name, library) in results}
        if peers:
            peer = min(peers, key=lambda library, peers=peers: statistics.median(peers[library]))
            best[name] = peer, _ratio(results[name, ours], peers[peer])
    return best


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
    ratio_table = _table("CPU ns per operation: median of the rounds' ratios to the best of the row",
                         libraries)
    ratios = ratios_to_best(results, [library.name for library in libraries])
    for name, of_row in ratios.items():
        time_cells, ratio_cells = [], []
        for library in libraries:
            if library.name not in of_row:
                time_cells.append(Text("failed", style="red"))
                ratio_cells.append("-")
                continue
            times = results[name, library.name]
            style = "bold green" if of_row[library.name] <= 1 else ""
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


def instruction_table(counts, libraries):
    """Per benchmark and library: instructions of one operation."""
    table = _table("Instructions per operation", libraries)
    for name in dict.fromkeys(name for name, _ in counts):
        numbers = [counts.get((name, library.name)) for library in libraries]
        least = min(number for number in numbers if number is not None)
        table.add_row(name, *(
            Text("-") if number is None else
            Text(f"{number:.0f}", style="bold green" if number < least + 0.5 else "")
            for number in numbers))
    return table


def target_table(results, counts, library_names, ours):
    """Our library beside the best of the others in each row; below 1 is better than all of them."""
    table = Table(title=f"{ours} and the best of the others", title_justify="left",
                  box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(["benchmark", "ns", "best of the others", "ns", "ratio",
                                    "instructions", "of the best"]):
        table.add_column(column, justify="right" if index not in (0, 2) else "left", no_wrap=True)
    for name, (peer, ratio) in best_peers(results, library_names, ours).items():
        executed = [counts.get((name, library)) for library in (ours, peer)]
        style = "green" if ratio <= 1.03 else "red"
        table.add_row(name, _nanoseconds(statistics.median(results[name, ours])), peer,
                      _nanoseconds(statistics.median(results[name, peer])),
                      Text(f"{ratio:.2f}", style=style),
                      *("-" if number is None else f"{number:.0f}" for number in executed))
    return table
