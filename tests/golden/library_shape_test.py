# SPDX-License-Identifier: Apache-2.0
"""What a program gets with the library: what it needs, what it exports, what it hides."""

import fnmatch
import re
import subprocess
import unittest

LIBRARY = "libspanmalloc.so"
ARCHIVE = "libspanmalloc.a"

EXPORT_LIST = "tools/bazel/spanmalloc.map"


def run(*command):
    """The standard output of a command that must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def defined(*options):
    """The set of names nm finds defined."""
    rows = [line.split() for line in run("nm", "--defined-only", *options).splitlines()]
    return {row[-1].split("@")[0] for row in rows if len(row) == 3}


def export_patterns():
    """The names and patterns of the export list."""
    with open(EXPORT_LIST, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    return re.findall(r"([\w*]+);", text[text.index("global:") : text.index("local:")])


class SharedLibrary(unittest.TestCase):
    """libspanmalloc.so"""

    def test_needs_libc_alone(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", LIBRARY))
        self.assertEqual([name for name in needed if "ld-linux" not in name], ["libc.so.6"])

    def test_has_no_text_relocations(self):
        self.assertNotIn("TEXTREL", run("readelf", "-dW", LIBRARY))

    def test_requires_nothing_of_the_cxx_runtime(self):
        rows = [line.split() for line in run("nm", "-D", "-u", LIBRARY).splitlines()]
        required = [row[1] for row in rows if row[0] == "U"]
        self.assertNotEqual(required, [])
        self.assertEqual([name for name in required if "@GLIBC_" not in name], [])

    def test_exports_the_allocator_and_nothing_else(self):
        exported = defined("-D", LIBRARY)
        for name in ("malloc", "free", "calloc", "realloc", "_Znwm", "_ZdlPv", "_ZdlPvm"):
            self.assertIn(name, exported)
        patterns = export_patterns()
        self.assertNotIn("*", patterns)
        matches = lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        self.assertEqual([name for name in sorted(exported) if not matches(name)], [])


class StaticArchive(unittest.TestCase):
    """libspanmalloc.a"""

    def test_has_the_same_global_names_as_the_shared_library(self):
        self.assertEqual(defined("-g", ARCHIVE), defined("-D", LIBRARY))
