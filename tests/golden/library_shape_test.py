# SPDX-License-Identifier: Apache-2.0
"""What a program gets with the library: what it needs, what it exports, what it hides."""

import fnmatch
import re
import struct
import subprocess
import unittest

LIBRARY = "libspanmalloc.so"
ARCHIVE = "libspanmalloc.a"

EXPORT_LIST = "tools/bazel/spanmalloc.map"
SMALL_PROGRAM = "tests/golden/small_program"
LAYOUT = "tools/bazel/spanmalloc.lds"

# Of the library's file, in a program that does little; a third of it is its symbols.
MAX_RESIDENT_KIB = 80


def run(*command):
    """The standard output of a command that must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def defined(*options):
    """The set of names nm finds defined."""
    rows = [line.split() for line in run("nm", "--defined-only", *options).splitlines()]
    return {row[-1].split("@")[0] for row in rows if len(row) == 3}


def without_comments(path):
    """The text of a linker's script."""
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)


def export_patterns():
    """The names and patterns of the export list."""
    text = without_comments(EXPORT_LIST)
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

    def test_has_every_name_of_the_layout_in_the_first_segments(self):
        sections = run("readelf", "-SW", LIBRARY)
        numbers = {name: number for number, name in re.findall(r"\[ *(\d+)\] (\S+)", sections)}
        symbols = [line.split() for line in run("readelf", "-sW", LIBRARY).splitlines()]
        output = re.findall(r"\.(text|rodata)\.first : \{(.*?)\}", without_comments(LAYOUT), re.DOTALL)
        self.assertEqual([section for section, _ in output], ["rodata", "text"])
        for section, text in output:
            first = numbers[f".{section}.first"]
            names = [row[7] for row in symbols if len(row) > 7 and row[6] == first]
            # Those of sections that are named after a symbol.
            for pattern in re.findall(rf"\.{section}\.(?!cst|str)([\w*]+)", text):
                self.assertTrue(fnmatch.filter(names, pattern), f".{section}.{pattern}")

    def test_the_table_for_unwinding_is_in_order(self):
        sections = run("readelf", "-SW", LIBRARY)
        offset = int(re.search(r" \.eh_frame_hdr +\w+ +\w+ +(\w+)", sections)[1], 16)
        with open(LIBRARY, "rb") as file:
            file.seek(offset)
            # Version 1, and pairs of 32-bit distances from here: of code, of its entry.
            header, _, count = struct.unpack("<4siI", file.read(12))
            self.assertEqual(header, b"\x01\x1b\x03\x3b")
            distances = [code for code, _ in struct.iter_unpack("<ii", file.read(8 * count))]
        self.assertGreater(len(distances), 500)
        self.assertEqual(distances, sorted(distances))

    def test_a_program_that_does_little_touches_the_first_segments_only(self):
        # tools/first_functions.py tells what it executes.
        output = run("env", "LD_PRELOAD=./" + LIBRARY, SMALL_PROGRAM)
        mappings = self.resident(output)
        access = ["r--", "r-x", "r--", "r-x", "r--", "r--", "rw-"]
        self.assertEqual([access for access, _ in mappings][: len(access)], access)
        kib = [kib for _, kib in mappings]
        self.assertNotIn(0, kib[:2])
        self.assertEqual(kib[2:5], [0, 0, 0])
        self.assertLessEqual(sum(kib), MAX_RESIDENT_KIB)
        # Each would map more of libc.
        calls = dict(re.findall(r"^calls of (\w+): (\d+)$", output, re.MULTILINE))
        self.assertEqual(calls, {name: "0" for name in ("clock_gettime", "memset", "strlen")})

    def resident(self, smaps):
        """(access, KiB) of the library's mappings in such a program, by address."""
        found = re.findall(r" (r[-w][-x])p .*" + LIBRARY + r"(?:\n\w+:.*)*?\nRss: +(\d+)", smaps)
        return [(access, int(kib)) for access, kib in found]


class StaticArchive(unittest.TestCase):
    """libspanmalloc.a"""

    def test_has_the_same_global_names_as_the_shared_library(self):
        # That is for libraries that stand in for gperftools'.
        self.assertEqual(defined("-g", ARCHIVE) - {"tc_version"}, defined("-D", LIBRARY))
