# SPDX-License-Identifier: Apache-2.0
"""The rows of the benchmark: what is run, under which name, in which group.

A row is either one of our workload programs with certain flags (below) or a real program
(programs.py). README.md says what each models.
"""

import dataclasses
import os

import programs

# The groups, in the order in which they are shown.
GROUPS = {
    "threads": "Several threads",
    "single": "One thread",
    "processes": "Start and fork",
    "programs": "Real programs",
    "latency": "Latency",
    "memory": "Memory",
}

# The groups whose time says nothing (they wait, only touch fresh memory, or read a clock at every
# step): it is shown for each row, but neither compared nor counted in a mean.
UNTIMED_GROUPS = {"latency", "memory"}

# Rows that do the same work with more and more threads; each is compared with the first.
SCALING = {
    "mixed_many_threads": (
        "mixed_many_threads-4", "mixed_many_threads-64", "mixed_many_threads-512"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A command to measure."""

    name: str
    group: str
    command: tuple
    environment: tuple = ()  # Pairs of name and value.
    stdin: str = os.devnull
    # Runs and measures a program that needs more than starting it; None for all others.
    session: object = None
    # Whether every library must make the same output. A session's (a server's log) never is.
    compared: bool = True
    # The program that gets the library, if it isn't the command itself; checked before the run.
    program: str = None

    @property
    def executable(self):
        """The program whose allocator is measured."""
        return self.program or self.command[0]


# Name, group, program, flags.
_WORKLOADS = [
    ("random_lifetimes-2", "threads", "random_lifetimes", "--threads=2"),
    ("random_lifetimes-16", "threads", "random_lifetimes", "--threads=16"),
    ("random_lifetimes-2-sized", "threads", "random_lifetimes", "--threads=2 --interface=sized"),
    ("producer_consumer-2", "threads", "producer_consumer", "--threads=2"),
    ("producer_consumer-16", "threads", "producer_consumer", "--threads=16"),
    ("mixed_many_threads-2", "threads", "mixed_many_threads", "--threads=2"),
    ("mixed_many_threads-16", "threads", "mixed_many_threads", "--threads=16"),
    ("mixed_many_threads-4", "threads", "mixed_many_threads",
     "--threads=4 --live_blocks=16384 --inbox=8 --take_turns"),
    ("mixed_many_threads-64", "threads", "mixed_many_threads",
     "--threads=64 --live_blocks=896 --inbox=2 --take_turns"),
    ("mixed_many_threads-512", "threads", "mixed_many_threads",
     "--threads=512 --live_blocks=16 --inbox=1 --take_turns"),
    ("medium_passing-2", "threads", "medium_passing", "--threads=2"),
    ("medium_passing-16", "threads", "medium_passing", "--threads=16"),
    ("batch_local-2", "threads", "batch_handoff", "--threads=2"),
    ("batch_handoff-2", "threads", "batch_handoff", "--threads=2 --handoff=4"),
    ("batch_handoff-16", "threads", "batch_handoff", "--threads=16 --handoff=4"),
    ("false_sharing-active", "threads", "false_sharing", "--threads=2"),
    ("false_sharing-passive", "threads", "false_sharing", "--threads=2 --passive"),
    ("pairs-2", "threads", "pairs", "--threads=2"),
    ("pairs-1", "single", "pairs", ""),
    ("pairs-1-sized", "single", "pairs", "--interface=sized"),
    ("single_thread_mixed", "single", "single_thread_mixed", ""),
    ("large_blocks", "single", "large_blocks", ""),
    ("realloc_growth", "single", "realloc_growth", ""),
    ("realloc_growth-many", "single", "realloc_growth", "--many"),
    ("burst_and_drop", "single", "burst_and_drop", ""),
    ("fork", "processes", "fork_large_heap", ""),
    ("latency-1", "latency", "latency", ""),
    ("latency-16", "latency", "latency", "--threads=16"),
    ("idle_threads-500", "memory", "idle_threads", "--threads=500"),
    ("burst_and_drop-idle", "memory", "burst_and_drop", "--idle_ms={idle_ms}"),
    ("population-16", "memory", "population", "--size=16 --count=8000000"),
    ("population-24", "memory", "population", "--size=24 --count=5400000"),
    ("population-100", "memory", "population", "--size=100 --count=1300000"),
    ("population-500", "memory", "population", "--size=500 --count=260000"),
    ("population-3000", "memory", "population", "--size=3000 --count=43000"),
]

_TRIVIAL_PROGRAM = "/bin/true"


def workload_rows(binaries, scale):
    """The rows of our own programs, found in the folder `binaries`."""
    # Ten seconds, as long as allocators wait before they return memory; less in a quick run.
    idle_ms = round(10_000 * min(1, scale))
    rows = [
        Row(name, group, (os.path.join(binaries, program), f"--scale={scale}",
                          *flags.format(idle_ms=idle_ms).split()))
        for name, group, program, flags in _WORKLOADS
    ]
    rows.append(Row("start", "processes",
                    (os.path.join(binaries, "start"), f"--scale={scale}", _TRIVIAL_PROGRAM),
                    program=_TRIVIAL_PROGRAM))
    return rows


def all_rows(binaries, scratch, scale):
    """Every row that can run here, and a notice for each that cannot.

    Args:
      binaries: folder of the workload programs.
      scratch: folder for the generated inputs of real programs.
      scale: multiplies the work.
    """
    rows = workload_rows(binaries, scale)
    notices = []
    for program in programs.PROGRAMS:
        missing = program.missing()
        if missing:
            notices.append(f"{program.name} is skipped: {missing} is missing "
                           f"(Debian: apt-get install {program.package})")
        else:
            rows.append(Row(program.name, "programs", **program.prepare(scratch, scale)))
    return rows, notices
