# SPDX-License-Identifier: Apache-2.0
"""stress-ng: its malloc stressor, whose --verify reads back what it wrote into every block."""

import re

import support


class StressNgTest(support.ProgramTest):
    programs = ("stress-ng",)

    def stress(self, operations, *options):
        def workload(session):
            command = ["stress-ng", "--malloc", "2", "--malloc-ops", operations, "--verify"]
            command += ["--seed", "11", "--metrics-brief", "--stdout", "--temp-path", "."]
            output = session.run([*command, *options]).decode()
            for sign in ("fail:", "error:", "unsuccessful"):
                self.assertNotIn(sign, output)
            self.assertIn("successful run completed", output)
            counted = re.search(r"\bmalloc\s+(\d+)", output.split("bogo ops")[-1])
            self.assertIsNotNone(counted, output)
            self.assertGreaterEqual(int(counted[1]), operations)
            return "successful"

        self.same_under_both(workload)

    def test_small_blocks(self):
        self.stress(3_000_000, "--malloc-bytes", "4k", "--malloc-max", "20000")

    def test_large_blocks_from_threads(self):
        self.stress(60_000, "--malloc-bytes", "1m", "--malloc-max", "300", "--malloc-pthreads", "3")
