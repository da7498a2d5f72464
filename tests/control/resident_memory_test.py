# SPDX-License-Identifier: Apache-2.0
"""The dump's table of resident memory under real programs: its rows add up to what the kernel says
of the process, and each part is what /proc/<pid>/smaps shows at its place."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LIBRARY = os.path.abspath(sys.argv[1])
TOLERANCE = 0.02
# What the process does between the measurement and ours (a buffer read, a stack page touched).
SLACK_BYTES = 256 << 10
MIB = 1 << 20

# Nothing goes back to the kernel between two looks, however far apart.
KEEP_ALL = "dirty_decay_ms:-1"

HEAP_ROWS = ("small_live", "thread_caches", "cpu_lists", "span_free", "span_ends", "small_absent",
             "large_live", "large_absent", "free_pages")

# Every kind of memory: small and large blocks, freed ones, threads' caches, a large block that was
# never written, a mapping of the program's own.
EVERY_KIND = """
import ctypes, json, mmap, os, random, threading
lib = ctypes.CDLL(None)
lib.malloc.restype, lib.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
random.seed(1)
kept = [bytearray(random.choice((20, 100, 1000, 5000, 40000))) for _ in range(20000)]
random.shuffle(kept)
del kept[10000:]
stop = threading.Event()
def work():
    for _ in range(20):
        blocks = [bytearray(random.randrange(20, 3000)) for _ in range(500)]
    stop.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
block = lib.malloc(64 << 20)
ctypes.memset(block, 1, 16 << 20)
own = mmap.mmap(-1, 40 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
own.write(b"x" * (40 << 20))
pieces = []
callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(
    lambda opaque, piece: pieces.append(piece.decode()))
smaps = open("/proc/self/smaps").read()
lib.malloc_stats_print(callback, None, b"Jgmabl")
smaps = open("/proc/self/smaps").read()
status = open("/proc/self/status").read()
print(json.dumps({"dump": pieces[0], "smaps": smaps, "status": status, "block": block}))
stop.set()
"""


def table_of(dump):
    return json.loads(dump)["jemalloc"]["spanmalloc"]["rss"]


def vm_rss(status):
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def mappings(smaps):
    """(begin, end, file, resident bytes) of each."""
    found, current = [], None
    for line in smaps.splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+\s*(.*)", line)
        if head:
            current = int(head[1], 16), int(head[2], 16), head[3]
        elif line.startswith("Rss:"):
            found.append((*current, int(line.split()[1]) * 1024))
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


class ResidentMemoryTest(unittest.TestCase):

    def preloaded(self, **variables):
        return {**os.environ, "LD_PRELOAD": LIBRARY, **variables}

    def assert_close(self, value, expected, whole, what):
        self.assertLessEqual(abs(value - expected), TOLERANCE * whole + SLACK_BYTES,
                             f"{what}: {value}, expected {expected}")

    def assert_adds_up(self, table):
        self.assertEqual(sum(table[row] for row in table if row != "process"), table["process"])
        for row, value in table.items():
            if row in ("small_absent", "large_absent"):
                self.assertLessEqual(value, SLACK_BYTES, row)
            else:
                self.assertGreaterEqual(value, 0, row)

    def assert_as_in_smaps(self, table, smaps, block):
        """The heap lies in the 4 TiB around `block`, the library's file is known by its name."""
        whole = table["process"]
        heap = library = other = 0
        for begin, _, file, resident in mappings(smaps):
            if begin >> 42 == block >> 42:
                heap += resident
            elif file == os.path.realpath(LIBRARY):
                library += resident
            else:
                other += resident
        self.assert_close(sum(table[row] for row in HEAP_ROWS), heap, whole, "heap")
        self.assert_close(table["library"], library, whole, "library")
        self.assert_close(table["outside"] + table["metadata"], other, whole, "outside")

    def test_every_kind_of_memory(self):
        for variables in ({"PYTHONMALLOC": "malloc"}, {}):
            made = subprocess.run([sys.executable, "-c", EVERY_KIND], check=True,
                                  capture_output=True, text=True,
                                  env=self.preloaded(SPANMALLOC_CONF=KEEP_ALL, **variables))
            result = json.loads(made.stdout)
            table = table_of(result["dump"])
            self.assert_adds_up(table)
            self.assert_close(table["process"], vm_rss(result["status"]), table["process"], "RSS")
            self.assert_as_in_smaps(table, result["smaps"], result["block"])
            self.assert_close(table["large_absent"], -48 * MIB, table["process"], "never written")
            self.assertGreater(table["outside"], 40 * MIB)
            self.assertLess(table["outside"], 80 * MIB)
            self.assertGreater(table["thread_caches"], 0)
            self.assertGreater(table["library"], 64 << 10)

    @unittest.skipIf(shutil.which("g++") is None, "no g++")
    def test_compiler(self):
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "a.cc")
            with open(source, "w", encoding="utf-8") as file:
                file.write("#include <map>\n#include <regex>\n#include <string>\n"
                           "std::map<std::string, std::regex> all; int main() {}\n")
            made = subprocess.run(
                ["g++", "-std=c++17", "-S", "-o", "/dev/null", source], check=True,
                capture_output=True, text=True,
                env=self.preloaded(SPANMALLOC_CONF="stats_print:true,stats_print_opts:Jgmablxe"))
        tables = [table_of(line) for line in
                  re.findall(r"\{\"jemalloc\".*?\}\}\}\}", made.stderr)]
        self.assertGreaterEqual(len(tables), 2, made.stderr[:2000])
        for table in tables:
            self.assert_adds_up(table)
        largest = max(tables, key=lambda table: table["process"])
        self.assertGreater(largest["process"], 50 * MIB)
        # The compiler maps what it collects as garbage by itself.
        self.assertGreater(largest["small_live"] + largest["large_live"], 2 * MIB)
        self.assertGreater(largest["outside"], 20 * MIB)

    @unittest.skipIf(shutil.which("redis-server") is None, "no redis-server")
    def test_redis(self):
        port = free_port()
        with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
                ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir",
                 folder, "--enable-debug-command", "yes"],
                env=self.preloaded(SPANMALLOC_CONF=KEEP_ALL), stdout=subprocess.DEVNULL) as server:

            def client(*words):
                return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True,
                                      text=True, check=False, timeout=60).stdout

            try:
                deadline = time.monotonic() + 20
                while client("ping").strip() != "PONG":
                    self.assertLess(time.monotonic(), deadline, "redis-server did not start")
                    time.sleep(0.05)
                client("debug", "populate", "150000", "key", "300")
                client("eval", "for i = 0, 149999 do if i % 3 ~= 0 then "
                       "redis.call('del', 'key:' .. i) end end", "0")
                client("memory", "purge")
                text = client("memory", "malloc-stats")
                with open(f"/proc/{server.pid}/status", encoding="utf-8") as file:
                    resident = vm_rss(file.read())
                with open(f"/proc/{server.pid}/smaps", encoding="utf-8") as file:
                    smaps = file.read()
            finally:
                client("shutdown", "nosave")
        self.assertTrue(text.startswith("___ Begin jemalloc statistics ___\n"), text[:80])
        self.assertTrue(text.rstrip().endswith("--- End jemalloc statistics ---"), text[-80:])
        rows = re.search(r"resident memory is.*?\n(.*?)spanmalloc: ", text, re.DOTALL)
        values = [int(sign + digits) for sign, digits in
                  re.findall(r" (-?) +(\d+) bytes", rows[1])]
        self.assertEqual(len(values), 14, text)
        self.assertEqual(sum(values[:-1]), values[-1])
        self.assert_close(values[-1], resident, resident, "RSS")
        # The heap is where most of the memory is.
        areas = {}
        for begin, _, _, size in mappings(smaps):
            areas[begin >> 42] = areas.get(begin >> 42, 0) + size
        self.assert_close(sum(values[:9]), max(areas.values()), resident, "heap")
