# SPDX-License-Identifier: Apache-2.0
"""tools/check_includes.py: what it finds in made-up trees, and that ours has nothing to find."""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, "tools")
import check_includes  # pylint: disable=wrong-import-position

FLOORS = "tools/bazel/floors.bzl"


class IncludeOrder(unittest.TestCase):
    """Offences of one made-up file each."""

    def setUp(self):
        self.root = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write(FLOORS, open(FLOORS, encoding="utf-8").read())

    def write(self, path, text):
        """Writes a file of the made-up tree."""
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def offences(self, path, *includes):
        """The offences of a tree with one file that includes these."""
        self.write(path, "".join(f"#include {included}\n" for included in includes))
        return check_includes.check_tree(self.root)[0]

    def test_own_floor_and_floors_below_are_allowed(self):
        self.assertEqual(
            self.offences(
                "allocator/heap/span.cc",
                '"allocator/heap/span.h"',
                '"allocator/os/clock.h"',
                '"allocator/util/bitmap.h"',
                '"absl/base/attributes.h"',
                "<atomic>",
            ),
            [],
        )

    def test_a_floor_above_is_named_with_the_edge_and_the_order(self):
        (offence,) = self.offences("allocator/heap/span.h", '"allocator/cache/cache_bin.h"')
        self.assertIn("allocator/heap/span.h:1: includes allocator/cache/cache_bin.h", offence)
        self.assertIn("heap -> cache goes up", offence)
        self.assertIn("api > control > telemetry > cache > central > heap > os", offence)

    def test_the_public_header_belongs_to_the_highest_floor(self):
        self.assertEqual(self.offences("allocator/api/a.cc", "<spanmalloc/spanmalloc.h>"), [])
        self.assertEqual(len(self.offences("allocator/heap/b.cc", "<spanmalloc/spanmalloc.h>")), 1)

    def test_system_interfaces_are_for_os_alone(self):
        self.assertEqual(self.offences("allocator/os/a.cc", "<sys/mman.h>", "<unistd.h>"), [])
        self.assertEqual(len(self.offences("allocator/heap/b.cc", "<sys/mman.h>", "<unistd.h>")), 2)

    def test_nothing_includes_tests(self):
        self.assertEqual(len(self.offences("allocator/os/a.cc", '"tests/support/fake_clock.h"')), 1)

    def test_abseil_internals_are_refused(self):
        self.assertEqual(
            len(self.offences("allocator/os/a.cc", '"absl/base/internal/spinlock.h"')), 1
        )

    def test_a_path_from_the_files_own_folder_is_refused(self):
        self.assertEqual(len(self.offences("allocator/os/a.cc", '"clock.h"')), 1)

    def test_a_folder_that_is_no_floor_is_refused(self):
        self.assertEqual(len(self.offences("allocator/misc/a.h")), 1)
        self.assertEqual(len(self.offences("allocator/os/b.h", '"allocator/misc/a.h"')), 2)


class Tree(unittest.TestCase):
    """The allocator's own sources."""

    def test_includes_follow_the_floors(self):
        offences, files = check_includes.check_tree(".")
        self.assertGreater(files, 0)
        self.assertEqual(offences, [], "\n" + "\n".join(offences))
