# SPDX-License-Identifier: Apache-2.0
"""`tools/benchmark --micro --instructions`: what each benchmark of the entry points executes.

valgrind counts the instructions of two runs that differ in their iterations alone; the difference
is what these executed, the benchmark's own loop and the calls through the dynamic linker included.
The count is the same on a busy machine. What the kernel does isn't in it, and restartable sequences
are refused under valgrind: google's tcmalloc has caches of threads then.
"""

import csv
import os
import re
import subprocess

# A multiple of every batch that a benchmark works through.
_ITERATIONS = 20_000
# Each of these is some tens of calls and a mebibyte of work.
_LONG = re.compile("ReallocGrowth")
_LONG_ITERATIONS = 200
# Threads run one at a time under valgrind, and wait in turns: their count means nothing.
_UNCOUNTABLE = re.compile("CrossThread")


def countable(name):
    """Whether a benchmark can be counted."""
    return not _UNCOUNTABLE.search(name)


def _executed(program, name, library, iterations, timeout_s):
    """The instructions of a whole run. Raises SubprocessError or ValueError."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    environment.update(library.environment)
    environment["SPANMALLOC_BENCHMARK_ITERATIONS"] = str(iterations)
    if library.path is not None:
        environment["LD_PRELOAD"] = library.path
    log = subprocess.run(
        ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
         program, f"--benchmark_filter=^{re.escape(name)}(/iterations:[0-9]+)?$"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True,
        timeout=timeout_s).stderr
    match = re.search(r"I +refs: +([0-9,]+)", log)
    if match is None:
        raise ValueError("valgrind printed no count")
    return int(match.group(1).replace(",", ""))


def count(program, benchmarks, libraries, timeout_s, shown_name, progress):
    """Counts each benchmark under each library, once.

    Args:
      program: path of malloc_free_benchmark.
      benchmarks: the names of its benchmarks.
      libraries: the libraries to compare.
      timeout_s: how long one run may take.
      shown_name: from a benchmark's name to the one in the tables.
      progress: called before each pair of runs with the names of the benchmark and the library.

    Returns:
      (shown name, library name) -> instructions of one iteration; and a list of texts, one for each
      that failed.
    """
    counts, failures = {}, []
    for benchmark in filter(countable, benchmarks):
        name = shown_name(benchmark)
        iterations = _LONG_ITERATIONS if _LONG.search(name) else _ITERATIONS
        for library in libraries:
            progress(f"{name} {library.name}")
            try:
                few, many = (_executed(program, benchmark, library, times * iterations, timeout_s)
                             for times in (1, 3))
                counts[name, library.name] = (many - few) / (2 * iterations)
            except (subprocess.SubprocessError, ValueError, OSError) as error:
                failures.append(f"instructions of {name} under {library.name}: {error}")
    return counts, failures


def write_csv(path, counts):
    """One line per benchmark and library."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "library", "instructions"])
        for (name, library), number in counts.items():
            writer.writerow([name, library, f"{number:.1f}"])
