# SPDX-License-Identifier: Apache-2.0
"""Traces of programs' calls of malloc, made on demand, and the rows that replay them.

Each program runs once under benchmarks/traces/librecorder.so, on glibc's malloc, with a load that
changes as a server's does over a day, in some ten seconds. benchmarks/README.md says what each does.
"""

import contextlib
import getpass
import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import time

import redis_session
from rows import Row

_START_TIMEOUT_S = 20


class _Recording:
    """A program to record; record() runs it."""

    name = ""
    package = ""
    executables = ()
    process = ""  # The one that is recorded, by its name.

    def missing(self):
        """The first executable that is not installed, or None."""
        return next((path for path in self.executables if shutil.which(path) is None), None)

    def record(self, scratch, environment, scale):
        """Runs the program under its load with the environment that records it."""
        raise NotImplementedError


class _Redis(_Recording):
    """Values of changing sizes, expiry, deletions, lists and hashes, a flush, a quiet night."""

    name = "redis"
    package = "redis"
    executables = ("/usr/bin/redis-server", "/usr/bin/redis-benchmark", "/usr/bin/redis-cli")
    process = "redis-server"

    def record(self, scratch, environment, scale):
        port = str(redis_session.free_port())
        with subprocess.Popen(
                ["/usr/bin/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", scratch, "--loglevel", "warning"],
                env=environment, stdout=subprocess.DEVNULL) as server:
            try:
                redis_session.wait_until_up(server, port)
                self._day(port, scale)
            finally:
                # It ends at once, with the heap that it has.
                server.send_signal(signal.SIGKILL)

    def _day(self, port, scale):
        def load(tests, size, requests, keys):
            subprocess.run(
                ["/usr/bin/redis-benchmark", "-p", port, "-q", "-c", "20", "-P", "16", "-t", tests,
                 "-d", str(size), "-n", str(max(1000, round(requests * scale))),
                 "-r", str(max(1000, round(keys * scale)))],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=120)

        def drop(share, seed):
            """Deletes that share of all keys, spread evenly."""
            redis_session.client(
                port, "eval", "math.randomseed(ARGV[2]) local cursor = '0' repeat "
                "local r = redis.call('scan', cursor, 'count', 1000) cursor = r[1] "
                "for _, key in ipairs(r[2]) do "
                "if math.random() < tonumber(ARGV[1]) then redis.call('unlink', key) end end "
                "until cursor == '0'", "0", str(share), str(seed))

        load("set", 60, 300_000, 200_000)
        load("get", 60, 50_000, 200_000)
        drop(0.6, 1)
        load("set", 900, 90_000, 60_000)
        drop(0.5, 2)
        redis_session.client(
            port, "eval", "for i = 1, tonumber(ARGV[1]) do redis.call('set', 'session:' .. i, "
            "string.rep('x', 150 + i % 500), 'px', 500 + i % 1500) end", "0",
            str(round(100_000 * scale)))
        load("lpush,sadd,hset,zadd", 120, 60_000, 50_000)
        time.sleep(2)  # The sessions expire.
        drop(0.7, 3)
        load("set", 4000, 30_000, 20_000)
        redis_session.client(port, "flushall", "async")
        load("set", 200, 100_000, 60_000)
        drop(0.8, 4)
        time.sleep(5)


class _Gxx(_Recording):
    """The compiler proper, over a program of gtest, Abseil and the standard library."""

    name = "g++"
    package = "g++ libgtest-dev libabsl-dev"
    executables = ("/usr/bin/g++",)
    process = "cc1plus"

    _SOURCE = """
#include <gtest/gtest.h>
#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <algorithm>
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>
"""
    _TEST = """
struct Key{n} {{ int a; std::string b; auto operator<=>(const Key{n}&) const = default;
  template <typename H> friend H AbslHashValue(H h, const Key{n}& k) {{
    return H::combine(std::move(h), k.a, k.b); }} }};
TEST(Case{n}, Works) {{
  std::map<Key{n}, std::vector<std::string>> ordered;
  absl::flat_hash_map<Key{n}, std::variant<int, std::string, Key{n}>> hashed;
  absl::btree_map<std::string, std::function<int(Key{n})>> named;
  std::vector<std::string> parts = absl::StrSplit("a,b,c,{n}", ',');
  for (const std::string& part : parts) {{
    ordered[Key{n}{{{n}, part}}].push_back(absl::StrFormat("%d %s", {n}, part));
    hashed[Key{n}{{{n}, part}}] = part;
    named[part] = [&](Key{n} key) {{ return key.a + int(ordered.size()); }};
  }}
  EXPECT_EQ(ordered.size(), hashed.size());
  for (auto& [name, call] : named) EXPECT_GT(call(Key{n}{{1, name}}), 0) << name;
  EXPECT_TRUE(std::regex_match("x{n}", std::regex("[a-z]+[0-9]+")));
}}
"""

    def missing(self):
        for header in ("/usr/include/gtest/gtest.h", "/usr/include/absl/strings/str_split.h"):
            if not os.path.exists(header):
                return header
        return super().missing()

    def record(self, scratch, environment, scale):
        source = os.path.join(scratch, "tests.cc")
        with open(source, "w", encoding="utf-8") as file:
            file.write(self._SOURCE)
            for number in range(max(1, round(6 * scale))):
                file.write(self._TEST.format(n=number))
        subprocess.run(["/usr/bin/g++", "-std=c++20", "-O2", "-S", "-o", "/dev/null", source],
                       env=environment, check=True, timeout=300)


class _Python(_Recording):
    """The standard library at work on data of several kinds, one after the other."""

    name = "python"
    package = "python3"
    executables = ("/usr/bin/python3",)
    process = "python3"

    _SCRIPT = """
import ast, collections, csv, decimal, difflib, email.message, glob, io, json, os, pickle, random
import re, sqlite3, string, textwrap, time, tokenize, xml.etree.ElementTree as etree, zlib
random.seed(1)
kept = []
def texts(count):
    return [''.join(random.choices(string.ascii_letters, k=random.randrange(3, 60)))
            for _ in range(count)]
def records(count):
    return [{{'id': i, 'name': name, 'tags': name[:9:3], 'at': i / 7}}
            for i, name in enumerate(texts(count))]
def as_json(count): return json.loads(json.dumps(records(count)))
def as_xml(count):
    root = etree.Element('root')
    for record in records(count):
        etree.SubElement(root, 'record', {{k: str(v) for k, v in record.items()}}).text = 'x' * 20
    return etree.fromstring(etree.tostring(root))
def as_rows(count):
    base = sqlite3.connect(':memory:')
    base.execute('create table t(id, name, tags, at)')
    base.executemany('insert into t values(:id, :name, :tags, :at)', records(count))
    return [list(base.execute('select * from t order by name')), base]
def as_csv(count):
    out = io.StringIO()
    csv.DictWriter(out, ['id', 'name', 'tags', 'at']).writerows(records(count))
    return list(csv.reader(io.StringIO(out.getvalue())))
def as_syntax(count):
    return [ast.parse(open(path, encoding='utf-8', errors='replace').read())
            for path in sorted(glob.glob(os.path.dirname(os.__file__) + '/a*.py'))[:count // 2500]]
def as_pickle(count):
    return pickle.loads(pickle.dumps([collections.OrderedDict(r) for r in records(count)]))
def as_bytes(count):
    return [zlib.compress(' '.join(texts(200)).encode()) for _ in range(count // 200)]
for turn in range({turns}):
    for work in (as_json, as_xml, as_rows, as_csv, as_syntax, as_pickle, as_bytes):
        made = work(random.randrange(15000, 40000))
        kept.append(made[::20] if isinstance(made, list) else None)
        del made
os._exit(0)  # with the heap that it has
"""

    def record(self, scratch, environment, scale):
        script = os.path.join(scratch, "script.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(self._SCRIPT.format(turns=max(1, round(2 * scale))))
        # Python's own small-object allocator would hide most of the work.
        subprocess.run(["/usr/bin/python3", "-S", script], check=True, timeout=300,
                       env={**environment, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"})


class _Nginx(_Recording):
    """Requests of mixed sizes, plain, gzipped and passed on, by changing numbers of clients. A reload
    begins it: recorded is the worker that the master forks then."""

    name = "nginx"
    package = "nginx wrk"
    executables = ("/usr/sbin/nginx", "/usr/bin/wrk")
    process = "nginx"

    _CONFIGURATION = """
{user}
daemon off;
env RECORD_TO;
env RECORD_CHILDREN;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile off;
  output_buffers 4 16k;
  keepalive_requests 200;
  client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy;
  fastcgi_temp_path {scratch}/fastcgi; uwsgi_temp_path {scratch}/uwsgi;
  scgi_temp_path {scratch}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {scratch}/files;
    location /gzip/ {{ alias {scratch}/files/; gzip on; gzip_types *; gzip_min_length 1;
      limit_rate 300k; }}
    location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/gzip/; proxy_buffers 16 16k; }}
  }}
}}
"""

    def record(self, scratch, environment, scale):
        port = redis_session.free_port()
        configuration = os.path.join(scratch, "nginx.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(self._CONFIGURATION.format(
                scratch=scratch, port=port,
                user=f"user {getpass.getuser()};" if os.getuid() == 0 else ""))
        files = os.path.join(scratch, "files")
        os.makedirs(files, exist_ok=True)
        generator = random.Random(1)
        for size in (200, 4000, 60_000, 1_000_000):
            words = [generator.randbytes(5).hex() for _ in range(200)]
            text = " ".join(generator.choices(words, k=size // 11 + 1))
            with open(os.path.join(files, str(size)), "w", encoding="utf-8") as file:
                file.write(text[:size])
        with subprocess.Popen(["/usr/sbin/nginx", "-c", configuration, "-e", "stderr"],
                              env={**environment, "RECORD_CHILDREN": "1"},
                              stderr=subprocess.DEVNULL) as server:
            try:
                _wait_for_port(server, port)
                server.send_signal(signal.SIGHUP)
                time.sleep(1)
                for path, clients, seconds in (
                        ("200", 50, 1), ("gzip/60000", 300, 2), ("60000", 30, 1),
                        ("proxy/60000", 150, 2), ("gzip/1000000", 200, 2), ("200", 500, 1),
                        ("gzip/1000000", 20, 2), ("proxy/4000", 100, 1), ("200", 10, 1)):
                    subprocess.run(["/usr/bin/wrk", "-t", "1", "-c", str(clients), "-d",
                                    f"{max(1, round(seconds * scale))}s", "-H",
                                    "Accept-Encoding: gzip", f"http://127.0.0.1:{port}/{path}"],
                                   stdout=subprocess.DEVNULL, check=True, timeout=60)
                time.sleep(3)
            finally:
                # The workers end at once with the heap that they have.
                server.send_signal(signal.SIGTERM)


_RECORDINGS = [_Redis(), _Gxx(), _Python(), _Nginx()]
_PHASES = "phases"


def _wait_for_port(server, port):
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args[0]} did not start")
        time.sleep(0.02)


def _record(recording, binaries, scratch, trace, scale):
    """Runs the program under the recorder and prepares what it wrote."""
    folder = os.path.join(scratch, f"record-{recording.name}")
    os.makedirs(folder)
    raw = os.path.join(folder, "raw")
    recording.record(folder, {
        **os.environ, "LC_ALL": "C", "RECORD_TO": raw, "RECORD_PROGRAM": recording.process,
        "LD_PRELOAD": os.path.join(binaries, "librecorder.so")}, scale)
    written = glob.glob(raw + ".*")
    if not written:
        raise RuntimeError(f"nothing of {recording.process} was recorded")
    largest = max(written, key=lambda path: os.stat(path).st_blocks)
    subprocess.run([os.path.join(binaries, "prepare_trace"), f"--raw={largest}",
                    f"--trace={trace}"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)


def rows(binaries, folder, scratch, scale, wanted, progress):
    """The rows that replay, after recording those traces that `folder` doesn't hold yet.

    Args:
      binaries: folder of the programs of benchmarks/traces.
      folder: where traces are and are kept.
      scratch: a folder for what is needed meanwhile.
      scale: multiplies the load.
      wanted: function of a row's name.
      progress: called with a line for each recording.

    Returns:
      The rows, and a notice for each that cannot be.
    """
    made, notices = [], []
    for recording in [*_RECORDINGS, None]:
        name = f"replay-{recording.name if recording else _PHASES}"
        trace = os.path.join(folder, f"{name}.trace")
        if not wanted(name):
            continue
        if not os.path.exists(trace):
            missing = recording and recording.missing()
            if missing:
                notices.append(f"{name} is skipped: {missing} is missing "
                               f"(Debian: apt-get install {recording.package})")
                continue
            progress(f"recording {name}")
            partial = trace + ".partial"
            try:
                if recording:
                    _record(recording, binaries, scratch, partial, scale)
                else:
                    subprocess.run([os.path.join(binaries, "make_phases"), f"--trace={partial}",
                                    f"--scale={scale}"], check=True)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                notices.append(f"{name} is skipped: {error}")
                continue
            os.rename(partial, trace)
        made.append(Row(name, "memory", (os.path.join(binaries, "replay"), f"--trace={trace}")))
    return made, notices
