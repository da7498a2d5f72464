# SPDX-License-Identifier: Apache-2.0
"""Every name that jemalloc has too, called with every kind of argument, answers with jemalloc's
error number and leaves the same length behind. Compared with the library that is installed; skipped
where there is none. What differs is listed here, and named in docs/mallctl.md."""

import glob
import json
import os
import re
import subprocess
import sys
import unittest

# Reads names, one in a line; prints what each answers to each kind of call.
PROGRAM = """
import ctypes, json, sys
lib = ctypes.CDLL(None)
size_t, byref = ctypes.c_size_t, ctypes.byref

def lookup(name):
    mib, length = (size_t * 10)(), size_t(10)
    return lib.mallctlnametomib(name.encode(), mib, byref(length))

def call(name, room=None, old=True, write=None, length=None):
    buffer = ctypes.create_string_buffer(b"\\xee" * 64, 64)
    got = size_t(room or 0)
    error = lib.mallctl(name.encode(), buffer if old else None,
                        byref(got) if room is not None else None,
                        ctypes.create_string_buffer(write, 64) if write is not None else None,
                        size_t(len(write or b"") if length is None else length))
    return error, got.value, buffer.raw

def natural(name):
    error, length, _ = call(name, 64)
    return length if error == 22 and length < 64 else 0

def probe(name):
    size = natural(name)
    answers = {f"read {room}": call(name, room)[:2] for room in (0, 1, 2, 4, 8, 16)}
    answers["nothing"] = call(name, old=False)[0]
    answers["length only"] = call(name, 5, old=False)[:2]
    answers["no length"] = call(name)[0]
    answers["length of nothing"] = call(name, old=False, length=8)[0]
    answers["nothing of a length"] = call(name, old=False, write=bytes(8), length=0)[0]
    for room in (1, 2, 4, 8, 16):
        if room != size:
            answers[f"write {room}"] = call(name, old=False, write=bytes(room))[0]
    if size != 0:
        same = call(name, size)[2][:size]
        answers["write the same"] = call(name, old=False, write=same)[0]
        answers["read and write"] = call(name, size, write=same)[:2]
    for room in range(9):
        mib, length = (size_t * 10)(*([777] * 10)), size_t(room)
        error = lib.mallctlnametomib(name.encode(), mib, byref(length))
        rest = [part for part in mib[length.value:] if part != 777]
        answers[f"MIB of {room}"] = error, length.value, rest
    return answers

made = ctypes.c_uint()
length = size_t(4)
assert lib.mallctl(b"arenas.create", byref(made), byref(length), None, size_t(0)) == 0
assert made.value == ARENA, made.value
epoch = ctypes.c_uint64(1)
assert lib.mallctl(b"epoch", None, None, byref(epoch), size_t(8)) == 0
names = sys.stdin.read().split()
print(json.dumps({name: probe(name) for name in names if lookup(name) == 0 or "4097" in name}))
"""

# Not called: what would be made or destroyed, what ends a jemalloc, and what is another's alone.
LEFT_OUT = re.compile(
    r"arenas\.create|arena\.\d+\.(destroy|reset)|tcache\.|arenas\.lookup|thread\.tcache\.enabled"
    r"|background_thread|max_background_threads|experimental\.|prof\.|arena\.\d+\.(name|extent_hooks)"
    r"|spanmalloc\.|thread\.(prof|peak)"
)
# More is possible here.
DIFFERENT = re.compile(
    r"stats\.arenas\.4097\.|arena\.4096\.(dirty|muzzy)_decay_ms|arena\.4097\.dss"
    r"|opt\.(utrace|xmalloc|lg_san_uaf_align)$"
)


class JemallocErrorsTest(unittest.TestCase):
    """Arguments: the library."""

    def answers(self, library, names, arena):
        """What the names answer in a process with a library preloaded."""
        made = subprocess.run(
            [sys.executable, "-c", f"ARENA = {arena}\n" + PROGRAM],
            input="\n".join(names),
            check=True,
            capture_output=True,
            text=True,
            # One arena of jemalloc's own, so that indices are the same.
            env={**os.environ, "LD_PRELOAD": library, "MALLOC_CONF": "narenas:1,oversize_threshold:0"},
        )
        return json.loads(made.stdout)

    def names(self):
        """All names, with arenas' indices of every kind."""
        program = (
            "import ctypes\ntext, n = ctypes.c_char_p(), ctypes.c_size_t(8)\n"
            "ctypes.CDLL(None).mallctl(b'spanmalloc.names', ctypes.byref(text), ctypes.byref(n),"
            " None, ctypes.c_size_t(0))\nprint(text.value.decode())"
        )
        made = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "LD_PRELOAD": self.ours},
        )
        for name in made.stdout.split():
            for arena in ("0", "1", "2", "4096", "4097") if "<i>" in name else ("0",):
                yield re.sub("<.>", "0", name.replace("<i>", arena))

    def test_every_name_and_every_kind_of_call(self):
        theirs = glob.glob("/usr/lib/*/libjemalloc.so.2")
        if not theirs:
            self.skipTest("no libjemalloc.so.2")
        self.ours = os.path.abspath(sys.argv[1])
        names = sorted({name for name in self.names() if not LEFT_OUT.match(name)})
        expected = self.answers(theirs[0], names, 1)
        self.assertGreater(len(expected), 500)
        got = self.answers(self.ours, list(expected), 1)
        for name, answers in expected.items():
            if DIFFERENT.match(name):
                continue
            with self.subTest(name):
                self.assertEqual(got.get(name), answers)
