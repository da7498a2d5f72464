# SPDX-License-Identifier: Apache-2.0
"""Tests of the runs: what is measured, what is refused, what a failure costs."""

import importlib.util
import os
import random
import sys
import tempfile
import unittest

import benchmark
import inputs
import memcached_session
from libraries import Library, LibraryError, check_all, check_binding, choose
from rows import SCALING, Row, workload_rows
from runner import HangError, RunError, Runner, in_order_of

_MEASURE = os.path.abspath(sys.argv[1])
_GLIBC = Library("glibc", None)


def _libm():
    """A library that is none of an allocator."""
    return next(f"/usr/lib/{folder}/libm.so.6" for folder in os.listdir("/usr/lib")
                if os.path.exists(f"/usr/lib/{folder}/libm.so.6"))


class _Pieces:
    """A connection from which these pieces come."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)

    def recv(self, _):
        return self._pieces.pop(0)


class RowsTest(unittest.TestCase):

    def test_names_are_different_and_rows_that_are_compared_exist(self):
        names = [row.name for row in workload_rows("/nowhere", 1)]
        self.assertEqual(len(names), len(set(names)))
        for rows in SCALING.values():
            self.assertLessEqual(set(rows), set(names))

    def test_library_of_a_program_that_another_starts_is_that_program(self):
        start = next(row for row in workload_rows("/nowhere", 1) if row.name == "start")
        self.assertEqual(start.executable, start.command[-1])


class InputsTest(unittest.TestCase):

    def test_inputs_are_the_same_each_time_and_grow_with_scale(self):
        for make in (inputs.cpp_source, inputs.sql_script, inputs.python_script,
                     inputs.perl_script, inputs.lua_script, inputs.postscript,
                     inputs.smt_formula, inputs.json_document):
            self.assertEqual(make(1), make(1))
            self.assertNotEqual(make(1), make(2))
            self.assertLessEqual(len(make(1)), len(make(2)))


class LibrariesTest(unittest.TestCase):

    def test_glibc_is_where_malloc_comes_from(self):
        check_binding(_GLIBC, "/bin/ls")

    def test_library_that_does_not_define_malloc_is_refused(self):
        with self.assertRaisesRegex(LibraryError, "resolves to"):
            check_binding(Library("libm", _libm()), "/bin/ls")

    def test_all_checks_are_made_and_the_refusals_returned(self):
        refused = check_all([Library("libm", _libm()), _GLIBC], ["/bin/ls", "/bin/true"])
        self.assertEqual(set(refused), {("libm", "/bin/ls"), ("libm", "/bin/true")})
        self.assertIn("resolves to", refused["libm", "/bin/ls"])

    def test_a_library_may_need_environment_variables(self):
        library, = choose(["other=/bin/true,A=1,B=x=y"], "/")
        self.assertEqual(library, Library("other", "/bin/true", (("A", "1"), ("B", "x=y"))))
        with self.assertRaises(LibraryError):
            choose(["other=/bin/true,A"], "/")

    def test_missing_file_and_twice_the_same_name_are_refused(self):
        with self.assertRaisesRegex(LibraryError, "no such file"):
            choose(["mine=/nowhere/libmine.so"], "/")
        with self.assertRaisesRegex(LibraryError, "same name"):
            choose(["glibc=", "glibc="], "/")


class MemcachedSessionTest(unittest.TestCase):

    def test_requests_are_the_same_each_time_and_gets_are_counted(self):
        requests = memcached_session._requests(random.Random(1))
        self.assertEqual(requests, memcached_session._requests(random.Random(1)))
        self.assertNotEqual(requests, memcached_session._requests(random.Random(2)))
        for request, gets in requests:
            self.assertEqual(request.count(b"get key:"), gets)
            self.assertTrue(request.endswith(b"mn\r\n"))

    def test_answers_are_counted_across_pieces(self):
        memcached_session._read_answers(
            _Pieces(b"VALUE key:1 0 2\r\nxx\r\nEND\r", b"\nEND\r\nM", b"N\r\n"), 2)
        with self.assertRaisesRegex(RuntimeError, "answered 1 of 2"):
            memcached_session._read_answers(_Pieces(b"END\r\nMN\r\n"), 2)
        with self.assertRaisesRegex(RuntimeError, "closed"):
            memcached_session._read_answers(_Pieces(b"END\r\n", b""), 1)


@unittest.skipUnless(importlib.util.find_spec("matplotlib"), "needs python3-matplotlib")
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
            with self.assertRaisesRegex(HangError, "no end"):
                runner.run(Row("row", "single", ("/bin/sleep", "60")), _GLIBC, 0)

    def test_output_that_is_not_compared_may_differ(self):
        for text in ("one", "two"):
            row = Row("row", "single", ("/bin/echo", text), compared=False)
            self.assertEqual(self._runner.run(row, _GLIBC, 0).output_sha256, "")

    def test_session_that_loses_its_server_is_an_error(self):
        class Lost:
            def run(self, measured, timeout_s):
                measured(["-c", "exit 0"]).wait(timeout_s)
                raise ConnectionResetError("the server went away")

        class Silent(Lost):
            def run(self, measured, timeout_s):
                measured(["-c", "exit 0"]).wait(timeout_s)
                raise TimeoutError("no answer")

        with self.assertRaisesRegex(RunError, "went away"):
            self._runner.run(Row("row", "single", ("/bin/sh",), session=Lost()), _GLIBC, 0)
        with self.assertRaisesRegex(HangError, "no answer"):
            self._runner.run(Row("row", "single", ("/bin/sh",), session=Silent()), _GLIBC, 0)

    def test_only_whole_lines_are_metrics(self):
        sample = self._run("echo 'metric one 1.5' >&2; echo 'metric of the allocator: 7' >&2; "
                           "echo 'a metric two 2' >&2; echo 'metric p99.9_ns 1e+06' >&2")
        self.assertEqual(sample.metrics, {"one": 1.5, "p99.9_ns": 1e6})

    def test_each_library_follows_each_other(self):
        pairs = set()
        for round_number in range(100):
            order = in_order_of(["a", "b", "c"], round_number, "row")
            self.assertEqual(sorted(order), ["a", "b", "c"])
            self.assertEqual(order, in_order_of(["a", "b", "c"], round_number, "row"))
            pairs.update(zip(order, order[1:]))
        self.assertEqual(len(pairs), 6)

    def test_rows_differ_in_their_order(self):
        orders = {tuple(in_order_of(["a", "b", "c"], 0, row)) for row in "0123456789abcdef"}
        self.assertGreater(len(orders), 3)


class DriverTest(unittest.TestCase):

    def test_library_that_fails_or_hangs_loses_its_cells_only(self):
        script = ('case $1:$LD_PRELOAD in crash:?*) kill -SEGV $$;; hang:?*) sleep 60;; esac; '
                  'echo run >>"$2"')
        with tempfile.TemporaryDirectory() as folder:
            counts = {name: os.path.join(folder, name + ".count")
                      for name in ("good", "crash", "hang")}
            rows = [Row(name, "single", ("/bin/sh", "-c", script, "sh", name, counts[name]))
                    for name in counts]
            options = benchmark.parse_arguments(["--rounds=2", "--timeout=1"])
            samples, failures = self._measure(options, rows, folder)
        cells = sorted({(sample.row, sample.library) for sample in samples})
        self.assertEqual(cells, [("crash", "glibc"), ("good", "glibc"), ("good", "other"),
                                 ("hang", "glibc")])
        self.assertEqual(sum("crash under other ended with signal 11" in text
                             for text in failures), 2)
        # What hung once isn't waited for again.
        self.assertEqual(sum("hang under other: no end" in text for text in failures), 1)

    def test_refused_library_is_not_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            rows = [Row("row", "single", ("/bin/sh", "-c", "exit 0"))]
            options = benchmark.parse_arguments(["--rounds=1"])
            samples, failures = self._measure(options, rows, folder,
                                              {("other", "/bin/sh"): "it is not other"})
        self.assertEqual([sample.library for sample in samples], ["glibc"])
        self.assertEqual(failures, ["it is not other"])

    def _measure(self, options, rows, folder, refused=None):
        libraries = [_GLIBC, Library("other", _libm())]
        runner = Runner(_MEASURE, folder, options.timeout)
        return benchmark.measure_rows(options, rows, libraries, refused or {}, runner, folder)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
