# SPDX-License-Identifier: Apache-2.0
"""The checks of support.py must fail when they should: each case is one way to be wrong."""

import itertools

import support

SHELL = "/bin/sh"


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

        self.expect_failure(workload, "differs from its glibc run")

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
