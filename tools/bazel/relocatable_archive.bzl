# SPDX-License-Identifier: Apache-2.0
"""One self-contained static archive out of a cc_library and all it depends on.

All objects are joined into one (ld -r), and every hidden symbol becomes local, so that the
archive's only names are those the shared library exports too, and linking any of them brings in
the whole allocator.
"""

def _relocatable_archive_impl(ctx):
    objects = []
    for linker_input in ctx.attr.library[CcInfo].linking_context.linker_inputs.to_list():
        for library in linker_input.libraries:
            objects.extend(library.pic_objects or library.objects or [])
    if not objects:
        fail("no objects in %s" % ctx.attr.library.label)

    args = ctx.actions.args()

    # Set when compiling for another architecture.
    args.add(ctx.var.get("binutils_prefix", "") + "objcopy")
    args.add(ctx.outputs.out)
    args.add_all(objects)
    ctx.actions.run_shell(
        inputs = objects,
        outputs = [ctx.outputs.out],
        arguments = [args],
        command = """set -eu
objcopy=$1; out=$2; shift 2
ld.lld-19 -r --force-group-allocation -o "$out.o" "$@"
"$objcopy" --localize-hidden "$out.o"
rm -f "$out"
ar crsD "$out" "$out.o"
rm "$out.o"
""",
        mnemonic = "RelocatableArchive",
        progress_message = "Joining objects into %s" % ctx.outputs.out.short_path,
    )
    return [DefaultInfo(
        files = depset([ctx.outputs.out]),
        runfiles = ctx.runfiles(files = [ctx.outputs.out]),
    )]

relocatable_archive = rule(
    implementation = _relocatable_archive_impl,
    attrs = {
        "library": attr.label(
            mandatory = True,
            providers = [CcInfo],
        ),
        "out": attr.output(mandatory = True),
    },
)
