# SPDX-License-Identifier: Apache-2.0
"""docs/mallctl.schema.json is a JSON schema, and what a program reads by mallctl is an instance of
it: all names that spanmalloc.names lists, read by the types that the library itself tells."""

import json
import os
import subprocess
import sys
import unittest

import jsonschema

# Prints all readable names and their values as JSON.
READER = """
import ctypes, json, re
lib = ctypes.CDLL(None)
KINDS = {"b": ctypes.c_bool, "u": ctypes.c_uint, "u64": ctypes.c_uint64, "z": ctypes.c_size_t,
         "s": ctypes.c_ssize_t, "str": ctypes.c_char_p, "p": ctypes.c_size_t}
def read(name, kind):
    value = KINDS[kind]()
    length = ctypes.c_size_t(ctypes.sizeof(value))
    error = lib.mallctl(name.encode(), ctypes.byref(value), ctypes.byref(length), None,
                        ctypes.c_size_t(0))
    assert error == 0, (name, error)
    return value.value.decode() if kind == "str" else value.value
names = read("spanmalloc.names", "str").split()
assert read("spanmalloc.name_count", "z") == len(names)
rows = []
values = {}
for n, name in enumerate(names):
    about = {part: read(f"spanmalloc.name.{n}.{part}", "str")
             for part in ("type", "access", "unit", "help")}
    rows.append({"name": name, **about})
    if about["access"] not in ("r", "rw") or name in NOT_JUST_READ:
        continue
    for index in ("0", "1") if "<" in name else ("",):
        at = re.sub("<[^is]>", index, name).replace("<i>", "0").replace("<s>", "0")
        values[at] = read(at, about["type"])
print(json.dumps({"rows": rows, "values": values}))
"""

# Reading these makes something, or needs something to be given.
NOT_JUST_READ = {"arena.<i>.name", "arenas.create", "arenas.lookup", "tcache.create",
                 "experimental.arenas_create_ext"}


class SchemaTest(unittest.TestCase):
    """Arguments: the library, the schema."""

    @classmethod
    def setUpClass(cls):
        with open(sys.argv[2], encoding="utf-8") as file:
            cls.schema = json.load(file)
        made = subprocess.run(
            [sys.executable, "-c", f"NOT_JUST_READ = {NOT_JUST_READ!r}\n" + READER],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "LD_PRELOAD": os.path.abspath(sys.argv[1])},
        )
        read = json.loads(made.stdout)
        cls.rows, cls.values = read["rows"], read["values"]
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def errors(self, values):
        """What the validator has to say."""
        return [error.message for error in self.validator.iter_errors(values)]

    def test_it_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_what_is_read_is_an_instance(self):
        self.assertGreater(len(self.values), 400)
        self.assertEqual(self.errors(self.values), [])

    def test_wrong_values_and_names_are_not(self):
        for wrong in (
            {"stats.allocated": "many"},
            {"stats.allocated": -1},
            {"arenas.nbins": 1 << 32},
            {"opt.tcache": 1},
            {"stats.arenas.x.pactive": 0},
            {"stats.nothing": 0},
        ):
            self.assertEqual(len(self.errors(wrong)), 1, wrong)

    def test_it_has_the_names_and_what_the_library_tells_about_them(self):
        entries = list(self.schema["properties"].values())
        entries += self.schema["patternProperties"].values()
        told = {row["name"]: row for row in self.rows}
        self.assertEqual(len(told), len(self.rows))
        self.assertEqual({entry["x-name"] for entry in entries}, set(told))
        for entry in entries:
            row = told[entry["x-name"]]
            self.assertEqual(entry["x-type"], row["type"])
            self.assertEqual(entry["x-access"], row["access"])
            self.assertEqual(entry.get("x-unit", ""), row["unit"])
            self.assertEqual(entry["description"], row["help"])

    def test_defaults_are_what_is_read_without_options(self):
        for name, entry in self.schema["properties"].items():
            if "default" in entry:
                self.assertEqual(self.values[name], entry["default"], name)
