# SPDX-License-Identifier: Apache-2.0
"""What the loader sees of the library: it must be loadable late, early and into anything."""

import os
import re
import subprocess
import unittest

LIBRARY = os.environ.get("SPANMALLOC_SO", "libspanmalloc.so")

# glibc keeps little static thread-local storage for libraries loaded with dlopen; libraries that
# take more of it fail with "cannot allocate memory in static TLS block".
MAX_TLS_BYTES = 64

# Each costs time at every start, and the pages they are in are private ones. Nearly all of those
# there are point the empty cache's stacks at the empty stack.
MAX_RELATIVE_RELOCATIONS = 325

# What a program may rely on when the library is preloaded in the place of another malloc.
ENTRY_POINTS = """
    malloc calloc realloc reallocarray free cfree aligned_alloc memalign posix_memalign valloc
    pvalloc malloc_usable_size free_sized free_aligned_sized
    __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_memalign __libc_valloc
    __libc_pvalloc __posix_memalign
    mallinfo mallinfo2 malloc_info malloc_stats malloc_trim mallopt
    _Znwm _Znam _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t
    _ZnwmSt11align_val_t _ZnamSt11align_val_t
    _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t
    _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t
    _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t
    _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t
""".split()


def readelf(*options):
    """The lines readelf prints about the library."""
    result = subprocess.run(["readelf", "-W", *options, LIBRARY], check=True,
                            stdout=subprocess.PIPE, text=True)
    return result.stdout.splitlines()


class LoadingTest(unittest.TestCase):
    """Facts of the file's headers and dynamic section."""

    def segments(self, kind):
        rows = [line.split() for line in readelf("-l")]
        return [row for row in rows if row and row[0] == kind]

    def test_static_tls_is_small(self):
        segments = self.segments("TLS")
        self.assertLessEqual(len(segments), 1)
        for segment in segments:
            self.assertLessEqual(int(segment[5], 16), MAX_TLS_BYTES)

    def test_needs_only_libc(self):
        needed = [re.search(r"\[(.*)\]", line).group(1) for line in readelf("-d")
                  if "(NEEDED)" in line]
        self.assertEqual([name for name in needed if "ld-linux" not in name], ["libc.so.6"])

    def test_no_writable_and_executable_segment(self):
        for segment in self.segments("LOAD") + self.segments("GNU_STACK"):
            flags = "".join(segment[6:-1])
            self.assertFalse("W" in flags and "E" in flags, segment)

    def test_tables_hold_no_pointers(self):
        relative = [line for line in readelf("-r") if "_RELATIVE" in line]
        self.assertLessEqual(len(relative), MAX_RELATIVE_RELOCATIONS)

    def test_needs_no_checked_form_of_a_function(self):
        # The resolver of __memcpy_chk lies in a part of libc that few programs touch.
        undefined = [line.split()[7] for line in readelf("--dyn-syms") if " UND " in line
                     and len(line.split()) >= 8]
        self.assertNotEqual(undefined, [])
        self.assertEqual([name for name in undefined if name.split("@")[0].endswith("_chk")], [])

    def test_has_no_search_path(self):
        self.assertFalse([line for line in readelf("-d") if "RPATH" in line or "RUNPATH" in line])

    def test_every_entry_point_is_exported_without_a_version(self):
        rows = [line.split() for line in readelf("--dyn-syms")]
        exported = {row[7] for row in rows if len(row) >= 8 and row[6].isdigit()}
        self.assertEqual([name for name in ENTRY_POINTS if name not in exported], [])


if __name__ == "__main__":
    unittest.main()
