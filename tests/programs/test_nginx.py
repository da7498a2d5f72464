# SPDX-License-Identifier: Apache-2.0
"""nginx: files of several sizes, plain and gzipped, under load from wrk; every byte verified."""

import contextlib
import getpass
import os
import random
import signal
import time

import support

SIZES = (0, 1, 4096, 100_000, 3_000_000)
CONFIGURATION = """
{user}
worker_processes 2;
daemon off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile off;
    output_buffers 4 16k;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        root files;
        location /gzip/ {{ alias files/; gzip on; gzip_types *; gzip_min_length 1; }}
        location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_buffers 8 8k; }}
    }}
}}
"""


def file_bytes(size):
    """Text-like bytes: gzip has something to find."""
    rng = random.Random(size)
    words = [rng.randbytes(6).hex().encode() for _ in range(200)]
    data = b" ".join(rng.choices(words, k=size // 13 + 1))
    return data[:size]


class NginxTest(support.ProgramTest):
    programs = ("nginx",)

    def write_site(self, session, port):
        user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
        (session.directory / "nginx.conf").write_text(CONFIGURATION.format(user=user, port=port))
        files = session.directory / "files"
        files.mkdir()
        for size in SIZES:
            (files / f"{size}.txt").write_bytes(file_bytes(size))

    def fetch_all(self, session, port):
        """Fetches every file by every way, and returns the digest of each body."""
        digests = {}
        for size in SIZES:
            for way in ("", "gzip/", "proxy/"):
                url = f"http://127.0.0.1:{port}/{way}{size}.txt"
                body = session.run(["curl", "-sS", "--fail", "--compressed", url])
                self.assertEqual(support.sha256(body), support.sha256(file_bytes(size)), url)
                digests[way, size] = support.sha256(body)
        return digests

    def load(self, session, port, path):
        report = session.run(
            ["wrk", "-t", "1", "-c", "24", "-d", "1s", f"http://127.0.0.1:{port}/{path}"]
        ).decode()
        self.assertIn("requests in", report)
        self.assertNotIn(" 0 requests in", report)
        for sign in ("Socket errors", "Non-2xx"):
            self.assertNotIn(sign, report, path)

    def test_files_under_load(self):
        def workload(session):
            port = support.free_port()
            self.write_site(session, port)
            command = ["nginx", "-p", f"{session.directory}/", "-c", "nginx.conf", "-e", "stderr"]
            with session.server(command, port) as master:
                first = self.fetch_all(session, port)
                for path in ("1.txt", "100000.txt", "gzip/100000.txt", "proxy/4096.txt"):
                    self.load(session, port, path)
                self.replace_workers(master.pid)
                self.load(session, port, "gzip/3000000.txt")
                return first, self.fetch_all(session, port)

        self.same_under_both(workload)

    def replace_workers(self, master):
        """A reload forks new workers from the master's heap; waits until the old ones are gone."""
        before = children(master)
        os.kill(master, signal.SIGHUP)
        deadline = time.monotonic() + support.HANG_SECONDS
        while before & children(master) or not children(master):
            self.assertLess(time.monotonic(), deadline, "nginx did not replace its workers")
            time.sleep(0.02)


def children(parent):
    """The processes whose parent is `parent`."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == parent:
                found.add(int(name))
    return found
