#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a header of a build with a prefix: prefixed_header.py PREFIX HEADER spanmalloc.h

HEADER is spanmalloc.h, or one that includes it; the output includes no other header of the project.
It has the prefix before every name of a function, variable or type; and the C family's
declarations, which elsewhere <stdlib.h> has.
"""

import re
import sys

INTRODUCTION = """/*
 * The allocator beside malloc: every name carries a prefix, and nothing of the C library's is
 * replaced. Blocks of these functions go back by these functions alone. The comments name functions
 * without the prefix.
 *
 * All sizes are in bytes. Every function is thread-safe and may be called before main, from a
 * destructor at exit and in the child of a fork.
 *
 * C and C++, no other header of the project needed.
 */
"""

C_FAMILY = """
/* ---- the C family: the functions of these names in <stdlib.h> and <malloc.h> ---- */

void* malloc(size_t size) SPANMALLOC_NOEXCEPT;
void* calloc(size_t count, size_t size) SPANMALLOC_NOEXCEPT;
void* realloc(void* block, size_t size) SPANMALLOC_NOEXCEPT;
void* reallocarray(void* block, size_t count, size_t size) SPANMALLOC_NOEXCEPT;
void free(void* block) SPANMALLOC_NOEXCEPT;
void* aligned_alloc(size_t alignment, size_t size) SPANMALLOC_NOEXCEPT;
int posix_memalign(void** result, size_t alignment, size_t size) SPANMALLOC_NOEXCEPT;
void* memalign(size_t alignment, size_t size) SPANMALLOC_NOEXCEPT;
void* valloc(size_t size) SPANMALLOC_NOEXCEPT;
void* pvalloc(size_t size) SPANMALLOC_NOEXCEPT;
size_t malloc_usable_size(void* block) SPANMALLOC_NOEXCEPT;
int malloc_trim(size_t pad) SPANMALLOC_NOEXCEPT;
"""

COMMENT = re.compile(r"(/\*.*?\*/)", re.DOTALL)
# A function's name, before its parameters; a pointer's to a function; a variable's.
DECLARED = re.compile(
    r"\b([a-z]\w*)\((?=[^;{}]*;)|^extern void \(\*(\w+)\)|^extern [^;(]*?(\w+);", re.MULTILINE
)


# Ours: types, and functions that are defined in the header.
OWN = re.compile(r"\bspanmalloc_\w+")


def declared_names(code):
    """The functions, variables and types that a header without comments declares."""
    lines = [line for line in code.splitlines() if not line.startswith((" ", "#", "typedef"))]
    names = {name for match in DECLARED.finditer("\n".join(lines)) for name in match.groups()}
    return names - {None} | set(OWN.findall(code))


def with_prefix(prefix, header):
    """The text of the header with the prefix, and the C family in it."""
    start, end = header.index("/*\n"), header.index("#ifndef")
    header = header[:start] + INTRODUCTION + header[end:]
    start = header.index("/* ---- C23")
    header = header[:start] + C_FAMILY.lstrip() + "\n" + header[start:]
    return rename(prefix, header, {"SPANMALLOC_": f"{prefix.upper()}SPANMALLOC_"})


def rename(prefix, text, replaced):
    """The text of a header with the prefix before all names that it declares, and what is
    replaced besides in its code."""
    names = declared_names(COMMENT.sub("", text))
    parts = COMMENT.split(text)  # every second one is a comment
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"\b(" + "|".join(names) + r")\b", prefix + r"\1", parts[i])
        for word, other in replaced.items():
            parts[i] = parts[i].replace(word, other)
    return "".join(parts)


def read(path):
    """The text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def main(prefix, header, public_header):
    """Prints the header."""
    text = with_prefix(prefix, read(public_header))
    if header != public_header:
        text = rename(prefix, read(header), {}).replace("#include <spanmalloc/spanmalloc.h>\n", text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
