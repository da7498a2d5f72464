# SPDX-License-Identifier: Apache-2.0
"""Sums up runs of bazel test for tools/test: count_tests.py {CONFIG BAZEL_STATUS EVENT_FILE}...

Bazel counts targets; people count test cases. The build events (one JSON object a line) name the
test.xml of every test of this very run, cached or not. A target that could not be built, or that
died before it wrote its cases, is one failed case. Printed are each target's cases and seconds,
then the failed cases, and last `N passed, N failed`; the exit status is 0 only if something ran,
nothing failed, and Bazel succeeded.
"""

import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ET

Counts = collections.namedtuple("Counts", "passed failed skipped")
Run = collections.namedtuple("Run", "label status xml_path seconds cached")

# Statuses of bazel test that say nothing the events don't: all well, some tests failed, and no
# test was asked for (a sanitizer may have none; tools/test as a whole must run something).
EVENTS_SAY_ALL = (0, 3, 4)

TRACEBACK = "Traceback (most recent call last):"


def is_failed(case):
    """True for a <testcase> that failed."""
    return case.find("failure") is not None or case.find("error") is not None


def count_cases(root):
    """Counts the cases of one parsed test.xml."""
    passed = failed = skipped = 0
    for case in root.iter("testcase"):
        if is_failed(case):
            failed += 1
        elif case.find("skipped") is not None or case.get("result") in ("skipped", "suppressed"):
            skipped += 1
        elif case.get("status") != "notrun":
            passed += 1
    return Counts(passed, failed, skipped)


def failed_cases(root):
    """Yields each failed case as `name: reason`, cut to about two lines."""
    for case in root.iter("testcase"):
        if is_failed(case):
            element = case.find("failure")
            if element is None:
                element = case.find("error")
            lines = (element.get("message") or element.text or "").strip().splitlines()
            # Python's reason ends its traceback.
            reason = lines[-1] if lines[:1] == [TRACEBACK] else " ".join(lines)
            name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
            yield f"{name}: {reason[:200]}"


def parse(xml_text):
    """The root of a test.xml; an empty one if a test died before it had written it."""
    try:
        return ET.fromstring(xml_text)
    except ET.ParseError:
        return ET.Element("testsuites")


def count_target(status, root):
    """Counts one run of one target: its status in the events, and its parsed test.xml."""
    counts = count_cases(root)
    if status in ("PASSED", "FLAKY"):
        # A test that wrote no cases is itself the case.
        return counts if any(counts) else Counts(1, 0, 0)
    return counts if counts.failed else counts._replace(failed=1)


def read_events(lines):
    """Yields a Run for every target (and shard), the last attempt of each only."""
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
            cached = result.get("cachedLocally", False)
            runs[(key["label"], key.get("run", 1), key.get("shard", 1))] = Run(
                key["label"], result.get("status", "NO_STATUS"), path,
                int(result.get("testAttemptDurationMillis", 0)) / 1000, cached)
        elif "targetCompleted" in identity:
            if not event.get("completed", {}).get("success"):
                label = identity["targetCompleted"]["label"]
                runs[(label, 0, 0)] = Run(label, "FAILED_TO_BUILD", None, 0, False)
    for key in sorted(runs):
        yield runs[key]


def summarize(config, bazel_status, lines):
    """Prints the targets of one run of bazel; returns its Counts and descriptions of failures."""
    total = Counts(0, 0, 0)
    failures = []
    for run in read_events(lines):
        root = ET.Element("testsuites")
        if run.xml_path:
            with open(run.xml_path, encoding="utf-8", errors="replace") as file:
                root = parse(file.read())
        counts = count_target(run.status, root)
        name = run.label if config == "opt" else f"{config} {run.label}"
        if counts.failed:
            cases = list(failed_cases(root)) or ["before any test case"]
            failures += [f"{run.status} {name} {case}" for case in cases]
        time = "cached" if run.cached else f"{run.seconds:.1f} s"
        print(f"{time:>8}  {sum(counts):3} cases  {name}")
        total = Counts(*map(sum, zip(total, counts)))
    if bazel_status not in EVENTS_SAY_ALL and not total.failed:
        failures.append(f"{config}: bazel ended with status {bazel_status}")
        total = total._replace(failed=1)
    return total, failures


def main(arguments):
    """Prints the targets of every run of bazel, what failed, then the counts."""
    total = Counts(0, 0, 0)
    failures = []
    for config, bazel_status, path in zip(arguments[0::3], arguments[1::3], arguments[2::3]):
        with open(path, encoding="utf-8") as lines:
            counts, failed = summarize(config, int(bazel_status), lines)
        total = Counts(*map(sum, zip(total, counts)))
        failures += failed
    print(*failures, sep="\n", end="\n" if failures else "")
    if total.skipped:
        print(f"{total.skipped} skipped")
    print(f"{total.passed} passed, {total.failed} failed")
    return 0 if total.passed and not total.failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
