# SPDX-License-Identifier: Apache-2.0
"""docs/options.md, docs/mallctl.md and docs/mallctl.schema.json are what the tables say; tools/generate_docs/update.sh
writes them."""

import subprocess
import sys
import unittest


class GeneratedDocsTest(unittest.TestCase):
    """Arguments: the generator, then the pages it makes, in the order of their names here."""

    def check(self, page, path):
        made = subprocess.run([sys.argv[1], page], check=True, capture_output=True, text=True)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), made.stdout, "call tools/generate_docs/update.sh")

    def test_options(self):
        self.check("options", sys.argv[2])

    def test_mallctl(self):
        self.check("mallctl", sys.argv[3])

    def test_schema(self):
        self.check("schema", sys.argv[4])
