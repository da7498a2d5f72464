# SPDX-License-Identifier: Apache-2.0
"""yrmcdsd, a memcached that calls tc_malloc and tc_free: concurrent clients, every answer checked."""

import select

import support
from memcached_client import Client, run_clients


class PatientClient(Client):
    """On any allocator, yrmcdsd now and then forgets a connection, where the CPUs are busy; what
    comes there then is never read. The request is made again on a new one."""

    PATIENCE_SECONDS = 5

    def _ask(self, request):
        self._socket.sendall(request)
        while not select.select([self._socket], [], [], self.PATIENCE_SECONDS)[0]:
            self.close()
            self._connect()
            self._socket.sendall(request)
        return self._reader.readline()


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
            with session.server(["yrmcdsd", "-f", configuration], port) as process:
                answers = run_clients(self, port, PatientClient)
                # A worker that is told to stop between its job's end and its wait for the next
                # spins for ever, on any allocator.
                support.wait_until_asleep(process)
                return answers

        self.same_under_both(workload)
