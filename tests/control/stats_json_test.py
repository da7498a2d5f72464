# SPDX-License-Identifier: Apache-2.0
"""malloc_stats_print under the preloaded library, as its readers use it: one callback, one JSON
document, in jemalloc's structure, whose numbers agree with mallctl's and with each other."""

import json
import os
import subprocess
import sys
import unittest

# Runs preloaded; prints a document and, after it, what mallctl says in the same epoch.
PROGRAM = """
import ctypes, json, sys
lib = ctypes.CDLL(None)
ballast = [bytearray(n * 10) for n in range(2000)]
def read(name):
    value, length = ctypes.c_size_t(), ctypes.c_size_t(8)
    error = lib.mallctl(name, ctypes.byref(value), ctypes.byref(length), None, ctypes.c_size_t(0))
    assert error == 0, (name, error)
    return value.value
pieces = []
callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(
    lambda opaque, piece: pieces.append(piece.decode()))
lib.malloc_stats_print(callback, None, sys.argv[1].encode())
names = ["allocated", "active", "metadata", "resident", "mapped", "retained"]
print(json.dumps({"pieces": pieces, "stats": {n: read(b"stats." + n.encode()) for n in names}}))
"""


def dump(letters):
    """The pieces printed for these letters, and mallctl's stats of the same epoch."""
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, letters],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LD_PRELOAD": os.path.abspath(sys.argv[1])},
    )
    result = json.loads(made.stdout)
    return result["pieces"], result["stats"]


class StatsJsonTest(unittest.TestCase):

    def test_one_callback_gets_one_document(self):
        for letters in ("J", "Ja", "Jmdablxeg", "Jmdablxg"):
            pieces, _ = dump(letters)
            self.assertEqual(len(pieces), 1, letters)
            self.assertIn("stats", json.loads(pieces[0])["jemalloc"], letters)

    def test_structure(self):
        document = json.loads(dump("J")[0][0])["jemalloc"]
        arenas = document["arenas"]
        self.assertTrue(document["version"].startswith("5.3."))
        self.assertEqual(len(arenas["bin"]), arenas["nbins"])
        self.assertEqual(len(arenas["lextent"]), arenas["nlextents"])
        arena = document["stats.arenas"]["0"]
        self.assertEqual(len(arena["bins"]), arenas["nbins"])
        for key in ("nthreads", "uptime_ns", "dss", "pactive", "pdirty", "dirty_npurge", "small",
                    "large", "mapped", "retained", "base", "tcache_bytes", "resident"):
            self.assertIn(key, arena)

    def test_numbers_agree(self):
        pieces, stats = dump("J")
        document = json.loads(pieces[0])["jemalloc"]
        for name, value in stats.items():
            self.assertEqual(document["stats"][name], value, name)
        self.assertGreater(stats["allocated"], 2000 * 1999 * 10 // 2)
        self.assertLessEqual(stats["allocated"], stats["active"])
        self.assertLessEqual(stats["active"], stats["resident"])
        self.assertLessEqual(stats["resident"], stats["mapped"])
        arena = document["stats.arenas"]["0"]
        self.assertEqual(arena["small"]["allocated"] + arena["large"]["allocated"],
                         stats["allocated"])
        live = 0
        for size, entry in zip(document["arenas"]["bin"], arena["bins"]):
            self.assertEqual(entry["nmalloc"] - entry["ndalloc"], entry["curregs"])
            live += entry["curregs"] * size["size"]
        self.assertEqual(live, arena["small"]["allocated"])
        self.assertEqual(arena["pactive"] * document["arenas"]["page"], stats["active"])
