# SPDX-License-Identifier: Apache-2.0
"""redis: BGSAVE and BGREWRITEAOF fork under write load; every restart must load the same data.

Debian's redis is linked to libjemalloc, so its glibc run preloads the C library.
"""

import random
import time

import support
from redis_client import RedisClient

KEYS = 20000
BATCHES = 60
BATCH_COMMANDS = 2500
# Microseconds a child that saves waits at each key, so that writes certainly meet it.
SAVE_DELAY = 60


class Load:
    """The same stream of write commands in every run, over all of redis' data types."""

    def __init__(self):
        self._rng = random.Random(5)
        self._entry = 0  # the id of the last stream entry

    def batch(self):
        return [self._one() for _ in range(BATCH_COMMANDS)]

    def _one(self):
        rng = self._rng
        key = rng.randrange(KEYS)
        value = rng.randbytes(rng.choice((4, 20, 90, 400, 3000)))
        action = rng.randrange(12)
        if action < 4:
            return ("SET", f"string{key}", value)
        if action == 4:
            return ("APPEND", f"string{key}", value[:50])
        if action == 5:
            return ("DEL", f"string{key}", f"list{key % 800}", f"hash{key % 800}")
        if action == 6:
            return ("RPUSH", f"list{key % 800}", value, key, value[:9])
        if action == 7:
            return ("LPOP", f"list{key % 800}")
        if action == 8:
            return ("SADD", f"set{key % 300}", key, value[:7])
        if action == 9:
            return ("ZADD", f"sorted{key % 300}", key, value[:12])
        if action == 10:
            return ("HSET", f"hash{key % 800}", f"f{key % 70}", value)
        self._entry += 1
        stream = f"stream{key % 90}"
        return ("XADD", stream, "MAXLEN", "50", f"{self._entry}-1", "field", value[:30])


class RedisTest(support.ProgramTest):
    programs = ("redis-check-rdb",)  # redis-server is a link to this executable
    baseline_preload = support.system_libc()

    def server(self, session, port, *options):
        return session.server(
            ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", "."]
            + ["--enable-debug-command", "yes", "--shutdown-on-sigterm", "nosave", *options],
            port,
        )

    def fork_under_load(self, client, load, command, running, status):
        """Writes while the child that `command` forks saves, then waits for the child's success."""
        client.command("CONFIG", "SET", "rdb-key-save-delay", SAVE_DELAY)
        client.command(command)
        met = 0
        for _ in range(BATCHES // 3):
            met += client.info()[running] == "1"
            client.pipeline(load.batch())
        self.assertGreater(met, 0, f"no write met {command}")
        client.command("CONFIG", "SET", "rdb-key-save-delay", 0)
        self.wait_until(client, lambda info: info[running] == "0")
        self.assertEqual(client.info()[status], "ok")

    def wait_until(self, client, condition):
        deadline = time.monotonic() + support.HANG_SECONDS
        while not condition(client.info()):
            self.assertLess(time.monotonic(), deadline, "redis hangs")
            time.sleep(0.02)

    def state(self, client):
        return client.command("DBSIZE"), client.command("DEBUG", "DIGEST").decode()

    def test_saves_under_load_and_restarts(self):
        def workload(session):
            load, port = Load(), support.free_port()
            with self.server(session, port, "--appendonly", "yes"), RedisClient(port) as client:
                for _ in range(BATCHES // 3):
                    client.pipeline(load.batch())
                self.fork_under_load(
                    client, load, "BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status"
                )
                self.fork_under_load(
                    client,
                    load,
                    "BGREWRITEAOF",
                    "aof_rewrite_in_progress",
                    "aof_last_bgrewrite_status",
                )
                written = self.state(client)
                self.assertGreaterEqual(int(client.info()["total_forks"]), 2)
                client.send("SHUTDOWN", "NOSAVE")

            with self.server(session, port, "--appendonly", "yes"), RedisClient(port) as client:
                self.wait_until(client, lambda info: info["loading"] == "0")
                self.assertEqual(self.state(client), written, "the append-only file differs")
                client.command("SAVE")
                client.send("SHUTDOWN", "NOSAVE")

            with self.server(session, port), RedisClient(port) as client:
                self.wait_until(client, lambda info: info["loading"] == "0")
                self.assertEqual(self.state(client), written, "the snapshot differs")
                client.command("FLUSHALL", "ASYNC")
                self.assertEqual(client.command("DBSIZE"), 0)
            return written

        self.same_under_both(workload)
