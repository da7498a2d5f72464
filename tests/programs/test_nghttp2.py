# SPDX-License-Identifier: Apache-2.0
"""nghttp2's programs: h2load, nghttpx before nghttpd, all three C++ on one allocator."""

import random
import re
import signal

import support

SIZES = (0, 1, 100, 5000, 70000, 1000000)


class Nghttp2Test(support.LinkedProgramTest):
    programs = ("h2load", "nghttpd", "nghttpx")

    def load(self, session, port, paths):
        """All requests must succeed. Returns how many bytes of data came."""
        urls = [f"http://127.0.0.1:{port}/{path}" for path in paths]
        command = ["h2load", "-n", 20000, "-c", 30, "-m", 20, "-t", 2, *urls]
        text = session.run(command).decode()
        self.assertIn("20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed", text)
        return re.search(r"status codes: (.*)", text)[1], re.search(r"\((\d+)\) data", text)[1]

    def test_proxy_under_load(self):
        def workload(session):
            rng = random.Random(11)
            root = session.directory / "root"
            root.mkdir()
            for size in SIZES:
                (root / str(size)).write_bytes(rng.randbytes(size))
            server_port, proxy_port = support.free_port(), support.free_port()
            server = ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", root, "-n", 2, server_port]
            proxy = ["nghttpx", "-f", f"127.0.0.1,{proxy_port};no-tls", "-n", 2]
            proxy += ["-b", f"127.0.0.1,{server_port};;proto=h2", "--conf", "/dev/null"]
            proxy += ["--accesslog-file", "/dev/null", "--errorlog-file", "/dev/null"]
            results = []
            with session.server(server, server_port, status=-15):
                with session.server(proxy, proxy_port) as process:
                    for size in SIZES:
                        url = f"http://127.0.0.1:{proxy_port}/{size}"
                        body = session.run(["curl", "-s", "--http2-prior-knowledge", url])
                        results.append(support.sha256(body))
                    for size in (100, 5000, 70000):
                        results.append(self.load(session, proxy_port, [size]))
                    results.append(self.load(session, proxy_port, SIZES[:5]))
                    results.append(self.load(session, server_port, SIZES[:5]))
                    process.send_signal(signal.SIGQUIT)  # ends in order
                    process.wait(support.HANG_SECONDS)
            return results

        self.same_under_both(workload)
