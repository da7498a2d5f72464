# SPDX-License-Identifier: Apache-2.0
"""libspanmalloc.a and libspanmalloc.so with plain compilers: static, -lspanmalloc, late dlopen.

That a program runs on the library and not on libc's malloc shows three ways: it calls free_sized,
which Debian 12's libc lacks; a static one holds no function of glibc's malloc.o; a dynamic one
finds malloc in libspanmalloc.so.
"""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ARCHIVE = os.path.abspath("libspanmalloc.a")
LIBRARY = os.path.abspath("libspanmalloc.so")
C_PROGRAM = os.path.abspath("tests/install/program.c")
CXX_PROGRAM = os.path.abspath("tests/install/program.cc")

# Two compilers, two linkers, both languages.
C_COMPILERS = (["gcc", "-O2"], ["clang-19", "-O2", "-fuse-ld=lld-19"])
CXX_COMPILERS = (["g++", "-O2"], ["clang++-19", "-O2", "-fuse-ld=lld-19"])
BUILDS = [(compiler, C_PROGRAM) for compiler in C_COMPILERS] + [
    (compiler, CXX_PROGRAM) for compiler in CXX_COMPILERS]

# The heart of glibc's malloc.o, of which no caller outside that file exists.
GLIBC_MALLOC = "_int_malloc"

LATE_DLOPEN = """
import ctypes, sys, threading
results = []

def use():
    for size in range(1, 200000, 997):
        block = library.malloc(size)
        ctypes.memset(block, 1, size)
        results.append(library.malloc_usable_size(block) >= size)
        library.free(block)

def use_when_loaded():
    loaded.wait()
    use()

loaded = threading.Event()
early = threading.Thread(target=use_when_loaded)  # older than the library
early.start()
library = ctypes.CDLL(sys.argv[1])
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = library.malloc_usable_size.argtypes = [ctypes.c_size_t]
library.malloc_usable_size.restype = ctypes.c_size_t
library.free.argtypes = [ctypes.c_void_p]
library.free.restype = None
loaded.set()
use()
late = threading.Thread(target=use)
late.start()
early.join()
late.join()
print("ok" if len(results) > 600 and all(results) else "wrong")
"""


def run(command, **environment):
    """The standard output of a command that must succeed, or its complaint and a failure."""
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


class LinkTest(unittest.TestCase):
    """Each test builds in a folder of its own, in which only what it installs is found."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = os.path.join(self.folder, "program")

    def install(self, path):
        shutil.copy(path, self.folder)

    def link(self, compiler, source, *options):
        run([*compiler, "-o", self.program, source, f"-L{self.folder}", *options])

    def symbols(self):
        """Maps the names the program defines to their addresses."""
        rows = [line.split() for line in run(["nm", "--defined-only", self.program]).splitlines()]
        return {row[2]: int(row[0], 16) for row in rows}

    def malloc_binding(self):
        """The name of the file in which libc, loaded with the program, finds malloc."""
        text = run([self.program], LD_DEBUG="bindings")
        found = set(re.findall(r"binding file \S*libc\.so\.6 \[0\] to (\S+) .*`malloc'", text))
        self.assertEqual(len(found), 1, found)
        return os.path.basename(found.pop())

    def test_static_programs(self):
        self.install(ARCHIVE)
        for compiler, source in BUILDS:
            with self.subTest(compiler=compiler[0]):
                self.link(compiler, source, "-static", "-lspanmalloc")
                symbols = self.symbols()
                self.assertNotIn(GLIBC_MALLOC, symbols)
                self.assertEqual(symbols["malloc"], symbols["__libc_malloc"])
                self.assertEqual(run([self.program]), "ok\n")

    def test_static_program_without_the_archive_holds_glibc_malloc(self):
        source = os.path.join(self.folder, "empty.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("int main(void) { return 0; }\n")
        self.link(C_COMPILERS[0], source, "-static")
        self.assertIn(GLIBC_MALLOC, self.symbols())

    def test_static_position_independent_program(self):
        self.install(ARCHIVE)
        self.link(C_COMPILERS[0], C_PROGRAM, "-static-pie", "-fPIE", "-lspanmalloc")
        self.assertNotIn(GLIBC_MALLOC, self.symbols())
        self.assertEqual(run([self.program]), "ok\n")

    def test_dynamic_programs_with_the_archive_inside(self):
        self.install(ARCHIVE)
        for compiler, source in BUILDS:
            with self.subTest(compiler=compiler[0]):
                self.link(compiler, source, "-l:libspanmalloc.a")
                self.assertEqual(self.malloc_binding(), "program")
                self.assertEqual(run([self.program]), "ok\n")

    def test_linked_with_the_shared_library(self):
        self.install(LIBRARY)
        for compiler, source in BUILDS:
            with self.subTest(compiler=compiler[0]):
                self.link(compiler, source, "-lspanmalloc", f"-Wl,-rpath,{self.folder}")
                self.assertEqual(self.malloc_binding(), "libspanmalloc.so")
                self.assertEqual(run([self.program]), "ok\n")

    def test_loaded_late(self):
        self.assertEqual(run(["/usr/bin/python3", "-c", LATE_DLOPEN, LIBRARY]), "ok\n")


if __name__ == "__main__":
    unittest.main()
