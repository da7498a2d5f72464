# SPDX-License-Identifier: Apache-2.0
"""Tests the redis comparison without redis: its arithmetic, and what it says of a failing server.

Small scripts stand in for redis-server and redis-benchmark.
"""

import io
import os
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

# pylint: disable=wrong-import-position
from rich.console import Console

from redis_comparison import allocators, comparison, machine, report, summary, workload
from redis_comparison.server import RedisServer, ServerFailed


def measurement(allocator, number, speeds, cpu_seconds=1.0, peak_rss_kib=1024):
    """Returns a server of one group, with one command of 1000 requests per speed."""
    results = [workload.CommandResult("SET", 1000, speed, 2.0) for speed in speeds]
    group = summary.GroupMeasurement("group", cpu_seconds, results)
    return summary.ServerMeasurement(allocator, number, peak_rss_kib, [group])


class SummaryTest(unittest.TestCase):
    def test_commands_are_joined_by_the_geometric_mean(self):
        servers = [measurement("ours", 0, [100, 400]), measurement("base", 0, [100, 100])]
        throughput = summary.overall(servers, "ours", "base")["throughput"]
        self.assertAlmostEqual(throughput.value, 200)
        self.assertAlmostEqual(throughput.ratio, 2)

    def test_ratio_is_the_median_of_the_rounds_ratios(self):
        # The machine is ten times slower in the last round: the medians' ratio would be 4.
        ours, base = [200, 800, 30], [100, 200, 10]
        servers = [measurement("ours", i, [speed]) for i, speed in enumerate(ours)]
        servers += [measurement("base", i, [speed]) for i, speed in enumerate(base)]
        figure = summary.by_group(servers, "ours", "base", summary.requests_per_second)[0]
        self.assertAlmostEqual(figure.value, 200)
        self.assertAlmostEqual(figure.ratio, 3)
        self.assertAlmostEqual(figure.spread, 1)

    def test_cpu_seconds_are_per_million_requests(self):
        servers = [measurement("base", 0, [100, 100], cpu_seconds=0.004)]
        self.assertAlmostEqual(summary.overall(servers, "base", "base")["cpu"].value, 2)

    def test_peak_rss_in_mib(self):
        servers = [
            measurement("ours", 0, [1], peak_rss_kib=3072),
            measurement("base", 0, [1], peak_rss_kib=2048),
        ]
        self.assertEqual(summary.overall(servers, "ours", "base")["peak_rss"].value, 3)
        self.assertEqual(summary.overall(servers, "ours", "base")["peak_rss"].ratio, 1.5)


class ChoiceTest(unittest.TestCase):
    PEERS = [allocators.Allocator(name, "", None) for name in ("glibc", "jemalloc", "mimalloc")]

    def choose(self, wanted):
        with mock.patch.object(allocators, "peers", lambda: self.PEERS):
            chosen = comparison._choose(wanted, allocators.own("/a/libspanmalloc.so"))
        return [allocator.name for allocator in chosen]

    def test_ours_and_the_baseline_are_always_there(self):
        self.assertEqual(self.choose(None), ["spanmalloc", "glibc", "jemalloc", "mimalloc"])
        self.assertEqual(self.choose("mimalloc"), ["spanmalloc", "glibc", "mimalloc"])
        self.assertEqual(self.choose("spanmalloc,glibc"), ["spanmalloc", "glibc"])

    def test_unknown_names(self):
        with self.assertRaisesRegex(ValueError, "no hoard among spanmalloc, glibc"):
            self.choose("glibc,hoard")


class ReportTest(unittest.TestCase):
    NAMES = ["spanmalloc", "glibc", "jemalloc", "mimalloc", "tcmalloc"]

    def print(self, foreign_cpu_share):
        servers = [
            measurement(name, number, [654_321.0 * (number + 1), 98_765.0], 0.02, 4_000_000)
            for number in range(2)
            for name in self.NAMES
        ]
        conditions = {
            "cpus": 2,
            "cpu": "CPU",
            "kernel": "6.1",
            "transparent_hugepage": "madvise",
            "foreign_cpu_share": foreign_cpu_share,
        }
        output = io.StringIO()
        report.print_comparison(Console(file=output, width=100), conditions, servers, self.NAMES)
        return output.getvalue()

    def test_nothing_is_cut_at_100_columns(self):
        text = self.print(0.0)
        self.assertNotIn("\u2026", text)  # rich's ellipsis
        for name in self.NAMES:
            self.assertIn(name, text)
        self.assertIn("3906.2", text)  # the peak RSS in MiB

    def test_a_busy_machine_is_told(self):
        self.assertIn("Other processes took 30%", self.print(0.3))
        self.assertNotIn("Other processes", self.print(0.01))


class ForeignLoadTest(unittest.TestCase):
    def test_own_work_is_not_foreign(self):
        # 10 s on 2 CPUs: 8 s busy, of which 6 s were our own and our children's.
        busy, own, clock = iter([100.0, 108.0]), iter([1.0, 7.0]), iter([50.0, 60.0])
        with mock.patch.object(machine, "_busy_seconds", lambda: next(busy)), mock.patch.object(
            machine, "_own_seconds", lambda: next(own)
        ), mock.patch("time.monotonic", lambda: next(clock)), mock.patch("os.cpu_count", lambda: 2):
            load = machine.ForeignLoad()
            self.assertAlmostEqual(load.share(), 0.1)


class AllocatorCheckTest(unittest.TestCase):
    LIBRARY = os.path.realpath("/proc/self/exe")

    def check(self, answers_mallctl, allocated, library=LIBRARY):
        server = mock.Mock(pid=os.getpid())
        server.info.return_value = {"allocator_allocated": str(allocated), "used_memory": "1000000"}
        allocators.check(allocators.Allocator("name", library, answers_mallctl), server)

    def test_who_serves_malloc(self):
        self.check(True, 1_100_000)
        self.check(False, 28_672)
        self.check(None, 28_672)
        with self.assertRaisesRegex(allocators.WrongAllocator, "by the linked jemalloc"):
            self.check(False, 1_100_000)
        with self.assertRaisesRegex(allocators.WrongAllocator, "not served by its library"):
            self.check(True, 28_672)

    def test_library_must_be_mapped(self):
        with self.assertRaisesRegex(allocators.WrongAllocator, "has not mapped /etc"):
            self.check(None, 0, "/etc/passwd")


class StandInTest(unittest.TestCase):
    """Puts scripts in the place of redis."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        path = f"{self.folder}:{os.environ['PATH']}"
        temporary = os.path.join(self.folder, "tmp")
        os.mkdir(temporary)
        patches = (
            mock.patch.dict(os.environ, PATH=path),
            mock.patch.object(tempfile, "tempdir", temporary),
        )
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)

    def stand_in(self, name, script):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)

    def test_crash_of_the_server_shows_our_report(self):
        report = "spanmalloc: double free: pointer 0x1000, expected a live object"
        script = f"echo noise; echo '{report}' >&2; ulimit -c 0; kill -ABRT $$"
        self.stand_in("redis-server", script)
        with self.assertRaises(ServerFailed) as caught:
            with RedisServer(""):
                self.fail("the server can't have started")
        message = str(caught.exception)
        self.assertIn(report, message)
        self.assertIn("signal 6", message)
        self.assertNotIn("noise", message)
        self.assertEqual(os.listdir(os.path.join(self.folder, "tmp")), [])

    def test_results_of_redis_benchmark(self):
        self.stand_in(
            "redis-benchmark",
            'echo "$@" >"$(dirname "$0")/arguments"\n'
            "echo '\"test\",\"rps\",\"avg_latency_ms\",\"p99_latency_ms\"'\n"
            "echo '\"SET\",\"1000.50\",\"0.1\",\"0.9\"'\n"
            "echo '\"GET\",\"2000.00\",\"0.1\",\"0.8\"'\n",
        )
        step = workload.Step("set,get", 1000, 64, 16, 500)
        results = workload.run_step(step, mock.Mock(port=4711), 0.5)
        self.assertEqual(
            results,
            [
                workload.CommandResult("SET", 500, 1000.5, 0.9),
                workload.CommandResult("GET", 500, 2000.0, 0.8),
            ],
        )
        with open(os.path.join(self.folder, "arguments"), encoding="utf-8") as file:
            arguments = file.read().split()
        for option, value in (("-p", "4711"), ("-n", "500"), ("-d", "64"), ("-P", "16")):
            self.assertEqual(arguments[arguments.index(option) + 1], value)

    def test_missing_results_are_a_failure(self):
        self.stand_in("redis-benchmark", "echo 'test,rps,p99_latency_ms'; echo 'SET,1,1'")
        server = mock.Mock(port=1)
        server.failure.side_effect = ServerFailed
        with self.assertRaises(ServerFailed):
            workload.run_step(workload.Step("set,get", 10, 64, 1, 10), server, 1)


if __name__ == "__main__":
    unittest.main()
