# SPDX-License-Identifier: Apache-2.0
"""The runner tells passing, failing, dying, hanging and skipped programs apart."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import runner  # noqa: E402  (found through the path above)


class RunTest(unittest.TestCase):
    """Runs shell scripts in place of programs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def outcome(self, script, timeout=20):
        path = os.path.join(self.folder, "program")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)
        return runner.run(path, runner.environment("system", ""), timeout)

    def test_status_zero_passes(self):
        self.assertEqual(self.outcome("exit 0").verdict, "PASS")

    def test_other_status_fails_with_the_last_line(self):
        outcome = self.outcome("echo one; echo reason; exit 1")
        self.assertEqual((outcome.verdict, outcome.reason), ("FAIL", "reason"))

    def test_signal_fails_and_is_named(self):
        outcome = self.outcome("kill -SEGV $$")
        self.assertEqual(outcome.verdict, "FAIL")
        self.assertIn("SIGSEGV", outcome.reason)

    def test_status_77_is_skipped(self):
        self.assertEqual(self.outcome("echo no; exit 77").verdict, "SKIP")

    def test_hanging_fails_and_children_are_killed(self):
        outcome = self.outcome("sleep 1000 & sleep 1000", timeout=0.3)
        self.assertEqual(outcome.verdict, "FAIL")
        self.assertIn("still running", outcome.reason)
        self.assertIn("system call", outcome.reason)

    def test_threads_of_a_hanging_program_are_told(self):
        process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        lines = runner.waiting_threads(process.pid)
        self.assertEqual(len(lines), 1)
        self.assertIn(f"{process.pid} sleep: ", lines[0])

    def test_only_elf_programs_are_found(self):
        self.outcome("exit 0")
        shutil.copy(os.path.realpath("/bin/true"), os.path.join(self.folder, "true"))
        found = runner.find_programs([self.folder], "")
        self.assertEqual([os.path.basename(path) for path in found], ["true"])

    def test_library_is_preloaded_and_named(self):
        env = runner.environment("/lib/x.so", "a:b")
        self.assertEqual((env["LD_PRELOAD"], env["TEST_LIBRARY"], env["SPANMALLOC_CONF"]),
                         ("/lib/x.so", "/lib/x.so", "a:b"))
        self.assertNotIn("LD_PRELOAD", runner.environment("system", ""))

    def test_xml_has_a_case_for_each_outcome(self):
        path = os.path.join(self.folder, "test.xml")
        runner.write_xml(path, "suite", [runner.Outcome("a", "PASS", "", 1),
                                         runner.Outcome("b", "FAIL", "<why>", 1),
                                         runner.Outcome("c", "SKIP", "no", 1)])
        cases = list(ET.parse(path).getroot().iter("testcase"))
        self.assertEqual([case.get("name") for case in cases], ["a", "b", "c"])
        self.assertEqual(cases[1].find("failure").get("message"), "<why>")


if __name__ == "__main__":
    unittest.main()
