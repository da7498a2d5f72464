# SPDX-License-Identifier: Apache-2.0
"""The load on the server, as redis-benchmark's options, and its results.

Called by comparison.py. The client always runs on Debian's own libjemalloc, so that only the
server differs. Later groups meet the keys that earlier ones left: SET overwrites small values by
larger ones and back, which is what fragments a heap.
"""

import csv
import dataclasses
import subprocess

_STEP_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Step:
    """One run of redis-benchmark: every test sends `requests` requests."""

    tests: str  # comma-separated, as for redis-benchmark -t
    requests: int
    value_bytes: int
    pipeline: int
    keys: int  # random keys are drawn from this many


@dataclasses.dataclass(frozen=True)
class Group:
    """Steps reported together."""

    name: str
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """What redis-benchmark reports of one test."""

    command: str
    requests: int
    requests_per_second: float
    p99_milliseconds: float


GROUPS = (
    Group(
        "strings 16 B",
        (
            Step("set,get,incr", 300_000, 16, 16, 200_000),
            Step("mset", 40_000, 16, 16, 200_000),
        ),
    ),
    Group(
        "lists, sets, hashes 64 B",
        (Step("lpush,rpop,sadd,hset,spop,zadd,zpopmin", 200_000, 64, 16, 200_000),),
    ),
    Group("values 1 KiB", (Step("set,get,lpush,rpop", 100_000, 1024, 16, 30_000),)),
    Group("values 8 KiB", (Step("set,get,lpush,rpop", 20_000, 8192, 16, 8_000),)),
    Group(
        "SET, sizes mixed",
        tuple(Step("set", 60_000, size, 16, 40_000) for size in (100, 1500, 300, 3000, 700)),
    ),
    Group(
        "no pipeline 64 B",
        (Step("set,get,incr,lpush,rpop,sadd,hset,zadd,mset", 20_000, 64, 1, 100_000),),
    ),
)


def run_step(step, server, scale):
    """Runs the step against the server, its requests times scale; returns its CommandResults."""
    requests = int(step.requests * scale)
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "--csv"]
    command += ["-t", step.tests, "-n", str(requests), "-d", str(step.value_bytes)]
    command += ["-P", str(step.pipeline), "-r", str(step.keys), "-c", "50"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_STEP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise server.failure(f"redis-benchmark -t {step.tests} got no answer") from error
    rows = list(csv.DictReader(result.stdout.splitlines()))
    if result.returncode != 0 or len(rows) != step.tests.count(",") + 1:
        raise server.failure(f"redis-benchmark -t {step.tests} failed: {result.stderr.strip()}")
    return [
        CommandResult(row["test"], requests, float(row["rps"]), float(row["p99_latency_ms"]))
        for row in rows
    ]
