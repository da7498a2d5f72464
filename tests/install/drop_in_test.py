# SPDX-License-Identifier: Apache-2.0
"""libjemalloc.so.2 and libtcmalloc_minimal.so.4 as others know them: compared with Debian's.

That real programs run on them is for tests/programs.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

JEMALLOC = os.path.abspath("libjemalloc.so.2")
TCMALLOC = os.path.abspath("libtcmalloc_minimal.so.4")

# Exported since, by jemalloc 5.3.1, and what programs need that Debian's lacks: there the C library
# would answer for a heap that nobody uses.
NEWER_JEMALLOC = {
    "cfree", "free_aligned_sized", "free_sized", "mallinfo", "mallinfo2", "malloc_conf_2_conf_harder",
    "malloc_info", "malloc_stats", "malloc_trim", "mallopt", "pvalloc", "reallocarray",
}

# What gperftools exports and this library doesn't: replacements of mmap and sbrk, the parts that its
# own tools and tests use, and its interfaces in C++.
NOT_OFFERED = re.compile(
    r"MallocHook_InitAtFirstAllocation_HeapLeakChecker|TCMalloc|tcmalloc_sys_alloc|RunningOnValgrind|mmap|mmap64|mremap|munmap|sbrk|"
    r"_Z(?!n[wa]|d[la])"
)

CLIENT = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
int mallctl(const char*, void*, size_t*, void*, size_t);
const char* malloc_conf = "dirty_decay_ms:4321,narenas:1";
int main(void) {
  ssize_t decay = 0;
  size_t size = sizeof(decay);
  void* block = malloc(1000);
  int error = mallctl("opt.dirty_decay_ms", &decay, &size, NULL, 0);
  free(block);
  printf("%d %zd\\n", error, decay);
  return 0;
}
"""

LOADED_LATE = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
blocks = [library.malloc(size) for size in range(1, 300000, 999)]
for block in blocks:
    library.free(block)
print(len(blocks))
"""


def run(*command, **environment):
    """The standard output of a command that must succeed."""
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def exported(library):
    """The names a library exports, with their versions if they have any."""
    rows = [line.split() for line in run("nm", "-D", "--defined-only", library).splitlines()]
    return {row[2] for row in rows if len(row) == 3}


def debians(name):
    """The path of the library of this name that Debian installs."""
    return glob.glob(f"/usr/lib/*-linux-gnu/{name}")[0]


class DropInTest(unittest.TestCase):
    """The two shared libraries that bear others' names."""

    def test_jemalloc_has_every_symbol_of_debians_and_the_newer_ones(self):
        expected = exported(debians("libjemalloc.so.2"))
        self.assertEqual(len(expected), 44)
        self.assertEqual((expected | NEWER_JEMALLOC) - exported(JEMALLOC), set())

    def test_tcmalloc_has_every_symbol_of_debians_in_c(self):
        expected = exported(debians("libtcmalloc_minimal.so.4"))
        offered = {name for name in expected if not NOT_OFFERED.match(name)}
        self.assertGreater(len(offered), 80)
        self.assertEqual(offered - exported(TCMALLOC), set())

    def test_shape(self):
        for library in (JEMALLOC, TCMALLOC):
            with self.subTest(library=os.path.basename(library)):
                dynamic = run("readelf", "-dW", library)
                self.assertIn(f"soname: [{os.path.basename(library)}]", dynamic)
                self.assertEqual([name for name in exported(library) if "@" in name], [])
                segments = run("readelf", "-lW", library)
                size = int(re.search(r"^ +TLS +(?:0x\w+ +){4}0x(\w+)", segments, re.MULTILINE)[1], 16)
                self.assertLessEqual(size, 64)

    def test_loaded_late(self):
        for library in (JEMALLOC, TCMALLOC):
            output = run("/usr/bin/python3", "-c", LOADED_LATE, library)
            self.assertEqual(output, "301\n")

    def test_the_programs_malloc_conf_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(JEMALLOC, folder)
            source, program = os.path.join(folder, "client.c"), os.path.join(folder, "client")
            with open(source, "w", encoding="utf-8") as file:
                file.write(CLIENT)
            # Linked with Debian's, run with ours.
            run("gcc", "-o", program, source, debians("libjemalloc.so.2"))
            self.assertEqual(run(program, LD_LIBRARY_PATH=folder), "0 4321\n")
            bindings = run(program, LD_LIBRARY_PATH=folder, LD_DEBUG="bindings")
            self.assertIn(f"to {folder}/libjemalloc.so.2 [0]: normal symbol `mallctl'", bindings)


if __name__ == "__main__":
    unittest.main()
