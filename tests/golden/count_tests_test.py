# SPDX-License-Identifier: Apache-2.0
"""tools/bazel/count_tests.py, whose last line is what continuous integration believes."""

import json
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

    def test_a_failed_target_without_a_failed_case_is_one_failure(self):
        self.assertEqual(count_tests.count_target("FAILED", PASSED), (1, 1, 0))
        self.assertEqual(count_tests.count_target("TIMEOUT", None), (0, 1, 0))
        self.assertEqual(count_tests.count_target("FAILED", "<testsuites><tests"), (0, 1, 0))

    def test_a_passed_target_without_cases_is_one_pass(self):
        self.assertEqual(count_tests.count_target("PASSED", None), (1, 0, 0))

    def test_shards_add_up_and_attempts_replace_each_other(self):
        events = [
            result_event("//a", "FAILED", "file:///one%20name", shard=1, attempt=1),
            result_event("//a", "PASSED", "file:///two", shard=1, attempt=2),
            result_event("//a", "PASSED", "file:///three", shard=2),
        ]
        self.assertEqual(
            list(count_tests.read_events(events)),
            [("//a", "PASSED", "/two"), ("//a", "PASSED", "/three")],
        )

    def test_a_target_that_does_not_build_is_reported(self):
        event = json.dumps({"id": {"targetCompleted": {"label": "//a"}}, "completed": {}})
        self.assertEqual(
            list(count_tests.read_events([event])), [("//a", "FAILED_TO_BUILD", None)]
        )
