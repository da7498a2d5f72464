# SPDX-License-Identifier: Apache-2.0
"""Counts test cases for tools/test: count_tests.py BAZEL_STATUS BUILD_EVENT_FILE

Bazel counts targets; people count test cases. The build events (one JSON object a line) name the
test.xml of every test of this very run, cached or not. A target that could not be built, or that
died before it wrote its cases, is one failed case. The last line printed is `N passed, N failed`;
the exit status is 0 only if something ran, nothing failed, and Bazel succeeded.
"""

import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ET

Counts = collections.namedtuple("Counts", "passed failed skipped")


def count_cases(root):
    """Counts the cases of one parsed test.xml."""
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("result") in ("skipped", "suppressed"):
            skipped += 1
        elif case.get("status") != "notrun":
            passed += 1
    return Counts(passed, failed, skipped)


def count_target(status, xml_text):
    """Counts one run of one target: its status in the events, and its test.xml if it has one."""
    try:
        counts = count_cases(ET.fromstring(xml_text)) if xml_text else Counts(0, 0, 0)
    except ET.ParseError:
        counts = Counts(0, 0, 0)
    if status in ("PASSED", "FLAKY"):
        # A test that wrote no cases is itself the case.
        return counts if any(counts) else Counts(1, 0, 0)
    return counts if counts.failed else counts._replace(failed=1)


def read_events(lines):
    """Yields (label, status, path of test.xml or None), the last attempt of each run only."""
    runs = {}
    for line in lines:
        event = json.loads(line)
        identity = event["id"]
        if "testResult" in identity:
            key = identity["testResult"]
            result = event.get("testResult", {})
            uris = [o.get("uri") for o in result.get("testActionOutput", [])
                    if o.get("name") == "test.xml"]
            path = urllib.parse.unquote(urllib.parse.urlparse(uris[0]).path) if uris else None
            runs[(key["label"], key.get("run", 1), key.get("shard", 1))] = (
                result.get("status", "NO_STATUS"), path)
        elif "targetCompleted" in identity:
            if not event.get("completed", {}).get("success"):
                runs[(identity["targetCompleted"]["label"], 0, 0)] = ("FAILED_TO_BUILD", None)
    for key in sorted(runs):
        yield (key[0], *runs[key])


def main():
    """Prints what failed, then the counts."""
    bazel_status, events_path = int(sys.argv[1]), sys.argv[2]
    total = Counts(0, 0, 0)
    with open(events_path, encoding="utf-8") as events:
        for label, status, path in read_events(events):
            xml_text = None
            if path:
                with open(path, encoding="utf-8", errors="replace") as file:
                    xml_text = file.read()
            counts = count_target(status, xml_text)
            if counts.failed:
                print(f"{status} {label}: {counts.failed} failed")
            total = Counts(*(sum(pair) for pair in zip(total, counts)))
    if total.skipped:
        print(f"{total.skipped} skipped")
    if bazel_status != 0 and total.failed == 0:
        print(f"bazel ended with status {bazel_status}")
        total = total._replace(failed=1)
    print(f"{total.passed} passed, {total.failed} failed")
    return 0 if total.passed and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main())
