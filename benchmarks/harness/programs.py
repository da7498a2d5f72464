# SPDX-License-Identifier: Apache-2.0
"""The real programs: what each needs, its input, and its command.

prepare(scratch, scale) writes the input into a folder and returns the arguments of rows.Row.
Everything here is a Debian package; rows of missing ones are skipped.
"""

import os
import shutil

import inputs
import memcached_session
import redis_session


class _Program:
    """A program and the executables without which it is skipped."""

    name = ""
    package = ""
    executables = ()

    def missing(self):
        """The first executable that is not installed, or None."""
        return next((path for path in self.executables if shutil.which(path) is None), None)

    def prepare(self, scratch, scale):
        """Writes the input; returns the fields of rows.Row."""
        raise NotImplementedError


def _write(scratch, name, text):
    path = os.path.join(scratch, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


class _Script(_Program):
    """A program that reads one file.

    source:       the file's name, and what makes its text for a scale.
    arguments:    between the executable and the file.
    environment:  what it needs besides: that of runs that must be alike.
    """

    def __init__(self, name, package, executable, source, *, arguments=(), environment=(),
                 stdin=False):
        self.name = name
        self.package = package
        self.executables = (executable,)
        self._source = source
        self._arguments = arguments
        self._environment = environment
        self._stdin = stdin

    def prepare(self, scratch, scale):
        file_name, make_text = self._source
        path = _write(scratch, file_name, make_text(scale))
        command = self.executables + self._arguments
        if self._stdin:
            return {"command": command, "stdin": path}
        return {"command": command + (path,), "environment": self._environment}


_SCRIPTS = [
    _Script("g++", "g++", "/usr/bin/g++", ("compiled.cc", inputs.cpp_source),
            arguments=("-std=c++17", "-O1", "-S", "-o", "-")),
    # Python's own small-object allocator would hide most of the work.
    _Script("python", "python3", "/usr/bin/python3", ("churn.py", inputs.python_script),
            arguments=("-S",),
            environment=(("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "1"))),
    _Script("sqlite", "sqlite3", "/usr/bin/sqlite3", ("script.sql", inputs.sql_script),
            arguments=(":memory:",), stdin=True),
    _Script("perl", "perl", "/usr/bin/perl", ("churn.pl", inputs.perl_script),
            environment=(("PERL_HASH_SEED", "1"), ("PERL_PERTURB_KEYS", "0"))),
    _Script("lua", "lua5.4", "/usr/bin/lua5.4", ("churn.lua", inputs.lua_script)),
    _Script("ghostscript", "ghostscript", "/usr/bin/gs", ("document.ps", inputs.postscript),
            arguments=("-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-r72", "-sOutputFile=-")),
    _Script("z3", "z3", "/usr/bin/z3", ("jobs.smt2", inputs.smt_formula)),
    _Script("jq", "jq", "/usr/bin/jq", ("people.json", inputs.json_document),
            arguments=("-c", "group_by(.city) | map({city: .[0].city, names: map(.name) | sort,"
                       " tags: (map(.tags[]) | unique), oldest: (min_by(.born) | .id)})")),
]


class _RocksDb(_Program):
    name = "rocksdb"
    package = "rocksdb-tools"
    executables = ("/usr/bin/db_bench",)

    def prepare(self, scratch, scale):
        count = max(1000, round(100_000 * scale))
        return {
            "command": (
                "/usr/bin/db_bench", "--benchmarks=fillrandom,readrandom", "--threads=2",
                f"--num={count}", "--key_size=16", "--value_size=100", "--seed=1",
                f"--db={os.path.join(scratch, 'rocksdb')}", "--disable_wal=1",
                "--compression_type=none", "--write_buffer_size=4194304",
                "--cache_size=8388608", "--max_background_jobs=2"),
            # It prints times, and two threads that write at once leave no fixed contents.
            "compared": False,
        }


class _Memcached(_Program):
    name = "memcached"
    package = "memcached"
    executables = ("/usr/bin/memcached",)

    def prepare(self, scratch, scale):
        return {
            "command": ("/usr/bin/memcached",),
            "session": memcached_session.Session(scratch, rounds=max(2, round(60 * scale))),
        }


class _Redis(_Program):
    name = "redis"
    package = "redis"
    executables = ("/usr/bin/redis-server", "/usr/bin/redis-benchmark", "/usr/bin/redis-cli")

    def prepare(self, scratch, scale):
        return {
            "command": ("/usr/bin/redis-server",),
            "session": redis_session.Session(scratch, requests=max(1000, round(120000 * scale))),
        }


PROGRAMS = _SCRIPTS + [_RocksDb(), _Memcached(), _Redis()]
