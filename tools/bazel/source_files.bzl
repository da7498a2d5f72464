# SPDX-License-Identifier: Apache-2.0
"""The sources and headers of a cc_library and of all it depends on in this repository.

tests/golden reads them; a glob could not, since it ends where another package begins.
"""

_SourcesInfo = provider(fields = ["files"])

def _sources_aspect_impl(target, ctx):
    if target.label.workspace_root:
        return [_SourcesInfo(files = depset())]
    direct = []
    for attribute in ["srcs", "hdrs", "textual_hdrs"]:
        for source in getattr(ctx.rule.attr, attribute, []):
            direct.extend([file for file in source.files.to_list() if file.is_source])
    deps = getattr(ctx.rule.attr, "deps", [])
    return [_SourcesInfo(files = depset(
        direct,
        transitive = [dep[_SourcesInfo].files for dep in deps if _SourcesInfo in dep],
    ))]

_sources_aspect = aspect(
    implementation = _sources_aspect_impl,
    attr_aspects = ["deps"],
)

def _source_files_impl(ctx):
    files = depset(transitive = [library[_SourcesInfo].files for library in ctx.attr.libraries])
    return [DefaultInfo(files = files, runfiles = ctx.runfiles(transitive_files = files))]

source_files = rule(
    implementation = _source_files_impl,
    attrs = {
        "libraries": attr.label_list(
            mandatory = True,
            aspects = [_sources_aspect],
        ),
    },
)
