#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asserts that each wrong program dies of SIGABRT with one line that names its fault.

    tests/misuse/misuse_test.py --library bazel-bin/libspanmalloc.so bazel-bin/tests/misuse

The line on stderr is `spanmalloc: <fault>: pointer 0x<the pointer>, expected ..., found ...`, and
the pointer is the one the program announced on stdout. TABLE says what each program must end with.
"""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "override"))
import runner  # noqa: E402  (found through the path above)

REPORT = re.compile(r"^spanmalloc: (?P<fault>[a-z ]+): pointer (?P<pointer>0x[0-9a-f]+), "
                    r"expected .+, found .+$")

# When a fault is found: at the faulty call itself, or at the latest when the object leaves the
# thread cache for its span.
IMMEDIATE = "immediate"
EVENTUAL = "eventual"

DOUBLE = "double free"
INVALID = "invalid free"
INTERIOR = "interior pointer"
MISALIGNED = "misaligned pointer"
MISMATCH = "size mismatch"
REGION = "bad region"
MARK = "bad mark"
# A freed run of pages may have been merged or unmapped: then the pointer is just not a block.
GONE = f"{DOUBLE}|{INVALID}"

# program: (the fault's name, when it is found); a fault of None must do no harm at all.
TABLE = {
    "double_free_small": (DOUBLE, EVENTUAL),
    "double_free_medium": (DOUBLE, EVENTUAL),
    "double_free_large": (GONE, IMMEDIATE),
    "double_free_huge": (GONE, IMMEDIATE),
    "double_free_separated": (DOUBLE, EVENTUAL),
    "double_free_other_thread": (DOUBLE, EVENTUAL),
    "double_free_large_other_thread": (GONE, IMMEDIATE),
    "double_free_race": (DOUBLE, EVENTUAL),
    "double_free_after_flush": (DOUBLE, EVENTUAL),
    "double_free_owner_ended": (DOUBLE, EVENTUAL),
    "double_free_in_child": (GONE, IMMEDIATE),
    "double_free_in_arena": (DOUBLE, IMMEDIATE),
    "double_free_in_bound_arena": (DOUBLE, IMMEDIATE),
    "double_free_in_bound_arena_separated": (DOUBLE, EVENTUAL),
    "double_free_in_hooked_arena": (GONE, IMMEDIATE),
    "free_after_arena_destroy": (GONE, IMMEDIATE),
    "free_large_after_arena_reset": (GONE, IMMEDIATE),
    "double_delete": (DOUBLE, EVENTUAL),
    "realloc_of_freed": (DOUBLE, EVENTUAL),
    "realloc_of_freed_large": (GONE, IMMEDIATE),
    "realloc_of_stack": (INVALID, IMMEDIATE),
    "free_stack": (INVALID, IMMEDIATE),
    "free_global": (INVALID, IMMEDIATE),
    "free_function": (INVALID, IMMEDIATE),
    "free_mmap": (INVALID, IMMEDIATE),
    "free_wild": (INVALID, IMMEDIATE),
    "free_low": (INVALID, IMMEDIATE),
    "free_beyond_heap": (INVALID, IMMEDIATE),
    "free_non_canonical": (INVALID, IMMEDIATE),
    "free_tagged": (INVALID, IMMEDIATE),
    "free_inside_small": (INTERIOR, EVENTUAL),
    "free_inside_small_in_bound_arena": (INTERIOR, IMMEDIATE),
    "free_inside_medium": (INTERIOR, EVENTUAL),
    "free_inside_large": (INTERIOR, IMMEDIATE),
    "free_inside_large_unaligned": (INTERIOR, IMMEDIATE),
    "free_inside_huge": (INTERIOR, IMMEDIATE),
    "free_inside_freed_large": (GONE, IMMEDIATE),
    "free_misaligned": (f"{MISALIGNED}|{INTERIOR}", EVENTUAL),
    "free_misaligned_large": (f"{MISALIGNED}|{INTERIOR}", IMMEDIATE),
    "sized_delete_too_small": (MISMATCH, EVENTUAL),
    "sized_delete_too_big": (MISMATCH, EVENTUAL),
    "sized_delete_large": (MISMATCH, IMMEDIATE),
    "sized_delete_small_as_large": (MISMATCH, IMMEDIATE),
    "sized_delete_large_as_small": (MISMATCH, EVENTUAL),
    "free_sized_wrong": (MISMATCH, EVENTUAL),
    "free_sized_wrong_large": (MISMATCH, IMMEDIATE),
    "free_aligned_sized_wrong": (MISMATCH, EVENTUAL),
    "region_destroyed_twice": (REGION, IMMEDIATE),
    "region_used_after_destroy": (REGION, IMMEDIATE),
    "region_null": (REGION, IMMEDIATE),
    "region_mark_of_another": (MARK, IMMEDIATE),
    "region_mark_passed": (MARK, IMMEDIATE),
    "malloc_then_delete": (None, None),
    "new_then_free": (None, None),
    "aligned_new_plain_delete": (None, None),
    "write_after_free": (None, None),
    "write_past_end": (None, None),
}
# Dies of SIGABRT as the others do, with no line because there is nowhere to write it.
MUTE = "double_free_closed_stderr"


def without_core_dump():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class MisuseTest(unittest.TestCase):
    """One test for each program of TABLE; added below."""

    library = None
    folder = None

    def run_program(self, name):
        program = os.path.join(self.folder, name)
        env = runner.environment(self.library, "")
        result = subprocess.run([program], env=env, capture_output=True, timeout=60, check=False,
                                preexec_fn=without_core_dump)
        if result.returncode == runner.SKIPPED:
            self.skipTest("the library lacks the entry point")
        return (result.returncode, result.stdout.decode().strip(),
                result.stderr.decode("utf-8", "replace").splitlines())

    def check_report(self, name, fault):
        status, pointer, lines = self.run_program(name)
        self.assertEqual(status, -signal.SIGABRT, f"exit status {status}, stderr {lines}")
        self.assertEqual(len(lines), 1, f"not one line on stderr: {lines}")
        report = REPORT.match(lines[0])
        self.assertIsNotNone(report, f"not a report: {lines[0]}")
        self.assertRegex(report["fault"], f"^({fault})$")
        self.assertEqual(report["pointer"], pointer, lines[0])

    def check_harmless(self, name):
        status, _, lines = self.run_program(name)
        self.assertEqual((status, lines), (0, []))

    def test_every_program_is_in_the_table(self):
        programs = {os.path.basename(p) for p in runner.find_programs([self.folder], "")}
        self.assertEqual(programs, set(TABLE) | {MUTE})

    def test_double_free_closed_stderr(self):
        status, _, lines = self.run_program(MUTE)
        self.assertEqual((status, lines), (-signal.SIGABRT, []))


def add_tests():
    for name, (fault, _) in TABLE.items():
        def test(self, name=name, fault=fault):
            if fault is None:
                self.check_harmless(name)
            else:
                self.check_report(name, fault)
        setattr(MisuseTest, f"test_{name}", test)


class Result(unittest.TextTestResult):
    """Keeps an outcome for each test, in the form the XML writer takes."""

    def __init__(self, *args):
        super().__init__(*args)
        self.outcomes = []
        self.started = 0

    def startTest(self, test):
        self.started = time.monotonic()
        super().startTest(test)

    def keep(self, test, verdict, reason=""):
        name = test.id().rsplit("test_", 1)[-1]
        when = TABLE.get(name, (None, None))[1]
        if verdict == "FAIL" and when is not None:
            reason = f"{reason} ({when})"
        self.outcomes.append(runner.Outcome(name, verdict, reason,
                                            time.monotonic() - self.started))
        print(f"{verdict} {name}" + (f"  {reason}" if reason else ""), flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.keep(test, "PASS")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.keep(test, "FAIL", str(err[1]).splitlines()[0])

    def addError(self, test, err):
        super().addError(test, err)
        self.keep(test, "FAIL", repr(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.keep(test, "SKIP", reason)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=os.environ.get("SPANMALLOC_SO"))
    parser.add_argument("--filter", default="", help="run the programs whose name matches")
    parser.add_argument("folder", help="the folder of the built programs")
    args = parser.parse_args()
    MisuseTest.library = runner.find_library(args.library)
    MisuseTest.folder = os.path.abspath(args.folder)
    add_tests()
    names = [n for n in unittest.defaultTestLoader.getTestCaseNames(MisuseTest)
             if re.search(args.filter, n)]
    with open(os.devnull, "w", encoding="utf-8") as quiet:
        result = Result(unittest.runner._WritelnDecorator(quiet), False, 0)
        unittest.TestSuite(MisuseTest(name) for name in names).run(result)
    if "XML_OUTPUT_FILE" in os.environ:
        runner.write_xml(os.environ["XML_OUTPUT_FILE"], "misuse", result.outcomes)
    failed = sum(o.verdict == "FAIL" for o in result.outcomes)
    skipped = sum(o.verdict == "SKIP" for o in result.outcomes)
    print(f"{len(result.outcomes) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
