# SPDX-License-Identifier: Apache-2.0
"""The documents: their links lead somewhere, and allocator/README.md names every source file."""

import glob
import os
import re
import unittest

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
EXTERNAL = re.compile(r"[a-z]+:")
GUIDE = "allocator/README.md"
# A name, or several endings of one: `span.h`, `page_map.h`, `.cc`
NAMES = re.compile(r"`([\w./]+)`")
FLOOR = re.compile(r"^### (\w+)/$", re.MULTILINE)


def documents():
    """The Markdown files there are."""
    return sorted(glob.glob("**/*.md", recursive=True))


def broken_links(path, text):
    """The relative links in text whose targets don't exist."""
    targets = [link for link in LINK.findall(text) if not EXTERNAL.match(link)]
    folder = os.path.dirname(path)
    return [link for link in targets if not os.path.exists(os.path.join(folder, link))]


def files_named(text):
    """The files that the guide's text names: floor/file, from the sections of the floors."""
    named = set()
    sections = FLOOR.split(text)[1:]
    for floor, section in zip(sections[::2], sections[1::2]):
        for line in section.split("\n## ")[0].splitlines():
            if not line.startswith("| `"):
                continue
            last = ""
            for name in NAMES.findall(line.split("|")[1]):
                last = os.path.splitext(last)[0] + name if name.startswith(".") else name
                named.add(f"{floor}/{last}")
    return named


class Documents(unittest.TestCase):
    """The repository's own."""

    def test_all_were_found(self):
        self.assertLessEqual({"README.md", GUIDE, "docs/design.md"}, set(documents()))

    def test_links_lead_somewhere(self):
        for path in documents():
            with open(path, encoding="utf-8") as file:
                self.assertEqual(broken_links(path, file.read()), [], path)

    def test_the_guide_names_every_source_file_and_no_other(self):
        with open(GUIDE, encoding="utf-8") as file:
            named = files_named(file.read())
        present = {
            os.path.relpath(path, "allocator")
            for path in glob.glob("allocator/*/*")
            if path.endswith((".h", ".hpp", ".cc", ".def"))
        }
        self.assertGreater(len(present), 50)
        self.assertEqual(sorted(present - named), [], "not in allocator/README.md")
        self.assertEqual(sorted(named - present), [], "only in allocator/README.md")


class Checks(unittest.TestCase):
    """That the tests above can fail."""

    def test_a_broken_link_is_found(self):
        text = "[a](README.md) [b](nowhere.md) [c](https://example.org) [d](gone.md#part)"
        self.assertEqual(broken_links("docs/page.md", text), ["nowhere.md", "gone.md"])

    def test_names_and_endings_are_read(self):
        text = "### heap/\n\n| `span.h`, `.cc` | a `word` |\n| `x.def` | |\n## End\n| `no.h` | |\n"
        self.assertEqual(files_named(text), {"heap/span.h", "heap/span.cc", "heap/x.def"})
