# SPDX-License-Identifier: Apache-2.0
"""The checks of support.py must fail when they should: each case is one way to be wrong."""

import itertools
import pathlib

import support

SHELL = "/bin/sh"


class ReplacementTest(support.LinkedProgramTest):
    programs = ("redis-check-rdb",)

    def serve(self, **variables):
        def workload(session):
            port = support.free_port()
            command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""]
            with session.server(command, port, **variables):
                return session.run(["sleep", "0.2"])

        return self.same_under_both(workload)

    def test_a_replaced_library_passes(self):
        self.assertEqual(self.serve(), b"")

    def test_a_library_that_is_not_replaced_fails(self):
        with self.assertRaisesRegex(AssertionError, "was not mapped in these programs"):
            self.serve(LD_LIBRARY_PATH="")

    def test_a_library_that_is_there_beside_ours_fails(self):
        ours = pathlib.Path(support.library()).parent / self.soname
        with self.assertRaisesRegex(AssertionError, "was not replaced"):
            self.serve(LD_PRELOAD=f"{support.system_library(self.soname)}:{ours}")


class SupportTest(support.ProgramTest):
    programs = ("sleep",)

    def expect_failure(self, workload, message):
        with self.assertRaisesRegex(AssertionError, message):
            self.same_under_both(workload)

    def test_equal_runs_pass(self):
        def workload(session):
            return session.run(["sleep", "0.2"])

        self.assertEqual(self.same_under_both(workload), b"")

    def test_different_output_fails(self):
        answers = itertools.count()

        def workload(session):
            session.run(["sleep", "0.2"])
            return next(answers)

        self.expect_failure(workload, "differs from its other run")

    def test_exit_status_fails(self):
        self.expect_failure(lambda session: session.run([SHELL, "-c", "exit 3"]), "3 != 0")

    def test_death_by_signal_fails(self):
        self.expect_failure(lambda session: session.run([SHELL, "-c", "kill -ABRT $$"]), "-6 != 0")

    def test_report_on_stderr_fails(self):
        script = "echo 'spanmalloc: double free: pointer 0x10' >&2"
        self.expect_failure(lambda session: session.run([SHELL, "-c", script]), "double free")

    def test_library_that_cannot_be_preloaded_fails(self):
        def workload(session):
            return session.run(["sleep", "0.2"], LD_PRELOAD="/nonexistent/lib.so")

        self.expect_failure(workload, "ERROR: ld.so")

    def test_library_that_is_not_mapped_fails(self):
        def workload(session):
            return session.run(["sleep", "0.2"], LD_PRELOAD="")

        self.expect_failure(workload, "was not mapped in these programs")
