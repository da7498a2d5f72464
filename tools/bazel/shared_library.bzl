# SPDX-License-Identifier: Apache-2.0
"""The allocator as a shared library."""

LINKOPTS = [
    "-Wl,--as-needed",
    "-Wl,--gc-sections",
    "-Wl,-z,now",
    "-Wl,-z,separate-loadable-segments",
    "-Wl,-z,nodelete",  # its thread may run for as long as the process
]

_EXPORTS = "//tools/bazel:spanmalloc.map"
_LAYOUT = "//tools/bazel:spanmalloc.lds"

def shared_library(name, exports = _EXPORTS, deps = []):
    """A library whose file and soname are `name`, and which takes the place of malloc.

    Args:
      name: the name of the file.
      exports: the linker's list of what it exports.
      deps: what it contains beside the allocator.
    """
    native.cc_binary(
        name = name,
        additional_linker_inputs = [
            exports,
            _LAYOUT,
        ],
        linkopts = LINKOPTS + [
            "-Wl,--version-script=$(location %s)" % exports,
            "-Wl,--undefined-version",
            "-Wl,-T,$(location %s)" % _LAYOUT,
            "-Wl,-soname," + name,
        ],
        linkshared = True,
        tags = ["no_sanitizer"],
        deps = deps + [
            "//allocator/api",
            "//allocator/api:shared_library_only",
        ],
    )
