# SPDX-License-Identifier: Apache-2.0
"""A recorded program and a made-up one, replayed: every block comes back, with its size and its
contents, whichever threads they went through; and the figures are those of the program."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

RECORDER, PREPARE, PHASES, REPLAY = (os.path.abspath(path) for path in sys.argv[1:5])
MIB = 1 << 20

# Through every entry point, by two threads; 10 MiB and 1000 blocks of 100 bytes stay.
PROGRAM = """
import ctypes, os, threading
lib = ctypes.CDLL(None)
for name in ("malloc", "calloc", "realloc", "aligned_alloc", "memalign"):
    getattr(lib, name).restype = ctypes.c_void_p
size, pointer = ctypes.c_size_t, ctypes.c_void_p
lib.free.argtypes = [pointer]
def malloc(bytes): return lib.malloc(size(bytes))
def work():
    for i in range(1000):
        kept = malloc(100)
        grown = lib.realloc(pointer(malloc(i)), size(i * 7 + 1))
        lib.free(grown)
        lib.free(lib.calloc(size(i), size(8)))
        lib.free(lib.aligned_alloc(size(64), size(640)))
        lib.free(lib.memalign(size(4096), size(10)))
    handed.append(malloc(5 << 20))
handed = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
lib.free(handed.pop())
block = malloc(100)
for bytes in (1000, 1 << 20, 10 << 20):
    block = lib.realloc(pointer(block), size(bytes))
if os.fork() == 0:
    malloc(50 << 20)  # the child's, not recorded
    os._exit(0)
os.wait()
os._exit(0)
"""


def replay(trace, *flags):
    made = subprocess.run([REPLAY, f"--trace={trace}", *flags], check=True, capture_output=True,
                          text=True)
    metrics = dict(re.findall(r"^metric (\S+) (\S+)$", made.stderr, re.MULTILINE))
    points = [tuple(map(int, numbers)) for numbers in
              re.findall(r"^timeline (\d+) (\d+) (\d+)$", made.stderr, re.MULTILINE)]
    return made.stdout, {name: float(value) for name, value in metrics.items()}, points


class TracesTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.trace = os.path.join(self.folder, "trace")

    def record(self, command, **variables):
        raw = os.path.join(self.folder, "raw")
        subprocess.run(command, check=True, env={
            **os.environ, "RECORD_TO": raw, "LD_PRELOAD": RECORDER, **variables})
        return sorted(glob.glob(raw + ".*"))

    def prepare(self, raw):
        subprocess.run([PREPARE, f"--raw={raw}", f"--trace={self.trace}"], check=True,
                       stdout=subprocess.DEVNULL)

    def test_a_recorded_program(self):
        written = self.record(["/usr/bin/python3", "-S", "-c", PROGRAM])
        self.assertEqual(len(written), 1, "the child isn't recorded")
        self.prepare(written[0])
        output, metrics, points = replay(self.trace)
        self.assertIn("replay checksum", output)
        # Python itself holds little more.
        for name in ("live_peak_mib", "live_final_mib", "rss_peak_mib", "rss_final_mib"):
            self.assertGreater(metrics[name], 10, name)
            self.assertLess(metrics[name], 25, name)
        self.assertLess(metrics["live_final_mib"], 15)
        self.assertEqual(points, sorted(points, key=lambda point: point[0]))
        self.assertGreaterEqual(len(points), 100)
        self.assertEqual(round(points[-1][1] / MIB, 3), round(metrics["live_final_mib"], 3))
        # The same work again gives the same sum.
        self.assertEqual(replay(self.trace, "--pace=false")[0], output)

    def test_only_the_named_program_is_recorded(self):
        self.assertEqual(self.record(["/bin/sh", "-c", "/bin/true; exit 0"],
                                     RECORD_PROGRAM="nothing"), [])

    def test_children_are_recorded_if_wanted(self):
        written = self.record(["/usr/bin/python3", "-S", "-c", PROGRAM], RECORD_CHILDREN="1")
        self.assertEqual(len(written), 2)
        peaks = []
        for raw in written:
            self.prepare(raw)
            peaks.append(replay(self.trace, "--pace=false")[1]["live_peak_mib"])
        self.assertGreater(max(peaks), 60, "the child begins with what its parent has")
        self.assertLess(min(peaks), 25)

    def test_phases(self):
        subprocess.run([PHASES, f"--trace={self.trace}", "--scale=0.02"], check=True)
        output, metrics, points = replay(self.trace, "--pace=false")
        self.assertEqual(replay(self.trace, "--pace=false")[0], output)
        self.assertGreater(metrics["live_peak_mib"], 4)
        # Of each phase a twentieth stays.
        total = (96 + 192 + 128 + 192 + 96 + 160 + 128 + 192 + 64) * 0.02
        self.assertAlmostEqual(metrics["live_final_mib"] / total, 0.05, delta=0.02)
        self.assertGreater(points[-1][0], 9000)

    def test_what_is_no_trace_is_refused(self):
        with open(self.trace, "w", encoding="utf-8") as file:
            file.write("x" * 200)
        self.assertNotEqual(subprocess.run([REPLAY, f"--trace={self.trace}"], check=False,
                                           capture_output=True).returncode, 0)
        self.assertNotEqual(subprocess.run([PREPARE, f"--raw={self.trace}", "--trace=/dev/null"],
                                           check=False, capture_output=True).returncode, 0)
