# SPDX-License-Identifier: Apache-2.0
"""sqlite3: inserts, indexes, joins, JSON, full text search, deletes and VACUUM on one database."""

import support

SCRIPT = """
PRAGMA page_size = 4096;
CREATE TABLE item(id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, body BLOB);
BEGIN;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO item SELECT i, (i * 7919) % 1009,
    printf('name-%08d', (i * 2654435761) % 100000007), zeroblob((i * 31) % 300) FROM n;
COMMIT;
CREATE INDEX item_by_group ON item(grp, name);
CREATE UNIQUE INDEX item_by_name ON item(name, id);
CREATE TABLE grp AS SELECT grp AS id, count(*) AS items, max(name) AS last FROM item GROUP BY grp;
SELECT count(*), sum(items), min(last), max(last) FROM grp;
SELECT a.grp, count(*), sum(length(b.body)) FROM item a JOIN item b ON a.grp = b.grp
    WHERE a.grp % 40 = 3 GROUP BY a.grp ORDER BY a.grp;
SELECT id, name, row_number() OVER (PARTITION BY grp ORDER BY name DESC) FROM item
    WHERE grp % 100 = 7 ORDER BY id;
CREATE VIRTUAL TABLE text USING fts5(words);
INSERT INTO text SELECT printf('w%d w%d w%d', id % 97, id % 89, id % 83) FROM item;
SELECT count(*) FROM text WHERE text MATCH 'w5 AND w7';
SELECT length(json_group_array(json_object('id', id, 'name', name))) FROM item;
SELECT length(group_concat(name, ',')) FROM (SELECT name FROM item ORDER BY name);
DELETE FROM item WHERE grp % 3 = 1;
UPDATE item SET body = CAST(name || name AS BLOB) WHERE grp % 3 = 2;
INSERT INTO text(text) VALUES('optimize');
VACUUM;
ANALYZE;
PRAGMA integrity_check;
SELECT count(*), sum(length(body)), max(name) FROM item;
"""


class SqliteTest(support.ProgramTest):
    programs = ("sqlite3",)

    def test_script_and_database_file(self):
        def workload(session):
            output = session.run(["sqlite3", "-batch", "items.db"], stdin=SCRIPT.encode())
            self.assertIn(b"\nok\n", output)
            return output.decode(), support.sha256_of_file(session.directory / "items.db")

        self.same_under_both(workload)
