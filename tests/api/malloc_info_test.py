# SPDX-License-Identifier: Apache-2.0
"""glibc's interface under the preloaded library: malloc_info's XML as its readers take it apart,
and the environment variables of glibc's that mean something."""

import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ET

# Runs preloaded; prints the XML and, behind it, the numbers of mallinfo2 before that.
PROGRAM = """
import ctypes, sys
lib = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
                .split()]
lib.mallinfo2.restype = Info
lib.fdopen.restype = ctypes.c_void_p
ballast = [bytearray(n * 10) for n in range(2000)] + [bytearray(3 << 20)]
del ballast[::3]
stream = ctypes.c_void_p(lib.fdopen(1, b"w"))
lib.fprintf(stream, b" ")
info = lib.mallinfo2()
assert lib.malloc_info(0, stream) == 0
lib.fflush(stream)
sys.stderr.write(" ".join(str(getattr(info, name)) for name, _ in Info._fields_))
"""

OPTIONS = """
import ctypes
lib = ctypes.CDLL(None)
def read(name, kind):
    value = kind()
    length = ctypes.c_size_t(ctypes.sizeof(value))
    assert lib.mallctl(name, ctypes.byref(value), ctypes.byref(length), None,
                       ctypes.c_size_t(0)) == 0
    return value.value
lib.malloc.restype = ctypes.c_void_p
block = lib.malloc(ctypes.c_size_t(1000))
print(read(b"opt.dirty_limit", ctypes.c_size_t), read(b"opt.dirty_decay_ms", ctypes.c_ssize_t),
      read(b"opt.perturb", ctypes.c_uint), ctypes.string_at(block, 1000).count(b"\\xa5"))
"""


def run(program, **env):
    """The outputs of a preloaded interpreter."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True,
                          text=True,
                          env={**os.environ, "LD_PRELOAD": os.path.abspath(sys.argv[1]), **env})


class MallocInfoTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        made = run(PROGRAM)
        cls.root = ET.fromstring(made.stdout.strip())
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        cls.info = dict(zip(names.split(), map(int, made.stderr.split())))

    def total(self, parent, kind):
        return parent.find(f"total[@type='{kind}']")

    def test_structure(self):
        self.assertEqual((self.root.tag, self.root.get("version")), ("malloc", "1"))
        self.assertEqual([child.tag for child in self.root],
                         ["heap", "total", "total", "total", "system", "system", "aspace",
                          "aspace"])
        self.assertEqual([child.get("type") for child in self.root][1:],
                         ["fast", "rest", "mmap", "current", "max", "total", "mprotect"])
        heap = self.root.find("heap")
        self.assertEqual(heap.get("nr"), "0")
        self.assertEqual([(child.tag, child.get("type")) for child in heap],
                         [("sizes", None), ("total", "fast"), ("total", "rest"),
                          ("system", "current"), ("system", "max"), ("aspace", "total"),
                          ("aspace", "mprotect")])

    def test_sizes_follow_each_other(self):
        below = 0
        for size in self.root.find("heap").find("sizes"):
            first, last = int(size.get("from")), int(size.get("to"))
            self.assertGreater(first, below)
            self.assertGreaterEqual(last, first)
            self.assertEqual(int(size.get("total")), last * int(size.get("count")))
            below = last
        self.assertGreater(below, 0)

    def test_totals_are_those_of_mallinfo(self):
        free = sum(int(self.total(self.root, kind).get("size")) for kind in ("fast", "rest"))
        self.assertEqual(free, self.info["fordblks"])
        self.assertEqual(int(self.total(self.root, "fast").get("count")), self.info["smblks"])
        self.assertEqual(int(self.total(self.root, "fast").get("size")), self.info["fsmblks"])
        self.assertEqual(int(self.total(self.root, "mmap").get("count")), self.info["hblks"])
        self.assertEqual(int(self.total(self.root, "mmap").get("size")), self.info["hblkhd"])
        current = int(self.root.find("system[@type='current']").get("size"))
        self.assertEqual(current, self.info["arena"])
        self.assertLessEqual(current, int(self.root.find("system[@type='max']").get("size")))

    def test_counts_are_those_of_the_sizes(self):
        heap = self.root.find("heap")
        count = sum(int(size.get("count")) for size in heap.find("sizes"))
        self.assertEqual(count, sum(int(self.total(heap, kind).get("count"))
                                    for kind in ("fast", "rest")))


class EnvironmentTest(unittest.TestCase):

    def options(self, **env):
        return list(map(int, run(OPTIONS, **env).stdout.split()))[:3]

    def test_nothing_set(self):
        self.assertEqual(self.options(), [0, 2000, 0])

    def test_trim_threshold(self):
        self.assertEqual(self.options(MALLOC_TRIM_THRESHOLD_="33554432"), [32 << 20, 2000, 0])
        self.assertEqual(self.options(MALLOC_TRIM_THRESHOLD_="131072"), [4 << 20, 2000, 0])
        self.assertEqual(self.options(MALLOC_TRIM_THRESHOLD_="-1"), [0, -1, 0])
        self.assertEqual(self.options(MALLOC_TRIM_THRESHOLD_=""), [0, 2000, 0])

    def test_own_options_are_stronger(self):
        self.assertEqual(self.options(MALLOC_TRIM_THRESHOLD_="33554432",
                                      SPANMALLOC_CONF="dirty_limit:8388608"), [8 << 20, 2000, 0])

    def test_perturb(self):
        made = run(OPTIONS, MALLOC_PERTURB_="90").stdout.split()
        self.assertEqual(made, ["0", "2000", "90", "1000"])
        made = run(OPTIONS, SPANMALLOC_CONF="perturb:90").stdout.split()
        self.assertEqual(made, ["0", "2000", "90", "1000"])

    def test_arena_max_changes_nothing(self):
        self.assertEqual(self.options(MALLOC_ARENA_MAX="2"), [0, 2000, 0])
