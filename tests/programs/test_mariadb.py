# SPDX-License-Identifier: Apache-2.0
"""mariadbd: tables, joins, sorts, JSON and transactions from several connections at once.

It looks for the allocator that it runs on by the names of the functions it finds.
"""

import threading

import support

CONNECTIONS = 4

TABLES = """
CREATE DATABASE test; USE test;
CREATE TABLE item (id INT PRIMARY KEY, kind INT, name VARCHAR(200), body LONGTEXT, KEY (kind));
INSERT INTO item SELECT seq, seq % 97, CONCAT('name ', MD5(seq)), REPEAT(MD5(seq), seq % 300)
  FROM seq_1_to_20000;
CREATE TABLE account (id INT PRIMARY KEY, value BIGINT) ENGINE=InnoDB;
INSERT INTO account SELECT seq, 1000 FROM seq_1_to_100;
"""

QUERIES = """
SELECT COUNT(*), SUM(LENGTH(body)), MD5(GROUP_CONCAT(name ORDER BY body, id)) FROM item
  WHERE id % {number} = 0;
SELECT a.kind, COUNT(*), MAX(b.name) FROM item a JOIN item b ON b.id = a.id * 2 + {number}
  GROUP BY a.kind ORDER BY 3, 1;
SELECT MD5(JSON_ARRAYAGG(JSON_OBJECT('id', id, 'name', name))) FROM item WHERE kind = {number};
WITH RECURSIVE chain (n, text) AS (
  SELECT 1, CAST('x' AS CHAR(20000))
  UNION ALL SELECT n + 1, CONCAT(text, n, MD5(n)) FROM chain WHERE n < 300)
SELECT COUNT(*), MD5(GROUP_CONCAT(text)) FROM chain;
"""

TRANSFERS = """
START TRANSACTION;
UPDATE account SET value = value - 7 WHERE id = {first};
UPDATE account SET value = value + 7 WHERE id = {second};
COMMIT;
"""


class MariadbTest(support.ProgramTest):
    programs = ("mariadbd",)

    def work(self, client, number, results):
        """One connection: its answers, in order, become results[number]."""
        text = ["SET SESSION group_concat_max_len = 100000000; USE test;"]
        for round_number in range(4):
            text.append(QUERIES.format(number=number + 2))
            for i in range(50):
                first = (number * 25 + i) % 100 + 1  # each connection has its own order of locks
                second = (first + round_number) % 100 + 1
                low, high = sorted((first, second))
                text.append(TRANSFERS.format(first=low, second=high))
        results[number] = client("\n".join(text))

    def test_connections(self):
        libraries = []

        def workload(session):
            port, folder = support.free_port(), session.directory
            (folder / "data").mkdir()
            command = ["mariadbd", "--no-defaults", "--user=root", "--skip-grant-tables"]
            command += ["--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}"]
            command += [f"--datadir={folder}/data", "--socket=socket"]
            command += [f"--pid-file={folder}/pid", "--innodb-buffer-pool-size=64M"]
            command += ["--innodb-flush-log-at-trx-commit=0", "--sort-buffer-size=4M"]
            login = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{port}", "-uroot", "-N"]

            def client(text):
                return session.run(login, stdin=text.encode())

            with session.server(command, port):
                libraries.append(client("SELECT @@version_malloc_library;").decode())
                client(TABLES)
                results = [None] * CONNECTIONS
                threads = [
                    threading.Thread(target=self.work, args=(client, number, results))
                    for number in range(CONNECTIONS)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.assertNotIn(None, results)
                results.append(client("SELECT SUM(value) FROM test.account;"))
            return results

        self.assertEqual(self.same_under_both(workload)[-1], b"100000\n")
        self.assertEqual(libraries[0], "system\n")
        self.assertRegex(libraries[1], r"^jemalloc 5\.3\.\d-spanmalloc")
