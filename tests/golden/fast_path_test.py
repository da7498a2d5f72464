# SPDX-License-Identifier: Apache-2.0
"""The hit paths of the shipped library are the recorded ones (see tools/check_fast_path.py)."""

import os
import sys
import unittest

sys.path.insert(0, "tools")
import check_fast_path  # pylint: disable=wrong-import-position

LIBRARY = "libspanmalloc.so"
GOLDEN = "tests/golden/fast_path.x86_64.golden"


@unittest.skipUnless(os.uname().machine == "x86_64", "the record is of x86-64")
class FastPath(unittest.TestCase):
    """One table, one comparison."""

    longMessage = False

    def test_hit_paths_are_the_recorded_ones(self):
        with open(GOLDEN, encoding="utf-8") as file:
            expected = file.read()
        found = check_fast_path.measure(LIBRARY)
        self.assertEqual(
            expected,
            found,
            f"\n\nexpected:\n{expected}\nfound:\n{found}\n"
            "If that is what you meant: tools/build && tools/check_fast_path.py --update",
        )
