# SPDX-License-Identifier: Apache-2.0
"""The allocator beside malloc instead of in its place: every name of it carries a prefix.

prefixed_build(name = "je", prefix = "je_") makes

  libspanmalloc_je.a    an archive to link: je_malloc, je_free, je_mallctl, je_malloc_conf ...
  libspanmalloc_je.so   the same as a shared library
  je_spanmalloc.h       their declarations
  je/jemalloc/jemalloc.h
                        the same, for programs that include that

It replaces nothing: no malloc, no operator new. Several, with different prefixes, may live in one
process; each has a heap of its own.
"""

load("//tools/bazel:copts.bzl", "SPAN_CORE_COPTS")
load("//tools/bazel:relocatable_archive.bzl", "relocatable_archive")
load("//tools/bazel:shared_library.bzl", "LINKOPTS")

def prefixed_build(name, prefix):
    """Targets <name>_archive, libspanmalloc_<name>.so, <name>_headers.

    Args:
      name: part of the targets' and files' names.
      prefix: of every public name; in names of environment variables, in capitals.
    """
    native.cc_library(
        name = name + "_names",
        srcs = ["//allocator/api:build_names.cc"],
        copts = SPAN_CORE_COPTS,
        linkstatic = True,
        local_defines = [
            'SPANMALLOC_PREFIX=\\"%s\\"' % prefix,
            'SPANMALLOC_UPPER_PREFIX=\\"%s\\"' % prefix.upper(),
        ],
        tags = ["no_sanitizer"],
        deps = ["//allocator/api:nameless"],
    )
    relocatable_archive(
        name = name + "_archive",
        out = "libspanmalloc_%s.a" % name,
        libraries = [name + "_names"],
        prefix = prefix,
        tags = ["no_sanitizer"],
    )
    relocatable_archive(
        name = name + "_shared_objects",
        out = "libspanmalloc_%s_shared.a" % name,
        libraries = [
            name + "_names",
            "//allocator/api:shared_library_only",
        ],
        prefix = prefix,
        tags = ["no_sanitizer"],
    )
    library = "libspanmalloc_%s.so" % name
    native.cc_binary(
        name = library,
        additional_linker_inputs = [name + "_shared_objects"],
        linkopts = LINKOPTS + [
            "-Wl,--whole-archive,$(location %s_shared_objects),--no-whole-archive" % name,
            "-Wl,-soname," + library,
        ],
        linkshared = True,
        tags = ["no_sanitizer"],
    )
    native.genrule(
        name = name + "_headers",
        srcs = [
            "//allocator/api:jemalloc.h",
            "//allocator/api:spanmalloc.h",
        ],
        outs = [
            prefix + "spanmalloc.h",
            name + "/jemalloc/jemalloc.h",
        ],
        cmd = "\n".join([
            "/usr/bin/python3 $(execpath //tools/bazel:prefixed_header) %s " % prefix +
            "$(execpath //allocator/api:%s) " % header +
            "$(execpath //allocator/api:spanmalloc.h) >$(execpath %s)" % output
            for header, output in [
                ("spanmalloc.h", prefix + "spanmalloc.h"),
                ("jemalloc.h", name + "/jemalloc/jemalloc.h"),
            ]
        ]),
        tools = ["//tools/bazel:prefixed_header"],
    )
