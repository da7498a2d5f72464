# SPDX-License-Identifier: Apache-2.0
"""ClickHouse: tables that are filled, merged and aggregated by several threads, over HTTP."""

import threading
import urllib.request

import support

CONNECTIONS = 3

CONFIGURATION = """
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <users_config>{folder}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""

USERS = """
<yandex>
  <profiles><default><max_threads>4</max_threads></default></profiles>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota>
  </default></users>
  <quotas><default/></quotas>
</yandex>
"""

TABLE = """
CREATE TABLE fact (day Date, id UInt64, kind String, value UInt64, tags Array(String))
  ENGINE = MergeTree(day, (kind, id), 1024)
"""

FILL = """
INSERT INTO fact SELECT toDate('2018-01-01') + (number % 60), number + {start},
  concat('kind ', toString(number % 211)), number * 7,
  arrayMap(x -> toString(x * number), range(number % 6))
  FROM (SELECT number FROM system.numbers LIMIT 100000)
"""

QUERIES = [
    "SELECT kind, count(), sum(value), uniqExact(id) FROM fact GROUP BY kind ORDER BY kind",
    "SELECT toMonth(day), quantileExact(0.9)(value), max(length(tags)) FROM fact GROUP BY toMonth(day)"
    " ORDER BY 1",
    "SELECT cityHash64(groupArray(t)) FROM (SELECT DISTINCT arrayJoin(tags) AS t FROM fact ORDER BY t)",
    "SELECT count(), sum(value) FROM fact ALL INNER JOIN (SELECT id, value AS other FROM fact"
    " WHERE id % 7 = 0) USING id",
]


class ClickHouseTest(support.LinkedProgramTest):
    programs = ("clickhouse-server",)

    def ask(self, port, query):
        url = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(url, query.encode(), support.HANG_SECONDS) as answer:
            return support.sha256(answer.read())

    def work(self, port, number, results):
        """One connection: fills the table, then asks it."""
        self.ask(port, FILL.format(start=number * 100000))
        # All have written before any asks.
        self.barrier.wait(support.HANG_SECONDS)
        results[number] = [self.ask(port, query) for query in QUERIES * 2]

    def test_queries(self):
        def workload(session):
            folder, http, tcp = session.directory, support.free_port(), support.free_port()
            (folder / "users.xml").write_text(USERS)
            text = CONFIGURATION.format(folder=folder, http=http, tcp=tcp)
            (folder / "config.xml").write_text(text)
            self.barrier = threading.Barrier(CONNECTIONS)
            results = [None] * CONNECTIONS
            with session.server(["clickhouse-server", f"--config={folder}/config.xml"], http):
                self.ask(http, TABLE)
                threads = [
                    threading.Thread(target=self.work, args=(http, number, results))
                    for number in range(CONNECTIONS)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                self.ask(http, "OPTIMIZE TABLE fact")
                results.append([self.ask(http, query) for query in QUERIES])
            self.assertNotIn(None, results)
            return results

        self.same_under_both(workload)
