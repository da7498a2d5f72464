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


class _Compiler(_Program):
    name = "g++"
    package = "g++"
    executables = ("/usr/bin/g++",)

    def prepare(self, scratch, scale):
        source = _write(scratch, "compiled.cc", inputs.cpp_source(scale))
        return {"command": ("/usr/bin/g++", "-std=c++17", "-O1", "-S", "-o", "-", source)}


class _Python(_Program):
    name = "python"
    package = "python3"
    executables = ("/usr/bin/python3",)

    def prepare(self, scratch, scale):
        script = _write(scratch, "churn.py", inputs.python_script(scale))
        return {
            "command": ("/usr/bin/python3", "-S", script),
            # Python's own small-object allocator would hide most of the work. A fixed hash seed
            # makes every run the same.
            "environment": (("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "1")),
        }


class _Sqlite(_Program):
    name = "sqlite"
    package = "sqlite3"
    executables = ("/usr/bin/sqlite3",)

    def prepare(self, scratch, scale):
        script = _write(scratch, "script.sql", inputs.sql_script(scale))
        return {"command": ("/usr/bin/sqlite3", ":memory:"), "stdin": script}


class _Perl(_Program):
    name = "perl"
    package = "perl"
    executables = ("/usr/bin/perl",)

    def prepare(self, scratch, scale):
        script = _write(scratch, "churn.pl", inputs.perl_script(scale))
        return {
            "command": ("/usr/bin/perl", script),
            "environment": (("PERL_HASH_SEED", "1"), ("PERL_PERTURB_KEYS", "0")),
        }


class _Lua(_Program):
    name = "lua"
    package = "lua5.4"
    executables = ("/usr/bin/lua5.4",)

    def prepare(self, scratch, scale):
        script = _write(scratch, "churn.lua", inputs.lua_script(scale))
        return {"command": ("/usr/bin/lua5.4", script)}


class _Ghostscript(_Program):
    name = "ghostscript"
    package = "ghostscript"
    executables = ("/usr/bin/gs",)

    def prepare(self, scratch, scale):
        document = _write(scratch, "document.ps", inputs.postscript(scale))
        return {"command": ("/usr/bin/gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-r72",
                            "-sOutputFile=-", document)}


class _Z3(_Program):
    name = "z3"
    package = "z3"
    executables = ("/usr/bin/z3",)

    def prepare(self, scratch, scale):
        return {"command": ("/usr/bin/z3", _write(scratch, "jobs.smt2",
                                                  inputs.smt_formula(scale)))}


class _Jq(_Program):
    name = "jq"
    package = "jq"
    executables = ("/usr/bin/jq",)

    def prepare(self, scratch, scale):
        document = _write(scratch, "people.json", inputs.json_document(scale))
        return {"command": (
            "/usr/bin/jq", "-c", "group_by(.city) | map({city: .[0].city, names: map(.name) | sort,"
            " tags: (map(.tags[]) | unique), oldest: (min_by(.born) | .id)})", document)}


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


PROGRAMS = [
    _Compiler(), _Python(), _Sqlite(), _Perl(), _Lua(), _Ghostscript(), _Z3(), _Jq(), _RocksDb(),
    _Memcached(), _Redis(),
]
