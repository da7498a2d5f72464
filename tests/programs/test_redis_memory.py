# SPDX-License-Identifier: Apache-2.0
"""redis, which asks its libjemalloc for statistics: INFO, MEMORY and a save, on ours in its place.

Its numbers are compared with what was stored and with the kernel's account of the process.
"""

import re

import support
from redis_client import RedisClient

VALUES = 40000
VALUE_SIZE = 3000
STORED = VALUES * VALUE_SIZE


class RedisMemoryTest(support.LinkedProgramTest):
    programs = ("redis-check-rdb",)  # redis-server is a link to this executable

    def memory(self, client):
        """INFO's numbers about memory, which its timer takes once in 0.1 s."""
        client.command("DEBUG", "SLEEP", "0.3")
        return {name: int(text) for name, text in client.info().items() if text.isdigit()}

    def check_statistics(self, client, process, purges):
        """Fills redis and empties it again; what it tells must follow.

        The memory must be back after so many purges.
        """
        empty = self.memory(client)
        for start in range(0, VALUES, 1000):
            client.pipeline(
                [("SET", f"key{i}", b"x" * VALUE_SIZE) for i in range(start, start + 1000)]
            )
        full = self.memory(client)
        grown = full["allocator_allocated"] - empty["allocator_allocated"]
        self.assertGreater(grown, STORED)
        self.assertLess(grown, STORED * 1.35)
        # What redis counts itself, by malloc_usable_size of each block.
        self.assertLess(abs(full["used_memory"] - full["allocator_allocated"]), 0.02 * STORED)
        self.assertLessEqual(full["allocator_allocated"], full["allocator_active"])
        self.assertLessEqual(full["allocator_active"], full["allocator_resident"] * 1.01)
        resident = support.resident_bytes(process)
        self.assertLess(abs(full["used_memory_rss"] - resident), 0.05 * resident)
        self.assertLess(abs(full["allocator_resident"] - resident), 0.15 * resident)

        client.command("FLUSHALL", "SYNC")
        for _ in range(purges):
            self.assertEqual(client.command("MEMORY", "PURGE"), b"OK")
            purged = self.memory(client)
            if support.resident_bytes(process) < resident - 0.8 * STORED:
                break
        self.assertLess(purged["allocator_allocated"] - empty["allocator_allocated"], 0.02 * STORED)
        self.assertLess(support.resident_bytes(process), resident - 0.8 * STORED)
        self.assertLess(purged["allocator_resident"], full["allocator_resident"] - 0.8 * STORED)

    def test_statistics(self):
        def workload(session):
            port = support.free_port()
            command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
            command += ["--dir", ".", "--enable-debug-command", "yes"]
            with session.server(command, port) as process, RedisClient(port) as client:
                # jemalloc's does nothing while its own thread is purging.
                self.check_statistics(client, process, 1 if session.name == "replaced" else 20)
                text = client.command("MEMORY", "MALLOC-STATS").decode()
                self.assertIn("___ Begin jemalloc statistics ___", text)
                told = re.search(r"Allocated: (\d+), active: (\d+), metadata: (\d+)", text)
                now = self.memory(client)
                for value, name in zip(told.groups(), ("allocated", "active")):
                    self.assertLess(abs(int(value) - now[f"allocator_{name}"]), 4 << 20, name)
                self.assertIn("--- End jemalloc statistics ---", text)
                with self.assertRaises(RuntimeError) as refusal:
                    client.command("CONFIG", "SET", "activedefrag", "yes")
                load = ["redis-benchmark", "-p", port, "-q", "-n", "20000", "-P", "16", "-r", "999"]
                load += ["-t", "set,get,incr,lpush,sadd,hset,zadd,mset"]
                self.assertEqual(session.run(load).count(b"requests per second"), 8)
                digest = client.command("DEBUG", "DIGEST") != b"0" * 40
                client.command("BGSAVE")
                while self.memory(client)["rdb_bgsave_in_progress"]:
                    pass
                client.command("DEBUG", "RELOAD")
                self.assertEqual(client.info()["rdb_last_bgsave_status"], "ok")
                allocator = client.info()["mem_allocator"]
                client.send("SHUTDOWN", "NOSAVE")
            return allocator, digest, str(refusal.exception)

        allocator, digest, _ = self.same_under_both(workload)
        self.assertTrue(allocator.startswith("jemalloc-"))
        self.assertTrue(digest)
