# SPDX-License-Identifier: Apache-2.0
"""Options of the preloaded library: where they are read, what is said about bad ones, and what
they do to a program."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

READ = """
import ctypes, sys
lib = ctypes.CDLL(None)
def read(name, kind):
    value = kind()
    length = ctypes.c_size_t(ctypes.sizeof(value))
    error = lib.mallctl(name, ctypes.byref(value), ctypes.byref(length), None, ctypes.c_size_t(0))
    assert error == 0, (name, error)
    return value.value
"""

PROGRAM_WITH_CONF = """
#include <stddef.h>
#include <stdio.h>
const char *malloc_conf = "dirty_decay_ms:4321,thread_cache_bytes:1048576";
int mallctl(const char *, void *, size_t *, void *, size_t);
int main(void) {
  long decay = 0;
  size_t length = sizeof(decay);
  if (mallctl("opt.dirty_decay_ms", &decay, &length, NULL, 0) != 0) return 1;
  printf("%ld\\n", decay);
  return 0;
}
"""


def library():
    return os.path.abspath(sys.argv[1])


def run(code, **conf):
    """Runs Python code preloaded."""
    return subprocess.run(
        [sys.executable, "-c", READ + code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_PRELOAD": library(), "PYTHONMALLOC": "malloc", **conf},
    )


class OptionsTest(unittest.TestCase):

    def test_slab_sizes_say_how_long_spans_are(self):
        text = "1-4096:17|100-200:1|128-128:2"
        code = (
            "page = read(b'arenas.page', ctypes.c_size_t)\n"
            "spans = {}\n"
            "for i in range(read(b'arenas.nbins', ctypes.c_uint)):\n"
            "    size, span = (read(f'arenas.bin.{i}.{part}'.encode(), ctypes.c_size_t)\n"
            "                  for part in ('size', 'slab_size'))\n"
            "    count = read(f'arenas.bin.{i}.nregs'.encode(), ctypes.c_uint32)\n"
            "    assert count == (span // size if size <= 32768 else 1), (size, span, count)\n"
            "    spans[size] = span // page\n"
            "print(*(spans[size] for size in (16, 96, 112, 128, 192, 208, 4096, 65536)),\n"
            "      read(b'opt.slab_sizes', ctypes.c_char_p).decode())"
        )
        self.assertEqual(run(code, MALLOC_CONF=f"slab_sizes:{text}").stdout,
                         f"17 17 1 2 1 17 17 8 {text}\n")
        usual = run(code)
        self.assertTrue(usual.stdout.endswith(" default\n"), usual.stdout)
        bad = run(code, MALLOC_CONF="slab_sizes:1-4096:17|100")
        self.assertEqual(bad.stdout, usual.stdout)
        self.assertEqual(bad.stderr.count("\n"), 1)
        self.assertIn("bad value in option \"slab_sizes:1-4096:17|100\"", bad.stderr)

    def test_both_variables_are_read(self):
        made = run(
            "print(read(b'opt.dirty_decay_ms', ctypes.c_ssize_t),"
            " read(b'arena.0.dirty_decay_ms', ctypes.c_ssize_t),"
            " read(b'opt.thread_cache_bytes', ctypes.c_size_t))",
            MALLOC_CONF="dirty_decay_ms:11,thread_cache_bytes:22",
            SPANMALLOC_CONF="dirty_decay_ms:33",
        )
        self.assertEqual(made.stdout, "33 33 22\n")
        self.assertEqual(made.stderr, "")

    def test_a_bad_pair_is_named_and_ignored(self):
        made = run("print('ran')", SPANMALLOC_CONF="foo:bar")
        self.assertEqual(made.stdout, "ran\n")
        self.assertEqual(
            made.stderr, 'spanmalloc: unknown option "foo:bar" in SPANMALLOC_CONF (ignored)\n')

    def test_a_bad_pair_ends_the_process_if_asked_to(self):
        made = run("print('ran')", SPANMALLOC_CONF="abort_conf:true,foo:bar")
        self.assertEqual(made.stdout, "")
        self.assertEqual(made.returncode, -6)

    def test_statistics_at_exit(self):
        made = run("", SPANMALLOC_CONF="stats_print:true,stats_print_opts:bl")
        self.assertTrue(made.stderr.startswith("___ Begin jemalloc statistics ___\n"))
        self.assertTrue(made.stderr.endswith("--- End jemalloc statistics ---\n"))
        self.assertNotIn("bins:", made.stderr)
        self.assertEqual(run("").stderr, "")

    def test_statistics_every_so_many_bytes(self):
        code = """
import time
def churn():
    blocks = [bytearray(3000) for _ in range(5000)]
    large = bytearray(10 << 20)
    time.sleep(0.06)
for i in range(20):
    churn()
"""
        made = run(code, SPANMALLOC_CONF="stats_interval:100000000,stats_interval_opts:Jmdablxeg")
        dumps = made.stderr.replace("}{", "}\n{").splitlines()
        allocated = [json.loads(dump)["jemalloc"]["stats"]["allocated"] for dump in dumps]
        # 25 MB at a time, 500 in all; blocks that pass through the thread's cache twice count once.
        self.assertGreaterEqual(len(allocated), 2)
        self.assertLessEqual(len(allocated), 6)
        self.assertEqual(run(code).stderr, "")

    def test_without_thread_caches(self):
        made = run("print(read(b'spanmalloc.threads', ctypes.c_size_t))",
                   SPANMALLOC_CONF="tcache:false")
        self.assertEqual((made.stdout, made.stderr), ("0\n", ""))

    def test_decay(self):
        code = """
import time
def churn():
    for i in range(200):
        blocks = [bytearray(1000) for _ in range(20000)]
        del blocks
        time.sleep(0.001)
churn()
print(read(b'stats.arenas.0.dirty_purged', ctypes.c_uint64))
"""
        self.assertEqual(run(code, SPANMALLOC_CONF="dirty_decay_ms:-1").stdout, "0\n")
        self.assertGreater(int(run(code, SPANMALLOC_CONF="dirty_decay_ms:0").stdout), 0)

    def test_infallible_new(self):
        fail = "lib._Znwm.restype = ctypes.c_void_p; print(lib._Znwm(ctypes.c_size_t(1 << 62)))"
        option = {"MALLOC_CONF": "experimental_infallible_new:true"}
        made = run(fail, **option)
        self.assertEqual(made.returncode, -6, made.stderr)
        self.assertRegex(made.stderr, "^<jemalloc>: Allocation of size 4611686018427387904 failed")
        hook = """
Hook = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
hook = Hook(lambda line: print(line.decode().split(" failed")[0]))
pointer = ctypes.cast(hook, ctypes.c_void_p)
assert lib.mallctl(b"experimental.hooks.safety_check_abort", None, None, ctypes.byref(pointer),
                   ctypes.c_size_t(8)) == 0
"""
        made = run(hook + fail, **option)
        self.assertEqual(made.stdout.split("\n")[:2],
                         ["<jemalloc>: Allocation of size 4611686018427387904", "None"], made.stderr)

    def test_realloc_to_zero(self):
        code = """
for f in (lib.malloc, lib.realloc):
    f.restype = ctypes.c_void_p
block = lib.malloc(ctypes.c_size_t(100))
moved = lib.realloc(ctypes.c_void_p(block), ctypes.c_size_t(0))
print(moved is not None, read(b'stats.zero_reallocs', ctypes.c_size_t))
"""
        self.assertEqual(run(code).stdout, "False 1\n")
        self.assertEqual(run(code, SPANMALLOC_CONF="zero_realloc:alloc").stdout, "True 1\n")
        made = run(code, SPANMALLOC_CONF="zero_realloc:abort")
        self.assertEqual(made.returncode, -6)
        self.assertIn("spanmalloc: realloc to size 0", made.stderr)

    def test_the_programs_own_symbol(self):
        with tempfile.TemporaryDirectory() as folder:
            source, program = os.path.join(folder, "own.c"), os.path.join(folder, "own")
            with open(source, "w", encoding="utf-8") as file:
                file.write(PROGRAM_WITH_CONF)
            subprocess.run(["clang-19", source, "-o", program, library(),
                            "-Wl,-rpath," + os.path.dirname(library())], check=True)
            made = subprocess.run([program], capture_output=True, text=True, check=True)
        self.assertEqual((made.stdout, made.stderr), ("4321\n", ""))
