# SPDX-License-Identifier: Apache-2.0
"""memcached: several connections set, read back, append, delete and evict; every answer checked."""

import getpass

import support
from memcached_client import run_clients


class MemcachedTest(support.ProgramTest):
    programs = ("memcached",)

    def test_concurrent_clients(self):
        def workload(session):
            port = support.free_port()
            command = ["memcached", "-l", "127.0.0.1", "-p", port, "-U", "0"]
            command += ["-t", "4", "-m", "256", "-u", getpass.getuser()]
            with session.server(command, port):
                return run_clients(self, port)

        self.same_under_both(workload)
