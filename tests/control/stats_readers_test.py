# SPDX-License-Identifier: Apache-2.0
"""malloc_stats_print as programs in the field read it: each test does what one of them does with
the output of a preloaded process, and is as strict."""

import json
import os
import re
import subprocess
import sys
import unittest

from prometheus_client.openmetrics import parser

# Runs preloaded; prints the pieces for each of the letters in its arguments.
PROGRAM = """
import ctypes, json, sys
lib = ctypes.CDLL(None)
ballast = [bytearray(n * 10) for n in range(2000)] + [bytearray(3 << 20)]
pieces = {}
for letters in sys.argv[1:]:
    pieces[letters] = []
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(
        lambda opaque, piece: pieces[letters].append(piece.decode()))
    lib.malloc_stats_print(callback, None, letters.encode())
print(json.dumps(pieces))
"""


def dumps(*letters, **env):
    """What a process prints: a list of pieces for each of the letters."""
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, *letters],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LD_PRELOAD": os.path.abspath(sys.argv[1]), **env},
    )
    return json.loads(made.stdout)


def dump(letters, **env):
    """The whole output for these letters."""
    return "".join(dumps(letters, **env)[letters])


# The keys of an arena, with the type of their values.
ARENA = {
    "nthreads": int, "uptime_ns": int, "dss": str, "dirty_decay_ms": int, "muzzy_decay_ms": int,
    "pactive": int, "pdirty": int, "pmuzzy": int, "dirty_npurge": int, "dirty_nmadvise": int,
    "dirty_purged": int, "muzzy_npurge": int, "muzzy_nmadvise": int, "muzzy_purged": int,
    "small": {"allocated": int, "nmalloc": int, "ndalloc": int, "nfills": int, "nflushes": int},
    "large": {"allocated": int, "nmalloc": int, "ndalloc": int, "nrequests": int, "nfills": int,
              "nflushes": int},
    "mapped": int, "retained": int, "base": int, "internal": int, "metadata_thp": int,
    "tcache_bytes": int, "tcache_stashed_bytes": int, "resident": int, "abandoned_vm": int,
    "bins": [{"nmalloc": int, "ndalloc": int, "curregs": int, "nfills": int, "nflushes": int,
              "nreslabs": int, "curslabs": int, "nonfull_slabs": int}],
}
DOCUMENT = {"jemalloc": {
    "version": str,
    "config": {"cache_oblivious": bool, "debug": bool, "fill": bool, "lazy_lock": bool,
               "malloc_conf": str, "opt_safety_checks": bool, "prof": bool, "prof_libgcc": bool,
               "prof_libunwind": bool, "stats": bool, "utrace": bool, "xmalloc": bool},
    "opt": {"abort": bool, "abort_conf": bool, "retain": bool, "dss": str, "narenas": int,
            "percpu_arena": str, "metadata_thp": str, "background_thread": bool,
            "dirty_decay_ms": int, "muzzy_decay_ms": int, "junk": str, "zero": bool,
            "xmalloc": bool, "tcache": bool, "tcache_max": int, "thp": str, "stats_print": bool,
            "stats_print_opts": str},
    "arenas": {"narenas": int, "dirty_decay_ms": int, "muzzy_decay_ms": int, "quantum": int,
               "page": int, "tcache_max": int, "nbins": int, "nhbins": int,
               "bin": [{"size": int, "nregs": int, "slab_size": int, "nshards": int}],
               "nlextents": int, "lextent": [{"size": int}]},
    "stats": {"allocated": int, "active": int, "metadata": int, "metadata_thp": int,
              "resident": int, "mapped": int, "retained": int, "zero_reallocs": int,
              "background_thread": {"num_threads": int, "num_runs": int, "run_interval": int}},
    "stats.arenas": {"merged": ARENA},
}}


class JsonReadersTest(unittest.TestCase):

    def check_model(self, value, model, path=""):
        """Every key of the model is there, with a value of exactly that type."""
        if isinstance(model, dict):
            for key, part in model.items():
                self.assertIn(key, value, path)
                self.check_model(value[key], part, f"{path}/{key}")
        elif isinstance(model, list):
            self.assertGreater(len(value), 0, path)
            for index, entry in enumerate(value):
                self.check_model(entry, model[0], f"{path}[{index}]")
        else:
            self.assertIs(type(value), model, path)

    def test_a_typed_model_of_the_document(self):
        self.check_model(json.loads(dump("Ja")), DOCUMENT)

    def test_order_of_the_parts(self):
        parts = list(json.loads(dump("J"))["jemalloc"])
        wanted = ["version", "config", "opt", "arenas", "stats", "stats.arenas"]
        self.assertEqual([part for part in parts if part in wanted], wanted)

    def test_each_piece_is_a_document(self):
        """sinsp and buck2: short letters, and whatever a call brings is parsed."""
        for letters, pieces in dumps("Jmdablxeg", "Jmdablxg", "J", "Ja").items():
            for piece in pieces:
                stats = json.loads(piece)["jemalloc"]["stats"]
                for key in ("allocated", "active", "metadata", "resident", "mapped", "retained"):
                    self.assertGreater(stats[key], 0, (letters, key))

    def test_each_letter_leaves_its_part_out_and_no_other(self):
        """The paths that are gone, of what all arenas and one hold."""
        outputs = dumps("J", *("J" + letter for letter in "gmdablxeh"))
        paths = {}

        def collect(found, value, path=""):
            entries = value if isinstance(value, list) else [value]
            for entry in entries[:1]:
                if not isinstance(entry, dict):
                    return
                for key, part in entry.items():
                    found.add(f"{path}/{key}")
                    collect(found, part, f"{path}/{key}")

        for letters, pieces in outputs.items():
            collect(paths.setdefault(letters, set()), json.loads("".join(pieces))["jemalloc"])
        gone = {
            "g": r"/(version|config|system|opt|prof|arenas)(/.*)?|/spanmalloc/name.*",
            "m": r"/stats\.arenas/merged(/.*)?",
            "d": r"/stats\.arenas/destroyed(/.*)?",
            "a": r"/stats\.arenas/\d+(/.*)?|/spanmalloc/arenas/\d+(/.*)?",
            "b": r".*/bins?(/.*)?",
            "l": r".*/lextents?(/.*)?",
            "x": r".*/(mutex|mutexes|locks)(/.*)?",
            "e": r".*/extents(/.*)?",
            "h": r".*/(hpa_shard|huge_pages)(/.*)?",
        }
        for letter, pattern in gone.items():
            left = {path for path in paths["J" + letter] if re.fullmatch(pattern, path)}
            self.assertEqual(left, set(), letter)
            others = {path for path in paths["J"] if not re.fullmatch(pattern, path)}
            self.assertEqual(others - paths["J" + letter], set(), letter)

    def test_few_calls(self):
        """64 KiB at a time, whatever the form."""
        for letters, pieces in dumps("J", "", "O", "Ja", "Jmdablxeg").items():
            size = sum(map(len, pieces))
            self.assertLessEqual(len(pieces), size // (60 << 10) + 1, letters)

    def test_short_letters_leave_little(self):
        """sinsp asks every second: no arenas, no size classes."""
        document = json.loads(dump("Jmdablxeg"))["jemalloc"]
        self.assertEqual(set(document), {"stats", "spanmalloc"})
        self.assertNotIn("name", document["spanmalloc"])
        self.assertLess(len(dump("Jmdablxeg")), 8000)

    def test_no_white_space(self):
        text = dump("J")
        self.assertEqual(text, json.dumps(json.loads(text), separators=(",", ":")))

    def test_bin_utilisation(self):
        """curregs / (nregs * curslabs), by position in both arrays."""
        document = json.loads(dump("Ja"))["jemalloc"]
        bins = document["stats.arenas"]["merged"]["bins"]
        self.assertEqual(len(bins), len(document["arenas"]["bin"]))
        used = 0
        for info, entry in zip(document["arenas"]["bin"], bins):
            room = info["nregs"] * entry["curslabs"]
            self.assertLessEqual(entry["curregs"], room)
            self.assertLessEqual(entry["nonfull_slabs"], entry["curslabs"])
            used += room != 0
        self.assertGreater(used, 10)

    def test_exporter(self):
        """A gauge for each of these paths."""
        document = json.loads(dump("J"))["jemalloc"]
        for path in ("stats/allocated", "stats/active", "stats/metadata", "stats/resident",
                     "stats/mapped", "stats/retained", "stats/background_thread/num_threads",
                     "stats/background_thread/num_runs", "stats/background_thread/run_interval",
                     "arenas/narenas", "stats.arenas/0/pactive", "stats.arenas/0/pdirty",
                     "stats.arenas/0/small/allocated", "stats.arenas/0/small/nmalloc",
                     "stats.arenas/0/large/allocated", "stats.arenas/0/large/nmalloc",
                     "stats.arenas/0/nthreads", "stats.arenas/0/tcache_bytes"):
            value = document
            for key in path.split("/"):
                value = value[key]
            self.assertIsInstance(value, int, path)


class TextReadersTest(unittest.TestCase):

    # In this order.
    HEADINGS = [
        "___ Begin jemalloc statistics ___", 'Version: "', "Build-time option settings",
        "config.stats: true", "Run-time option settings", "opt.dirty_decay_ms: ", "Arenas: ",
        "Quantum size: ", "Page size: ", "Maximum thread-cached size class: ",
        "Number of bin size classes: ", "Number of thread-cache bin size classes: ",
        "Number of large size classes: ", "Allocated: ", ", active: ", ", metadata: ",
        ", resident: ", ", mapped: ", ", retained: ", "Background threads: ", "num_runs: ",
        "run_interval: ", "arenas[0]:", "assigned threads: ", "uptime: ",
        "dss allocation precedence: ", "decaying:", "npages", "sweeps", "madvises", "purged",
        "dirty:", "muzzy:", "allocated", "nmalloc", "ndalloc", "small:", "large:", "total:",
        "active:", "mapped:", "retained:", "base:", "internal:", "tcache_bytes:", "resident:",
        "bins:", "size", "ind", "allocated", "nmalloc", "curregs", "curslabs", "util", "nfills",
        "nflushes", "large:", "extents:", "--- End jemalloc statistics ---",
    ]

    def test_each_heading_is_after_the_one_before(self):
        text = dump("")
        at = 0
        for heading in self.HEADINGS:
            found = text.find(heading, at)
            self.assertGreaterEqual(found, 0, f"{heading} is missing after\n{text[:at]}")
            at = found + len(heading)

    def test_the_line_of_totals(self):
        text = dump("gmablxe")
        found = re.search(
            r"^Allocated: (\d+), active: (\d+), metadata: (\d+) \(n_thp (\d+)[^)]*\), "
            r"resident: (\d+), mapped: (\d+), retained: (\d+)", text, re.MULTILINE)
        self.assertIsNotNone(found, text)
        allocated, active, _, _, resident, mapped, _ = map(int, found.groups())
        self.assertLessEqual(allocated, active)
        self.assertLessEqual(active, resident)
        self.assertLessEqual(resident, mapped)

    def test_rows_have_the_columns_of_their_heading(self):
        text = dump("x")
        begin = text.index("\nbins:")
        table = text[begin:text.index("\nlarge:", begin)].splitlines()[1:]
        heading = table[0].replace("(#/sec)", "rate").split()[1:]
        rows = [line.split() for line in table[1:] if line.strip() != "---"]
        self.assertGreater(len(rows), 10)
        for row in rows:
            self.assertEqual(len(row), len(heading), (heading, row))
            entry = dict(zip(heading, row))
            self.assertEqual(int(entry["allocated"]), int(entry["curregs"]) * int(entry["size"]))


class OpenMetricsTest(unittest.TestCase):

    def families(self, letters):
        return {family.name: family
                for family in parser.text_string_to_metric_families(dump(letters))}

    def test_a_parser_takes_it(self):
        families = self.families("O")
        self.assertGreater(len(families), 100)
        for family in families.values():
            self.assertIn(family.type, ("gauge", "counter", "info"), family.name)
            self.assertNotEqual(family.documentation, "", family.name)
            self.assertGreater(len(family.samples), 0, family.name)

    def test_sums(self):
        families = self.families("O")
        total = families["spanmalloc_stats_allocated_bytes"].samples[0].value
        live = sum(sample.value * int(sample.labels["size"])
                   for sample in families["spanmalloc_stats_arenas_bins_curregs_blocks"].samples)
        large = sum(sample.value
                    for sample in families["spanmalloc_stats_arenas_large_allocated_bytes"].samples)
        self.assertEqual(live + large, total)
        rss = {name: family.samples[0].value for name, family in families.items()
               if name.startswith("spanmalloc_rss_")}
        self.assertEqual(sum(rss.values()), 2 * rss["spanmalloc_rss_process_bytes"])

    def test_times_are_seconds(self):
        families = self.families("O")
        self.assertEqual(families["spanmalloc_stats_arenas_dirty_decay_seconds"].samples[0].value, 2)
        uptime = families["spanmalloc_stats_arenas_uptime_seconds"].samples[0].value
        self.assertGreater(uptime, 0)
        self.assertLess(uptime, 100)

    def test_never(self):
        text = dump("O", SPANMALLOC_CONF="dirty_decay_ms:-1")
        self.assertIn('\nspanmalloc_stats_arenas_dirty_decay_seconds{arena="0"} -1\n', text)

    def test_letters(self):
        short = self.families("Omdablxehg")
        self.assertIn("spanmalloc_stats_resident_bytes", short)
        self.assertNotIn("spanmalloc_build", short)
        for family in short.values():
            self.assertEqual([sample.labels for sample in family.samples], [{}], family.name)
