# SPDX-License-Identifier: Apache-2.0
"""python3: its own regression suite with every object from malloc; the same cases must pass."""

import xml.etree.ElementTree

import support

MODULES = """
    test_array test_buffer test_bytes test_collections test_copy test_ctypes
    test_decimal test_deque test_dict test_functools test_gc test_generators test_heapq
    test_itertools test_json test_list test_long test_memoryview test_mmap test_ordered_dict
    test_pickle test_re test_set test_sort test_string test_struct test_unicode
    test_xml_etree_c test_zlib
""".split()

# Threads, and processes forked while threads run.
THREADING_MODULES = ["test_threading", "test_thread", "test_fork1"]


def outcomes(report):
    """Every case of a regrtest JUnit report with its outcome, without the durations."""
    cases = []
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        verdicts = [child.tag for child in case if child.tag in ("error", "failure", "skipped")]
        cases.append((case.get("name"), case.get("result"), tuple(verdicts)))
    return sorted(cases)


class PythonTest(support.ProgramTest):
    programs = ("python3.11",)

    def run_modules(self, modules, least_cases):
        def workload(session):
            report = session.directory / "report.xml"
            command = ["/usr/bin/python3", "-m", "test", "--junit-xml", report, *modules]
            session.run(command, PYTHONMALLOC="malloc", PYTHONHASHSEED="0")
            return outcomes(report)

        cases = self.same_under_both(workload)
        self.assertGreater(len(cases), least_cases)
        self.assertEqual([case for case in cases if {"error", "failure"} & set(case[2])], [])

    def test_containers_strings_and_streams(self):
        self.run_modules(MODULES, least_cases=3000)

    def test_threads_and_forks(self):
        self.run_modules(THREADING_MODULES, least_cases=100)
