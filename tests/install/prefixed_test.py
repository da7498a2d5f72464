# SPDX-License-Identifier: Apache-2.0
"""Builds with a prefix: two of them in one program, beside the C library's malloc or a preloaded
one; what they define, and that they replace nothing."""

import os
import subprocess
import tempfile
import unittest

FOLDER = os.path.abspath("tests/install")
PROGRAM = os.path.join(FOLDER, "prefixed_program.c")
ARCHIVES = [os.path.join(FOLDER, f"libspanmalloc_{name}.a") for name in ("je", "my")]
JE_LIBRARY = os.path.join(FOLDER, "libspanmalloc_je.so")
SPANMALLOC = os.path.abspath("libspanmalloc.so")

COMPILERS = (["gcc", "-O2", "-Wall", "-Werror"], ["clang-19", "-O2", "-fuse-ld=lld-19"])

# As programs are written that bring jemalloc along.
VENDORED = """
#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <string.h>
#if JEMALLOC_VERSION_MAJOR < 3
#error "too old"
#endif
const char* je_malloc_conf = "dirty_decay_ms:77";
int main(void) {
  const char* version = NULL;
  size_t size = sizeof(version);
  void* block = je_mallocx(100, MALLOCX_ALIGN(64) | MALLOCX_ZERO);
  int same = je_malloc_usable_size(block) == je_nallocx(100, MALLOCX_ALIGN(64));
  je_sdallocx(block, 100, MALLOCX_ALIGN(64));
  if (je_mallctl("version", &version, &size, NULL, 0) != 0) return 1;
  printf("%d %d\\n", same, strncmp(version, JEMALLOC_VERSION, strlen(JEMALLOC_VERSION)));
  return 0;
}
"""

LOADED_LATE = f"""
import ctypes
library = ctypes.CDLL({JE_LIBRARY!r})
library.je_malloc.restype = ctypes.c_void_p
library.je_free.argtypes = library.je_malloc_usable_size.argtypes = [ctypes.c_void_p]
blocks = [library.je_malloc(size) for size in range(1, 300000, 999)]
print(all(library.je_malloc_usable_size(block) > 0 for block in blocks))
for block in blocks:
    library.je_free(block)
"""


def run(*command, **environment):
    """The standard output of a command that must succeed."""
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def defined(*arguments):
    """The names that nm finds defined and global."""
    rows = [line.split() for line in run("nm", "--defined-only", *arguments).splitlines()]
    return {row[2] for row in rows if len(row) == 3}


class PrefixedTest(unittest.TestCase):
    """Programs are built in a folder of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.program = os.path.join(folder.name, "program")

    def build(self, compiler, *options):
        run(*compiler, "-o", self.program, f"-I{FOLDER}", PROGRAM, *options, *ARCHIVES, "-pthread")

    def test_every_name_has_the_prefix(self):
        for archive, prefix in zip(ARCHIVES, ("je_", "my_")):
            names = defined("-g", archive)
            self.assertIn(f"{prefix}malloc", names)
            self.assertIn(f"{prefix}mallctlbymib", names)
            self.assertIn(f"{prefix}malloc_conf", names)
            self.assertEqual([name for name in names if not name.startswith(prefix)], [])
        self.assertEqual(defined("-D", JE_LIBRARY), defined("-g", ARCHIVES[0]))

    def test_has_every_name_in_c_of_the_library_that_replaces_malloc(self):
        plain = {name for name in defined("-D", SPANMALLOC) if not name.startswith("_")}
        plain.add("tc_version")  # which isn't exported where it would be taken for gperftools'
        self.assertGreater(len(plain), 40)
        # The last is for libraries that stand in for gperftools'.
        self.assertEqual(defined("-g", ARCHIVES[0]),
                         {f"je_{name}" for name in plain | {"tc_version"}})

    def test_two_in_a_program_beside_malloc(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler[0]):
                self.build(compiler)
                self.assertNotIn("malloc", defined("-g", self.program))
                environment = {
                    "MALLOC_CONF": "dirty_decay_ms:9",
                    "SPANMALLOC_CONF": "dirty_decay_ms:9",
                    "MY_MALLOC_CONF": "dirty_decay_ms:2222",
                }
                self.assertEqual(run(self.program, **environment), "ok\n")
                environment["LD_PRELOAD"] = SPANMALLOC
                self.assertEqual(run(self.program, **environment), "ok\n")

    def test_two_in_a_static_program(self):
        self.build(COMPILERS[0], "-static")
        self.assertEqual(run(self.program, MY_SPANMALLOC_CONF="dirty_decay_ms:2222"), "ok\n")

    def test_a_program_that_includes_jemallocs_header(self):
        source = self.program + ".c"
        with open(source, "w", encoding="utf-8") as file:
            file.write(VENDORED)
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler[0]):
                run(*compiler, "-o", self.program, f"-I{FOLDER}/je", source, ARCHIVES[0], "-pthread")
                self.assertEqual(run(self.program), "1 0\n")

    def test_faults_name_the_source(self):
        self.build(COMPILERS[0])
        output = run(self.program, MY_MALLOC_CONF="dirty_decay_ms:2222", JE_MALLOC_CONF="nonsense")
        self.assertIn('malformed option "nonsense" in JE_MALLOC_CONF', output)

    def test_loaded_late(self):
        self.assertEqual(run("/usr/bin/python3", "-c", LOADED_LATE), "True\n")


if __name__ == "__main__":
    unittest.main()
