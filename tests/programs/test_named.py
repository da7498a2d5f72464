# SPDX-License-Identifier: Apache-2.0
"""bind9's named: queries, reloads of its zones, a clean shutdown; and its library's own arenas.

It frees by size, and aborts if a block that it counts is left over, or an arena can't be destroyed.
"""

import json
import random
import re
import time
import urllib.request

import support

RECORDS = 20000
RELOADS = 4

CONFIGURATION = """
options {{
  directory "{folder}";
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  lock-file none;
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  recursion no;
  dnssec-validation no;
  querylog no;
}};
key "control" {{ algorithm hmac-sha256; secret "c3Bhbm1hbGxvYw=="; }};
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "control"; }}; }};
statistics-channels {{ inet 127.0.0.1 port {statistics} allow {{ 127.0.0.1; }}; }};
zone "test" {{ type primary; file "{folder}/zone"; }};
"""

RNDC = """
options {{ default-key "control"; default-server 127.0.0.1; default-port {control}; }};
key "control" {{ algorithm hmac-sha256; secret "c3Bhbm1hbGxvYw=="; }};
"""


# named itself makes no arena; libisc does, for whoever asks.
ARENAS = """
import ctypes, sys
isc = ctypes.CDLL(sys.argv[1])
isc.isc__mem_get.restype = ctypes.c_void_p
isc.isc_mem_inuse.restype = ctypes.c_size_t
context = ctypes.c_void_p()
for _ in range(50):
    isc.isc__mem_create_arena(ctypes.byref(context))
    for kind in ("dirty", "muzzy"):
        set_decay = getattr(isc, f"isc_mem_arena_set_{kind}_decay_ms")
        assert set_decay(context, ctypes.c_ssize_t(100)) == 0
    blocks = []
    for size in map(ctypes.c_size_t, range(1, 100000, 97)):
        blocks.append((ctypes.c_void_p(isc.isc__mem_get(context, size, 0)), size))
    in_use = isc.isc_mem_inuse(context)
    for block, size in blocks:
        isc.isc__mem_put(context, block, size, 0)
    isc.isc__mem_destroy(ctypes.byref(context))
print(in_use >= sum(size.value for _, size in blocks))
"""


def zone(serial):
    """A zone whose records differ with its serial number."""
    lines = [f"$TTL 60\n@ SOA ns admin ({serial} 60 60 60 60)\n@ NS ns\nns A 127.0.0.1"]
    for i in range(RECORDS):
        lines.append(f"host{i} A 10.{serial}.{i // 250}.{i % 250}")
        lines.append(f'host{i} TXT "{"text " * (i % 40)}{serial}"')
    return "\n".join(lines) + "\n"


class NamedTest(support.LinkedProgramTest):
    programs = ("named",)

    def load(self, session, port):
        """Queries of all names, by UDP and by TCP. Returns how many were answered and how."""
        rng = random.Random(3)
        queries = session.directory / "queries"
        kinds = ("A", "TXT", "ANY", "AAAA")
        names = [f"host{rng.randrange(RECORDS * 11 // 10)}.test" for _ in range(20000)]
        queries.write_text("".join(f"{name} {rng.choice(kinds)}\n" for name in names))
        answers = []
        for mode, clients in (("udp", 20), ("tcp", 8)):
            text = session.run(
                ["dnsperf", "-s", "127.0.0.1", "-p", port, "-d", queries, "-n", 2, "-m", mode]
                + ["-c", clients, "-q", 50]
            ).decode()
            self.assertIn("Queries lost:         0 ", text)
            answers.append(re.search(r"Response codes: +(.*)", text)[1])
        return answers

    def ask(self, session, port, name, kind):
        options = ["+noall", "+answer", "+tcp", "-p", port]
        return session.run(["dig", *options, "@127.0.0.1", name, kind]).decode().split()

    def wait_for(self, session, port, address):
        """Waits until the zone of that serial number is loaded; returns the answer."""
        deadline = time.monotonic() + support.HANG_SECONDS
        while address not in (answer := self.ask(session, port, "host7.test", "A")):
            self.assertLess(time.monotonic(), deadline, "named doesn't load its zone")
            time.sleep(0.02)
        return answer

    def check_memory(self, port, server):
        """What named counts, block by block, is about what the kernel sees."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/v1/mem") as answer:
            in_use = json.load(answer)["memory"]["InUse"]
        resident = support.resident_bytes(server)
        self.assertGreater(in_use, 10 << 20)
        self.assertLess(in_use, resident)
        self.assertGreater(in_use, resident * 0.3)

    def test_queries_reloads_and_a_clean_end(self):
        def workload(session):
            ports = {name: support.free_port() for name in ("port", "control", "statistics")}
            folder = session.directory
            (folder / "named.conf").write_text(CONFIGURATION.format(folder=folder, **ports))
            (folder / "rndc.conf").write_text(RNDC.format(**ports))
            (folder / "zone").write_text(zone(1))
            rndc = ["rndc", "-c", folder / "rndc.conf"]
            results = []
            command = ["named", "-g", "-n", 2, "-c", folder / "named.conf"]
            with session.server(command, ports["port"]) as server:
                results.append(self.wait_for(session, ports["port"], "10.1.0.7"))
                results += self.load(session, ports["port"])
                self.check_memory(ports["statistics"], server)
                for serial in range(2, 2 + RELOADS):
                    (folder / "zone").write_text(zone(serial))
                    results.append(session.run(rndc + ["reload"]))
                    results.append(self.wait_for(session, ports["port"], f"10.{serial}.0.7"))
                    results.append(self.ask(session, ports["port"], "host38.test", "TXT"))
                results += self.load(session, ports["port"])
                session.run(rndc + ["reconfig"])
                session.run(rndc + ["stop"])
                server.wait(support.HANG_SECONDS)
            return results

        self.same_under_both(workload)

    def test_arenas_are_made_and_destroyed(self):
        isc = support.system_library("libisc-9.18*.so")

        # Not loaded late: Debian's libjemalloc can't be.
        def workload(session):
            return session.run(["python3", "-c", ARENAS, isc], LD_PRELOAD=self.soname)

        self.programs = ("python3.11",)
        self.assertEqual(self.same_under_both(workload), b"True\n")
