# SPDX-License-Identifier: Apache-2.0
"""The main job of tools/run: redis-server under load on each allocator, side by side.

Called by run_lib/main.py. Every server is fresh and lives for one pass over the workload; rounds
interleave the allocators, each round starting with another one, so that drift of the machine's
speed meets all of them alike.
"""

import dataclasses
import json
import os
import signal
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import allocators, machine, report, workload
from .server import RedisServer, ServerFailed
from .summary import FIGURES, GroupMeasurement, ServerMeasurement, overall

FAILED = 125
_DEFAULT_ROUNDS = 5
_QUICK_ROUNDS = 2
_QUICK_SCALE = 0.4


@dataclasses.dataclass
class ServerStatistics:
    """What a loaded server tells about its allocator, and what a purge does to its RSS."""

    malloc_stats: str
    info_memory: dict
    rss_loaded_kib: int
    rss_before_purge_kib: int  # after FLUSHALL
    rss_after_purge_kib: int


def run(options, library):
    """Runs the comparison and prints it; returns the exit status."""
    console = Console() if sys.stdout.isatty() else Console(width=100)
    os.environ.pop("LD_PRELOAD", None)  # the clients run as Debian ships them
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        if options.rounds is not None and options.rounds < 1:
            raise ValueError("--rounds must be at least 1")
        chosen = _choose(options.allocators, allocators.own(library))
        rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _DEFAULT_ROUNDS)
        scale = _QUICK_SCALE if options.quick else 1.0
        json_file = open(options.json, "w", encoding="utf-8") if options.json else None
        foreign_load = machine.ForeignLoad()
        measurements, statistics = _measure(chosen, rounds, scale)
    except (ValueError, OSError, ServerFailed, allocators.WrongAllocator) as error:
        print(f"tools/run: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `tools/run | head` ends quietly
    conditions = {**machine.describe(), "foreign_cpu_share": foreign_load.share()}
    names = [allocator.name for allocator in chosen]
    report.print_comparison(console, conditions, measurements, names)
    report.print_statistics(console, names[0], statistics, options.full_stats)
    report.print_verdict(console, measurements, names)
    if json_file:
        with json_file:
            _write_json(json_file, conditions, measurements, statistics, names)
    return 0


def _choose(wanted, own):
    """Returns the allocators to measure: our own first, then the baseline, then the wanted ones."""
    peers = allocators.peers()
    if wanted is None:
        return [own, *peers]
    names = wanted.split(",")
    known = [own.name, *(peer.name for peer in peers)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"--allocators: no {', '.join(unknown)} among {', '.join(known)}")
    return [own, peers[0], *(peer for peer in peers[1:] if peer.name in names)]


def _measure(chosen, rounds, scale):
    """Returns all ServerMeasurements, and the ServerStatistics of our own last server."""
    steps = sum(len(group.steps) for group in workload.GROUPS)
    measurements, statistics = [], None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    with progress:
        task = progress.add_task("", total=rounds * len(chosen) * steps)
        for number in range(rounds):
            shift = number % len(chosen)
            for allocator in chosen[shift:] + chosen[:shift]:
                progress.update(task, description=f"round {number + 1}/{rounds} {allocator.name}")
                with RedisServer(allocator.library) as server:
                    groups = [
                        _load(group, server, scale, lambda: progress.advance(task))
                        for group in workload.GROUPS
                    ]
                    allocators.check(allocator, server)
                    _check_answers(server)
                    peak = server.memory_kib("VmHWM")
                    if allocator is chosen[0]:
                        statistics = _statistics(server)
                measurements.append(ServerMeasurement(allocator.name, number, peak, groups))
    return measurements, statistics


def _load(group, server, scale, advance):
    before = server.cpu_seconds()
    results = []
    for step in group.steps:
        results += workload.run_step(step, server, scale)
        advance()
    return GroupMeasurement(group.name, server.cpu_seconds() - before, results)


def _check_answers(server):
    errors = int(server.info("stats")["total_error_replies"])
    if errors:
        raise server.failure(f"the server answered {errors} requests with an error")


def _statistics(server):
    malloc_stats = server.command("MEMORY", "MALLOC-STATS")
    info_memory = server.info("memory")
    loaded = server.memory_kib("VmRSS")
    server.command("FLUSHALL", "SYNC")
    before = server.memory_kib("VmRSS")
    if server.command("MEMORY", "PURGE") != "OK":
        raise server.failure("MEMORY PURGE was refused")
    return ServerStatistics(malloc_stats, info_memory, loaded, before, server.memory_kib("VmRSS"))


def _write_json(file, conditions, measurements, statistics, names):
    summary = {
        name: {
            figure: dataclasses.asdict(value)
            for figure, value in overall(measurements, name, report.BASELINE).items()
        }
        for name in names
    }
    document = {
        "machine": conditions,
        "baseline": report.BASELINE,
        "figures": FIGURES,
        "summary": summary,
        "servers": [dataclasses.asdict(measurement) for measurement in measurements],
        "statistics": dataclasses.asdict(statistics),
    }
    json.dump(document, file, indent=1)
    file.write("\n")
