# SPDX-License-Identifier: Apache-2.0
"""Runs a file's unittest cases and writes Bazel's test.xml, one <testcase> each.

Called by run_python_test.sh with the file, then the arguments the file finds in sys.argv[1:].
"""

import importlib.util
import os
import sys
import unittest
import xml.etree.ElementTree as ET


class RecordingResult(unittest.TextTestResult):
    """A text result that also remembers what passed."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed = []

    def addSuccess(self, test):  # pylint: disable=invalid-name
        super().addSuccess(test)
        self.passed.append(test)


def write_xml(path, name, result):
    """Writes the result in the JUnit form that Bazel and tools/test read."""
    failed = result.failures + result.errors
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(result.passed) + len(failed) + len(result.skipped)),
        failures=str(len(failed)),
        errors="0",
        skipped=str(len(result.skipped)),
    )
    for test in result.passed:
        ET.SubElement(suite, "testcase", name=test.id())
    for test, text in failed:
        ET.SubElement(ET.SubElement(suite, "testcase", name=test.id()), "failure").text = text
    for test, reason in result.skipped:
        ET.SubElement(ET.SubElement(suite, "testcase", name=test.id()), "skipped", message=reason)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def main():
    """Runs the file named first on the command line; 0 only if something ran and all passed."""
    path = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(resultclass=RecordingResult, verbosity=2).run(suite)
    if "XML_OUTPUT_FILE" in os.environ:
        write_xml(os.environ["XML_OUTPUT_FILE"], name, result)
    return 0 if result.testsRun and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
