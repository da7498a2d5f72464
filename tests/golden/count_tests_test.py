# SPDX-License-Identifier: Apache-2.0
"""tools/bazel/count_tests.py, whose last line is what continuous integration believes."""

import contextlib
import io
import json
import os
import sys
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, "tools/bazel")
import count_tests  # pylint: disable=wrong-import-position

GTEST = """<testsuites><testsuite>
<testcase name="Pass" status="run" result="completed"/>
<testcase name="Fail" status="run" result="completed"><failure message="1 != 2"/></testcase>
<testcase name="Skip" status="run" result="skipped"><skipped message=""/></testcase>
<testcase name="DISABLED_Later" status="notrun" result="suppressed"/>
</testsuite></testsuites>"""

PASSED = '<testsuites><testsuite><testcase name="all"/></testsuite></testsuites>'

UNBUILT = json.dumps({"id": {"targetCompleted": {"label": "//a"}}, "completed": {}})


def result_event(label, status, uri=None, **key):
    """A line of the build events that reports one test run."""
    outputs = [{"name": "test.log", "uri": "file:///log"}]
    if uri:
        outputs.append({"name": "test.xml", "uri": uri})
    return json.dumps(
        {
            "id": {"testResult": {"label": label, **key}},
            "testResult": {"status": status, "testActionOutput": outputs},
        }
    )


class CountTests(unittest.TestCase):
    """Cases of a file, cases of a target, targets of a run."""

    def test_counts_cases_by_outcome(self):
        self.assertEqual(count_tests.count_cases(ET.fromstring(GTEST)), (1, 1, 2))

    def test_names_failed_cases_with_the_reason(self):
        self.assertEqual(list(count_tests.failed_cases(ET.fromstring(GTEST))), ["Fail: 1 != 2"])

    def test_a_failed_target_without_a_failed_case_is_one_failure(self):
        passed = count_tests.parse(PASSED)
        self.assertEqual(count_tests.count_target("FAILED", passed), (1, 1, 0))
        cut_short = count_tests.parse("<testsuites><tests")
        self.assertEqual(count_tests.count_target("TIMEOUT", cut_short), (0, 1, 0))

    def test_a_passed_target_without_cases_is_one_pass(self):
        self.assertEqual(count_tests.count_target("PASSED", count_tests.parse("")), (1, 0, 0))

    def test_shards_add_up_and_attempts_replace_each_other(self):
        events = [
            result_event("//a", "FAILED", "file:///one%20name", shard=1, attempt=1),
            result_event("//a", "PASSED", "file:///two", shard=1, attempt=2),
            result_event("//a", "PASSED", "file:///three", shard=2),
        ]
        self.assertEqual(
            [run[:3] for run in count_tests.read_events(events)],
            [("//a", "PASSED", "/two"), ("//a", "PASSED", "/three")],
        )

    def test_a_target_that_does_not_build_is_reported(self):
        self.assertEqual(
            [run[:3] for run in count_tests.read_events([UNBUILT])],
            [("//a", "FAILED_TO_BUILD", None)],
        )


class SummaryTest(unittest.TestCase):
    """What is printed about whole runs, and the exit status."""

    def summarize(self, *runs):
        """Runs main on (config, bazel status, events); returns its status and last line."""
        arguments = []
        for number, (config, status, events) in enumerate(runs):
            path = os.path.join(os.environ["TEST_TMPDIR"], f"{number}.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(events))
            arguments += [config, str(status), path]
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = count_tests.main(arguments)
        return status, output.getvalue().splitlines()

    def test_all_runs_count(self):
        status, lines = self.summarize(
            ("opt", 0, [result_event("//a", "PASSED"), result_event("//b", "PASSED")]),
            ("asan", 3, [result_event("//a", "FAILED")]),
        )
        self.assertEqual((status, lines[-1]), (1, "2 passed, 1 failed"))
        self.assertEqual(lines[-2], "FAILED asan //a before any test case")

    def test_a_run_without_tests_fails_only_if_nothing_else_ran(self):
        passing = ("opt", 0, [result_event("//a", "PASSED")])
        nothing = ("asan", 4, [])
        self.assertEqual(self.summarize(passing, nothing)[0], 0)
        status, lines = self.summarize(nothing)
        self.assertEqual((status, lines[-1]), (1, "0 passed, 0 failed"))

    def test_bazel_failing_otherwise_is_a_failure(self):
        status, lines = self.summarize(("opt", 1, [result_event("//a", "PASSED")]))
        self.assertEqual((status, lines[-1]), (1, "1 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
