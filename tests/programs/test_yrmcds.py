# SPDX-License-Identifier: Apache-2.0
"""yrmcdsd, a memcached that calls tc_malloc and tc_free: concurrent clients, every answer checked."""

import support
from memcached_client import run_clients


class YrmcdsTest(support.LinkedProgramTest):
    programs = ("yrmcdsd",)
    soname = "libtcmalloc_minimal.so.4"

    def test_concurrent_clients(self):
        def workload(session):
            port, replication = support.free_port(), support.free_port()
            configuration = session.directory / "yrmcds.conf"
            configuration.write_text(
                f"port = {port}\nrepl_port = {replication}\nmax_connections = 100\n"
                f"temp_dir = {session.directory}\nworkers = 4\nmemory_limit = 256M\n"
                "virtual_ip = 127.0.0.1\n"
            )
            with session.server(["yrmcdsd", "-f", configuration], port):
                return run_clients(self, port)

        self.same_under_both(workload)
