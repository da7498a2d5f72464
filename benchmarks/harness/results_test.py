# SPDX-License-Identifier: Apache-2.0
"""Tests of what is made of samples: means, ratios, tables, charts, on known figures."""

import io
import os
import sys
import tempfile
import unittest
from unittest import mock

from rich.console import Console

import instructions
import micro
import report
import targets
import timelines
import traces
from libraries import Library
from rows import SCALING
from samples import Sample, Writer, read
from summary import Summary

_GLIBC = Library("glibc", None)


def _sample(row, library, round_number, wall_s, group="single", rss_kib=1000, metrics=None):
    return Sample(row, group, library, round_number, wall_s, wall_s / 2, wall_s / 2, rss_kib, 1, 0,
                  "hash", metrics or {})


def _printed(table):
    """A table's text."""
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    return text.getvalue()


class SamplesTest(unittest.TestCase):

    def test_what_is_written_is_read(self):
        samples = [_sample("row", "a", 0, 1.25, metrics={"rss_mib": 3.5}),
                   _sample("row", "b", 1, 2.5)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "samples.csv")
            writer = Writer(path)
            for sample in samples:
                writer.append(sample)
            writer.close()
            self.assertEqual(read(path), samples)


class SummaryTest(unittest.TestCase):

    def test_ratio_is_the_median_of_the_ratios_of_the_rounds(self):
        times = {"a": [1, 10, 2], "b": [2, 10, 8]}
        summary = Summary([_sample("row", library, number, time)
                           for library, of_library in times.items()
                           for number, time in enumerate(of_library)], "a")
        # Ratios 2, 1, 4; the ratio of the medians would be 8 / 2.
        self.assertEqual(summary.ratio("row", "b", "wall"), 2)
        self.assertEqual(summary.figure("row", "b", "wall"), 8)
        self.assertEqual(summary.ratio_to_best("row", "b", "wall"), 4)

    def test_least_cpu_time_is_that_of_the_round_that_nothing_disturbed(self):
        times = {"a": [2, 9, 9], "b": [3, 3, 8]}
        summary = Summary([_sample("row", library, number, time)
                           for library, of_library in times.items()
                           for number, time in enumerate(of_library)], "a")
        self.assertEqual(summary.figure("row", "a", "least_cpu"), 2)
        self.assertEqual(summary.best("row", "least_cpu"), "a")
        self.assertEqual(summary.ratio_to_best("row", "b", "least_cpu"), 1.5)
        self.assertEqual(summary.best("row", "cpu"), "b")

    def test_geometric_mean_of_rows(self):
        summary = Summary([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                           _sample("two", "a", 0, 1), _sample("two", "b", 0, 8)], "a")
        self.assertAlmostEqual(summary.geometric_mean("b", "wall"), 4)
        self.assertAlmostEqual(summary.geometric_mean("a", "wall"), 1)

    def test_rows_of_the_memory_group_count_for_memory_only(self):
        summary = Summary([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                           _sample("two", "a", 0, 1, "memory", 1000),
                           _sample("two", "b", 0, 100, "memory", 4000)], "a")
        self.assertAlmostEqual(summary.geometric_mean("b", "wall"), 2)
        self.assertAlmostEqual(summary.geometric_mean("b", "rss"), 2)
        self.assertIsNone(summary.geometric_mean("b", "wall", "memory"))

    def test_row_that_one_library_did_not_finish_is_missing_from_its_means_only(self):
        summary = Summary([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                           _sample("one", "c", 0, 4), _sample("two", "a", 0, 1),
                           _sample("two", "c", 0, 16)], "a")
        self.assertEqual(summary.rows(), ["one", "two"])
        self.assertEqual(summary.missing("b"), ["two"])
        self.assertEqual(summary.missing("a"), [])
        self.assertIsNone(summary.ratio("two", "b", "wall"))
        self.assertIsNone(summary.ratio_to_best("two", "b", "wall"))
        self.assertAlmostEqual(summary.geometric_mean("b", "wall"), 2)
        self.assertAlmostEqual(summary.geometric_mean("c", "wall"), 8)

    def test_row_without_the_baseline_has_no_ratio_to_it(self):
        summary = Summary([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                           _sample("two", "b", 0, 3), _sample("two", "c", 0, 6)], "a")
        self.assertIsNone(summary.ratio("two", "b", "wall"))
        self.assertEqual(summary.ratio_to_best("two", "c", "wall"), 2)
        self.assertAlmostEqual(summary.geometric_mean("b", "wall"), 2)

    def test_unknown_baseline_is_refused(self):
        with self.assertRaises(ValueError):
            Summary([_sample("one", "a", 0, 1)], "b")


class TargetsTest(unittest.TestCase):

    def _summary(self):
        times = {"spanmalloc": (1, 1.02, 3, 1.2), "a": (2, 1, 1, 4), "b": (4, 2, 2, 1)}
        samples = [_sample(f"row{index}", library, 0, of_library[index])
                   for library, of_library in times.items() for index in range(4)]
        samples += [_sample("large", library, 0, 1, "memory", rss_kib)
                    for library, rss_kib in (("spanmalloc", 1600), ("a", 1000), ("b", 3000))]
        return Summary(samples, "a")

    def test_ratio_is_to_the_best_peer(self):
        found = targets.targets(self._summary(), "spanmalloc", "wall")
        self.assertEqual([(target.row, target.peer, target.ratio) for target in found],
                         [("row0", "a", 0.5), ("row1", "a", 1.02), ("row2", "a", 3),
                          ("row3", "b", 1.2)])

    def test_row_that_is_missing_on_one_side_has_no_target(self):
        summary = Summary([_sample("one", "spanmalloc", 0, 1), _sample("two", "a", 0, 1)], "a")
        self.assertEqual(targets.targets(summary, "spanmalloc", "wall"), [])

    def test_counts_rows_above_a_limit(self):
        summary = self._summary()
        self.assertEqual(targets.above(summary, "spanmalloc", "wall", 1.01), 3)
        self.assertEqual(targets.above(summary, "spanmalloc", "wall", 1.03), 2)
        self.assertEqual(targets.above(summary, "spanmalloc", "rss", 1.5), 1)
        self.assertEqual(targets.above(summary, "a", "rss", 1.5), 0)

    def test_library_of_this_repository_is_found_by_name(self):
        self.assertEqual(targets.default_library(["glibc", "ours"]), "ours")
        self.assertIsNone(targets.default_library(["glibc"]))


class ReportTest(unittest.TestCase):

    def _print(self, samples, ours=None):
        text = io.StringIO()
        report.print_all(Console(file=text, width=400), Summary(samples, "a"), ours)
        return text.getvalue()

    def test_failed_cell_is_shown_and_named(self):
        text = self._print([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                            _sample("two", "a", 0, 1)], "b")
        self.assertRegex(text, r"b +failed")
        self.assertIn("b did not finish: two", text)
        self.assertRegex(text, r"b +1/2")

    def test_latencies_have_a_table_and_others_do_not_get_into_it(self):
        metrics = {"malloc_p50_ns": 12, "malloc_max_ns": 3456, "free_p50_ns": 7,
                   "timer_overhead_ns": 20}
        text = self._print([_sample("latency-1", "a", 0, 1, "latency", metrics=metrics),
                            _sample("one", "a", 0, 1, metrics={"malloc_figure": 5})])
        self.assertRegex(text, r"of malloc\s+in ns:\s+latency-1\s+allocator +p50 +max")
        self.assertRegex(text, r"a +12 +3,456")
        self.assertRegex(text, r"of free\s+in ns:\s+latency-1\s+allocator +p50 *\n")
        self.assertRegex(text, r"one +malloc_figure +5.0")

    def test_scaling_is_relative_to_the_first_row(self):
        first, _, last = SCALING["mixed_many_threads"]
        text = self._print([_sample(first, "a", 0, 2), _sample(last, "a", 0, 5),
                            _sample(first, "b", 0, 2)])
        self.assertRegex(text, last + r" +2.50 \(2.50\) +- ")


class ChartsTest(unittest.TestCase):

    def test_percentiles_are_in_order(self):
        import charts  # pylint: disable=import-outside-toplevel
        names = ["malloc_max_ns", "malloc_p99_ns", "malloc_p99.99_ns", "malloc_p50_ns"]
        self.assertEqual(sorted(names, key=charts._percentile),
                         ["malloc_p50_ns", "malloc_p99_ns", "malloc_p99.99_ns", "malloc_max_ns"])

    def test_files_are_written_and_name_the_libraries(self):
        import charts  # pylint: disable=import-outside-toplevel
        metrics = {f"{function}_{name}_ns": 10 for function in ("malloc", "free")
                   for name in ("p50", "max")}
        summary = Summary([_sample("pairs", "a", 0, 2), _sample("pairs", "b", 0, 2),
                           _sample("latency-1", "b", 0, 2, "latency", metrics=metrics)], "a")
        with tempfile.TemporaryDirectory() as folder:
            paths = charts.write(summary, folder)
            paths.append(charts.write_micro({"pair": {"a": 1, "b": 500}, "other": {"b": 1}},
                                            ["a", "b"], folder))
            self.assertEqual([os.path.basename(path) for path in paths],
                             ["time.svg", "cpu.svg", "rss.svg", "latency.svg", "micro.svg"])
            for path in paths:
                with open(path, encoding="utf-8") as file:
                    self.assertIn(">b</text>", file.read())


class MicroTest(unittest.TestCase):

    def test_ratio_is_the_median_of_the_rounds_ratios_to_the_one_with_the_smallest_median(self):
        results = {("pair", "a"): [2, 2, 9], ("pair", "b"): [3, 4, 3], ("other", "a"): [1]}
        self.assertEqual(micro.ratios_to_best(results, ["a", "b"]),
                         {"pair": {"a": 1, "b": 1.5}, "other": {"a": 1}})

    def test_best_peer_is_the_best_of_the_others(self):
        results = {("pair", "ours"): [2, 2, 2], ("pair", "a"): [4, 8, 4], ("pair", "b"): [5, 5, 5],
                   ("other", "a"): [1]}
        self.assertEqual(micro.best_peers(results, ["ours", "a", "b"], "ours"),
                         {"pair": ("a", 0.5)})

    def test_target_table_shows_the_peer_the_ratio_and_the_instructions(self):
        results = {("pair", "ours"): [2], ("pair", "a"): [4]}
        text = _printed(micro.target_table(results, {("pair", "ours"): 30}, ["ours", "a"], "ours"))
        self.assertRegex(text, "pair +2.00 +a +4.00 +0.50 +30 +-")

    def test_instructions_are_the_difference_of_two_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            valgrind = os.path.join(folder, "valgrind")
            with open(valgrind, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\n[ -z "$LD_PRELOAD" ] || exit 3\n'
                           'echo "I   refs:      '
                           '$((1000000 + 28 * SPANMALLOC_BENCHMARK_ITERATIONS))" >&2\n')
            os.chmod(valgrind, 0o755)
            with mock.patch.dict(os.environ, PATH=folder + ":" + os.environ["PATH"]):
                counts, failures = instructions.count(
                    "/bin/true", ["BM_Pair/16", "BM_CrossThread"],
                    [_GLIBC, Library("bad", "/nowhere/bad.so")], 20, micro.shown_name,
                    lambda name: None)
        self.assertEqual(counts, {("Pair/16", "glibc"): 28})
        self.assertEqual(len(failures), 1)
        self.assertIn("Pair/16 under bad", failures[0])

    def test_benchmark_that_fails_under_one_library_is_a_failure_of_that_cell(self):
        with tempfile.TemporaryDirectory() as folder:
            # Fails, as a crash would, if anything is preloaded.
            program = os.path.join(folder, "program")
            with open(program, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\n[ -z "$LD_PRELOAD" ] || exit 3\n'
                           'echo \'{"benchmarks": [{"cpu_time": 1.5}]}\'\n')
            os.chmod(program, 0o755)
            results, failures = micro.measure(
                program, ["BM_Pair/16"], [_GLIBC, Library("bad", "/nowhere/bad.so")], 2, 1, 20,
                lambda name: None)
        self.assertEqual(results, {("Pair/16", "glibc"): [1.5, 1.5]})
        self.assertEqual(len(failures), 1)
        self.assertIn("Pair/16 under bad", failures[0])


class TimelinesTest(unittest.TestCase):

    @staticmethod
    def _run(library, peak, end, points=((0, 1 << 20, 2 << 20),)):
        return timelines.Run("replay-x", library, 0, {
            "live_peak_mib": 10, "live_final_mib": 5, "rss_peak_mib": peak, "rss_final_mib": end,
            "average_ratio": 1.5}, list(points))

    def test_tables_show_ratios_and_mark_the_best(self):
        out = io.StringIO()
        Console(file=out, width=200).print(
            *timelines.tables([self._run("a", 15, 20), self._run("b", 12, 30)]))
        text = out.getvalue()
        for figure in ("1.50", "1.20 *", "4.00 *", "6.00"):
            self.assertIn(figure, text)

    def test_points_are_thinned_evenly_and_the_ends_stay(self):
        points = [(ms, ms, ms) for ms in range(0, 10_000, 3)]
        kept = timelines.thinned(points)
        self.assertEqual((kept[0], kept[-1]), (points[0], points[-1]))
        self.assertLess(len(kept), 260)
        self.assertLess(max(b[0] - a[0] for a, b in zip(kept, kept[1:])), 60)
        self.assertEqual(timelines.thinned(points[:5]), points[:5])

    def test_csv_and_chart(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "memory.csv")
            timelines.write_csv(path, [self._run("a", 15, 20)])
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read().splitlines(), [
                    "row,library,round,ms,live_kib,resident_kib", "replay-x,a,0,0,1024,2048"])
            chart = timelines.write_chart([self._run("a", 15, 20)], folder)
            with open(chart, encoding="utf-8") as file:
                self.assertIn("replay-x", file.read())

    def test_only_wanted_traces_are_made(self):
        with tempfile.TemporaryDirectory() as folder:
            rows, notices = traces.rows("/nowhere", folder, folder, 1, lambda name: False, print)
            self.assertEqual((rows, notices), ([], []))
            path = os.path.join(folder, "replay-redis.trace")
            with open(path, "w", encoding="utf-8"):
                pass  # One that is there is not made again.
            rows, notices = traces.rows("/nowhere", folder, folder, 1,
                                        lambda name: name == "replay-redis", print)
            self.assertEqual(rows[0].command, ("/nowhere/replay", f"--trace={path}"))
            self.assertEqual(notices, [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
