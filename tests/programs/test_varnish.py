# SPDX-License-Identifier: Apache-2.0
"""varnishd: compiles its configuration, caches what a backend serves, stores it with malloc.

Its child process holds the cache; the manager compiles and loads configurations beside it.
"""

import hashlib
import http.client
import http.server
import random
import re
import threading
import urllib.request

import support

PAGES = 400
REQUESTS = 2400
CONNECTIONS = 8
CONFIGURATIONS = 2

CONFIGURATION = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1h; }}
sub vcl_deliver {{ set resp.http.generation = "{generation}"; }}
"""


def page(path):
    """What the backend serves; up to 200 kB."""
    number = int(path.rsplit("/", 1)[1])
    return random.Random(number).randbytes(number * number * 200000 // (PAGES * PAGES) + 1)


class Backend(http.server.ThreadingHTTPServer):
    """Serves pages; counts what it was asked for."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = page(self.path)
            with self.server.lock:
                self.server.requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *unused):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.lock = threading.Lock()
        self.requests = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Client(threading.Thread):
    """One connection that asks for random pages and digests the answers."""

    def __init__(self, port, seed):
        super().__init__()
        self._port = port
        self._rng = random.Random(seed)
        self.digest = hashlib.sha256()
        self.error = None

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        try:
            for _ in range(REQUESTS // CONNECTIONS):
                connection.request("GET", f"/page/{self._rng.randrange(PAGES)}")
                answer = connection.getresponse()
                self.digest.update(b"%d" % answer.status)
                self.digest.update(answer.read())
        except Exception as error:  # reported by the test, which joins the thread
            self.error = error
        finally:
            connection.close()


class VarnishTest(support.LinkedProgramTest):
    programs = ("varnishd",)

    def load(self, port):
        clients = [Client(port, seed) for seed in range(CONNECTIONS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        self.assertEqual([client.error for client in clients if client.error], [])
        return [client.digest.hexdigest() for client in clients]

    def configuration(self, session, backend, number):
        """The path of a configuration for varnishd to compile."""
        path = session.directory / f"{number}.vcl"
        path.write_text(CONFIGURATION.format(port=backend.server_port, generation=number))
        return path

    def statistic(self, session, folder, name):
        text = session.run(["varnishstat", "-n", folder, "-1", "-f", name]).decode()
        return int(re.search(rf"{re.escape(name)} +(\d+)", text)[1])

    def check_statistics(self, session, folder, backend):
        """What varnishd counts, against what the backend served."""
        self.assertEqual(self.statistic(session, folder, "MGT.child_panic"), 0)
        self.assertEqual(self.statistic(session, folder, "MAIN.n_object"), backend.requests)
        stored = self.statistic(session, folder, "SMA.s0.g_bytes")
        served = sum(len(page(f"/{number}")) for number in range(PAGES))
        self.assertGreater(stored, served)
        self.assertLess(stored, served * 1.2)

    def test_cache(self):
        def workload(session):
            backend, port, folder = Backend(), support.free_port(), session.directory / "varnish"
            self.addCleanup(backend.server_close)
            self.addCleanup(backend.shutdown)
            command = ["varnishd", "-F", "-n", folder, "-j", "none", "-a", f"127.0.0.1:{port}"]
            command += ["-s", "malloc,128m", "-T", "127.0.0.1:0", "-t", "3600"]
            command += ["-p", "thread_pools=2", "-p", "thread_pool_min=20"]
            command += ["-f", self.configuration(session, backend, 0)]
            with session.server(command, port):
                results = self.load(port)
                self.check_statistics(session, folder, backend)
                for number in range(1, 1 + CONFIGURATIONS):
                    vcl, name = self.configuration(session, backend, number), f"vcl{number}"
                    admin = ["varnishadm", "-n", folder]
                    session.run([*admin, "vcl.load", name, vcl])
                    session.run([*admin, "vcl.use", name])
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/page/1") as answer:
                        results.append(answer.headers["generation"])
                    session.run([*admin, "ban", "obj.status", "==", 200])
                    backend.requests = 0
                    results += self.load(port)
            return results

        self.same_under_both(workload)
