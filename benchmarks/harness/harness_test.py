# SPDX-License-Identifier: Apache-2.0
"""Tests of the harness: its arithmetic on known figures, and that it notices what must not be."""

import os
import sys
import tempfile
import unittest

import inputs
from libraries import Library, LibraryError, check_binding, choose
from rows import Row
from runner import RunError, Runner, rotated
from samples import Sample, Writer, read
from summary import Summary

_MEASURE = os.path.abspath(sys.argv[1])
_GLIBC = Library("glibc", None)


def _sample(row, library, round_number, wall_s, group="single", rss_kib=1000, metrics=None):
    return Sample(row, group, library, round_number, wall_s, wall_s / 2, wall_s / 2, rss_kib, 1, 0,
                  "hash", metrics or {})


class SummaryTest(unittest.TestCase):

    def test_ratio_is_the_median_of_the_ratios_of_the_rounds(self):
        times = {"a": [1, 10, 2], "b": [2, 10, 8]}
        summary = Summary([_sample("row", library, number, time)
                           for library, of_library in times.items()
                           for number, time in enumerate(of_library)], "a")
        # Ratios 2, 1, 4; the ratio of the medians would be 8 / 2.
        self.assertEqual(summary.ratio("row", "b", "wall"), 2)
        self.assertEqual(summary.median("row", "b", "wall"), 8)
        self.assertEqual(summary.ratio_to_best("row", "b", "wall"), 4)

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

    def test_row_that_one_library_did_not_finish_is_left_out(self):
        summary = Summary([_sample("one", "a", 0, 1), _sample("one", "b", 0, 2),
                           _sample("two", "a", 0, 1)], "a")
        self.assertEqual(summary.rows(), ["one"])

    def test_unknown_baseline_is_refused(self):
        with self.assertRaises(ValueError):
            Summary([_sample("one", "a", 0, 1)], "b")


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


class RunnerTest(unittest.TestCase):

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self._runner = Runner(_MEASURE, scratch.name, timeout_s=20)

    def _run(self, script, library=_GLIBC):
        return self._runner.run(Row("row", "single", ("/bin/sh", "-c", script)), library, 0)

    def test_measures_time_memory_and_metrics(self):
        script = ("import time, sys; block = bytearray(64 << 20); time.sleep(0.2); "
                  "print('metric figure 7', file=sys.stderr)")
        sample = self._runner.run(
            Row("row", "single", ("/usr/bin/python3", "-S", "-c", script)), _GLIBC, 0)
        self.assertGreaterEqual(sample.wall_s, 0.2)
        self.assertGreater(sample.cpu_s, 0)
        self.assertGreater(sample.max_rss_kib, 64 << 10)
        self.assertEqual(sample.metrics, {"figure": 7})

    def test_peak_memory_is_not_that_of_the_harness(self):
        self.assertLess(self._run("exit 0").max_rss_kib, 4096)

    def test_different_output_is_an_error(self):
        self._run("echo one")
        self._run("echo one")
        with self.assertRaisesRegex(RunError, "differs"):
            self._run("echo two")

    def test_failure_and_signal_are_errors(self):
        with self.assertRaisesRegex(RunError, "ended with 3: why"):
            self._run("echo why >&2; exit 3")
        with self.assertRaisesRegex(RunError, "ended with signal 6"):
            self._run("kill -ABRT $$")

    def test_hang_is_an_error(self):
        with tempfile.TemporaryDirectory() as scratch:
            runner = Runner(_MEASURE, scratch, timeout_s=0.2)
            with self.assertRaisesRegex(RunError, "no end"):
                runner.run(Row("row", "single", ("/bin/sleep", "60")), _GLIBC, 0)

    def test_order_rotates(self):
        self.assertEqual(rotated(["a", "b", "c"], 4), ["b", "c", "a"])


class LibrariesTest(unittest.TestCase):

    def test_glibc_is_where_malloc_comes_from(self):
        check_binding(_GLIBC, "/bin/ls")

    def test_library_that_does_not_define_malloc_is_refused(self):
        path = next(f"/usr/lib/{folder}/libm.so.6" for folder in os.listdir("/usr/lib")
                    if os.path.exists(f"/usr/lib/{folder}/libm.so.6"))
        with self.assertRaisesRegex(LibraryError, "resolves to"):
            check_binding(Library("libm", path), "/bin/ls")

    def test_missing_file_and_twice_the_same_name_are_refused(self):
        with self.assertRaisesRegex(LibraryError, "no such file"):
            choose(["mine=/nowhere/libmine.so"], "/")
        with self.assertRaisesRegex(LibraryError, "same name"):
            choose(["glibc=", "glibc="], "/")


class InputsTest(unittest.TestCase):

    def test_inputs_are_the_same_each_time_and_grow_with_scale(self):
        for make in (inputs.cpp_source, inputs.sql_script, inputs.python_script,
                     inputs.perl_script):
            self.assertEqual(make(1), make(1))
            self.assertNotEqual(make(1), make(2))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
