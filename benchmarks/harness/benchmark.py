#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares allocator libraries on our workloads and on real programs.

tools/benchmark builds what is needed and calls this. README.md beside this folder says how to read
the results.
"""

import argparse
import contextlib
import datetime
import os
import re
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.progress import (BarColumn, MofNCompleteColumn, Progress, TextColumn,
                           TimeRemainingColumn)
from rich.text import Text

import instructions
import libraries as libraries_module
import machine
import micro
import report
import samples as samples_module
import targets
import timelines
import traces
from rows import all_rows
from runner import HangError, Runner, RunError, in_order_of
from summary import Summary

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BINARIES = os.path.join(_ROOT, "bazel-bin", "benchmarks")


def parse_arguments(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tools/benchmark", description="Compares allocator libraries, interleaved.")
    parser.add_argument("--lib", action="append", default=[], metavar="NAME=PATH",
                        help="a library to compare, with ,VARIABLE=value behind it for an environment "
                        "variable that it needs; repeat; NAME= is glibc (default: glibc, ours, and "
                        "Debian's jemalloc, mimalloc and tcmalloc if installed)")
    parser.add_argument("--baseline", default=None, metavar="NAME",
                        help="what ratios are taken to (default: glibc, or the first library)")
    parser.add_argument("--ours", default=None, metavar="NAME",
                        help="the library that the targets are of (default: spanmalloc, or ours)")
    parser.add_argument("--targets", action="store_true",
                        help="print only how far our library is from the best of each row")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each row (default: 3)")
    parser.add_argument("--scale", type=float, default=1, help="multiplies the work (default: 1)")
    parser.add_argument("--filter", default="", metavar="REGEX",
                        help="only rows (with --micro: benchmarks) that match")
    parser.add_argument("--quick", action="store_true", help="one round of a fifth of the work")
    parser.add_argument("--timeout", type=float, default=60, help="seconds a run may take")
    parser.add_argument("--output", metavar="DIR",
                        help="folder of the raw results (default: benchmarks/results/<date>)")
    parser.add_argument("--charts", metavar="DIR", help="also write SVG charts there")
    parser.add_argument("--micro", action="store_true",
                        help="instead of the rows, nanoseconds of the entry points in a loop")
    parser.add_argument("--instructions", action="store_true",
                        help="with --micro: also count the instructions, with valgrind")
    parser.add_argument("--memory", action="store_true",
                        help="instead of the rows, resident memory over time: recorded programs "
                        "replayed (they are recorded first)")
    parser.add_argument("--traces", metavar="DIR",
                        help="with --memory: where recordings are looked for and kept")
    parser.add_argument("--list", action="store_true", help="list the rows and the libraries")
    parser.add_argument("--report", metavar="DIR", help="measure nothing: show the results of DIR")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.scale = 1, 0.2
    if options.rounds < 1 or options.scale <= 0:
        parser.error("--rounds and --scale must be positive")
    return options


def output_folder(requested):
    """The folder to write to: the requested one, or a new one named after the date."""
    if requested is None:
        base = os.path.join(_ROOT, "benchmarks", "results", datetime.date.today().isoformat())
        requested, number = base, 2
        while os.path.exists(requested):
            requested, number = f"{base}-{number}", number + 1
    os.makedirs(requested, exist_ok=True)
    return requested


def write_machine(libraries, folder):
    """Keeps what the figures were measured on."""
    with open(os.path.join(folder, "machine.txt"), "w", encoding="utf-8") as file:
        file.write(machine.describe(libraries, _ROOT, sys.argv[1:]))


def progress_bar():
    """A bar on stderr that goes away at the end."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                    TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def measure(options, rows, libraries, refused, runner, keep):
    """Runs everything with a progress bar; calls keep(sample); returns what went wrong.

    A library that fails in a row costs that row's figures under it and nothing else; one that
    hangs in a row isn't tried in it again.
    """
    failures, hung = list(dict.fromkeys(refused.values())), set()
    cells = [(round_number, row, library) for round_number in range(options.rounds) for row in rows
             for library in in_order_of(libraries, round_number, row.name)]
    with progress_bar() as progress:
        task = progress.add_task("", total=len(cells))
        for round_number, row, library in cells:
            progress.update(task, description=f"{row.name} {library.name}", advance=1)
            cell = row.name, library.name
            if cell in hung or (library.name, row.executable) in refused:
                continue
            try:
                keep(runner.run(row, library, round_number))
            except RunError as error:
                failures.append(str(error))
                progress.console.print(Text(str(error), style="red"))
                if isinstance(error, HangError):
                    hung.add(cell)
    return failures


def measure_rows(options, rows, libraries, refused, runner, folder):
    """Measures, and keeps each sample in samples.csv as it comes; the samples, what went wrong."""
    samples = []
    with contextlib.closing(samples_module.Writer(os.path.join(folder, "samples.csv"))) as writer:
        def keep(sample):
            writer.append(sample)
            samples.append(sample)
        return samples, measure(options, rows, libraries, refused, runner, keep)


def finish(failures, folder, console):
    """Says what failed and keeps it; the exit code."""
    if failures:
        with open(os.path.join(folder, "failures.txt"), "w", encoding="utf-8") as file:
            file.writelines(f"{failure}\n" for failure in failures)
    for failure in failures:
        console.print(Text(f"failed: {failure}", style="red"))
    console.print(f"Raw results: {folder}")
    return 1 if failures else 0


def run_micro(options, console):
    """Measures the entry points, prints the tables, keeps the raw figures."""
    libraries = libraries_module.choose(options.lib, _ROOT)
    program = os.path.join(_BINARIES, "micro", "malloc_free_benchmark")
    refused = libraries_module.check_all(libraries, [program])
    failures = list(refused.values())
    libraries = [library for library in libraries if (library.name, program) not in refused]
    names = [name for name in micro.names(program) if re.search(options.filter, name)]
    if not libraries or not names:
        raise libraries_module.LibraryError(
            "; ".join(failures) or f"no benchmark matches {options.filter}")
    folder = output_folder(options.output)
    write_machine(libraries, folder)
    counts, uncounted = {}, []
    with progress_bar() as progress:
        task = progress.add_task("", total=options.rounds * len(names) * len(libraries))
        step = lambda name: progress.update(task, advance=1, description=name)
        results, failed = micro.measure(
            program, names, libraries, options.rounds, options.scale, options.timeout, step)
        micro.write_csv(os.path.join(folder, "micro.csv"), results)
        if options.instructions:
            progress.update(task, completed=0, total=len(names) * len(libraries))
            counts, uncounted = instructions.count(
                program, names, libraries, options.timeout, micro.shown_name, step)
    if counts:
        instructions.write_csv(os.path.join(folder, "instructions.csv"), counts)
    show_micro(results, counts, libraries, options, folder)
    return finish(failures + failed + uncounted, folder, console)


def show_micro(results, counts, libraries, options, folder):
    """Prints the tables, keeps them as micro.txt, and writes the chart if asked to."""
    tables = micro.tables(results, libraries)
    library_names = [library.name for library in libraries]
    ours = options.ours or targets.default_library(library_names)
    if counts:
        tables.append(micro.instruction_table(counts, libraries))
    if ours in library_names:
        tables.append(micro.target_table(results, counts, library_names, ours))
    with open(os.path.join(folder, "micro.txt"), "w", encoding="utf-8") as file:
        report.wide_console(file=file).print(*tables)
    report.wide_console().print(*tables)
    if options.charts:
        import charts  # pylint: disable=import-outside-toplevel
        print(charts.write_micro(micro.ratios_to_best(results, library_names), library_names,
                                 options.charts))


def run_memory(options, console):
    """Replays recorded programs, keeps resident memory over time, prints peaks and finals."""
    libraries = libraries_module.choose(options.lib, _ROOT)
    with tempfile.TemporaryDirectory(prefix="spanmalloc-benchmark-") as scratch:
        kept = options.traces or os.path.join(scratch, "traces")
        os.makedirs(kept, exist_ok=True)
        rows, notices = traces.rows(
            os.path.join(_BINARIES, "traces"), os.path.abspath(kept), scratch, options.scale,
            lambda name: re.search(options.filter, name), console.print)
        for notice in notices:
            console.print(notice)
        if not rows:
            raise libraries_module.LibraryError(f"no recording matches {options.filter}")
        refused = libraries_module.check_all(libraries, [rows[0].executable])
        folder = output_folder(options.output)
        runner = Runner(os.path.join(_BINARIES, "harness", "measure"), scratch, options.timeout)
        runs = []
        failures = measure(
            options, rows, libraries, refused, runner, lambda sample: runs.append(timelines.Run(
                sample.row, sample.library, sample.round, sample.metrics, runner.timeline)))
    write_machine(libraries, folder)
    timelines.write_csv(os.path.join(folder, "memory.csv"), runs)
    with open(os.path.join(folder, "memory.txt"), "w", encoding="utf-8") as file:
        report.wide_console(file=file).print(*timelines.tables(runs))
    report.wide_console().print(*timelines.tables(runs))
    if options.charts:
        print(timelines.write_chart(runs, options.charts))
    return finish(failures, folder, console)


def show(samples, options, folder):
    """Prints the tables, keeps them as summary.txt, and writes charts if asked to."""
    names = list(dict.fromkeys(sample.library for sample in samples))
    baseline = options.baseline or ("glibc" if "glibc" in names else names[0])
    ours = options.ours or targets.default_library(names)
    if options.ours not in (None, *names) or (options.targets and ours is None):
        raise ValueError(f"the library {options.ours or 'spanmalloc'} of the targets was not "
                         "measured; name it by --ours")
    summary = Summary(samples, baseline)
    with open(os.path.join(folder, "summary.txt"), "w", encoding="utf-8") as file:
        report.print_all(report.wide_console(file=file), summary, ours)
    if options.targets:
        report.print_targets(report.wide_console(), summary, ours)
    else:
        report.print_all(report.wide_console(), summary, ours)
    if options.charts:
        import charts  # pylint: disable=import-outside-toplevel
        for path in charts.write(summary, options.charts):
            print(path)


def run(options, console):
    """Measures and shows. The exit code: 0 only if every run went well."""
    libraries = libraries_module.choose(options.lib, _ROOT)
    for name in (options.baseline, options.ours):
        if name not in (None, *(library.name for library in libraries)):
            raise libraries_module.LibraryError(f"no library is named {name}")
    with tempfile.TemporaryDirectory(prefix="spanmalloc-benchmark-") as scratch:
        rows, notices = all_rows(os.path.join(_BINARIES, "workloads"), scratch, options.scale)
        rows = [row for row in rows if re.search(options.filter, row.name)]
        for notice in notices:
            console.print(notice)
        if options.list:
            for row in rows:
                print(f"{row.group:10} {row.name}")
            for library in libraries:
                print(f"{'library':10} {library.name} {library.path or '(nothing preloaded)'}")
            return 0
        if not rows:
            raise libraries_module.LibraryError(f"no row matches {options.filter}")
        executables = list(dict.fromkeys(row.executable for row in rows))
        refused = libraries_module.check_all(libraries, executables)
        if len(refused) == len(libraries) * len(executables):
            raise libraries_module.LibraryError(next(iter(refused.values())))
        folder = output_folder(options.output)
        write_machine(libraries, folder)
        runner = Runner(os.path.join(_BINARIES, "harness", "measure"), scratch, options.timeout)
        samples, failures = measure_rows(options, rows, libraries, refused, runner, folder)
    names = [library.name for library in libraries]
    samples.sort(key=lambda sample: names.index(sample.library))
    if samples:
        show(samples, options, folder)
    return finish(failures, folder, console)


def main():
    """Parses, runs, reports what cannot be done as one line."""
    options = parse_arguments(sys.argv[1:])
    console = Console(stderr=True, highlight=False)
    try:
        if options.report:
            samples = samples_module.read(os.path.join(options.report, "samples.csv"))
            if not samples:
                raise ValueError(f"{options.report}: no samples")
            show(samples, options, options.report)
            return 0
        if options.memory:
            return run_memory(options, console)
        return run_micro(options, console) if options.micro else run(options, console)
    except (libraries_module.LibraryError, ValueError, OSError, re.error,
            subprocess.SubprocessError) as error:
        console.print(Text(f"benchmark: {error}", style="red"))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
