# SPDX-License-Identifier: Apache-2.0
"""One self-contained static archive out of cc_libraries and all they depend on.

All objects are joined into one (ld -r), and every hidden symbol becomes local, so that the
archive's only names are those the shared library exports too, and linking any of them brings in
the whole allocator. With a prefix, the names in C get it, and those of C++ and of the C library's
own, which begin with an underscore, become local too.
"""

def _relocatable_archive_impl(ctx):
    objects = []
    for target in ctx.attr.libraries:
        for linker_input in target[CcInfo].linking_context.linker_inputs.to_list():
            for library in linker_input.libraries:
                objects.extend(library.pic_objects or library.objects or [])
    if not objects:
        fail("no objects in %s" % ctx.label)

    args = ctx.actions.args()

    # Set when compiling for another architecture.
    args.add(ctx.var.get("binutils_prefix", ""))
    args.add(ctx.attr.prefix)
    args.add(ctx.outputs.out)
    args.add_all(objects, uniquify = True)
    ctx.actions.run_shell(
        inputs = objects,
        outputs = [ctx.outputs.out],
        arguments = [args],
        command = """set -eu
binutils=$1 prefix=$2 out=$3; shift 3
ld.lld-19 -r --force-group-allocation -o "$out.o" "$@"
"${binutils}objcopy" --localize-hidden "$out.o"
if [ -n "$prefix" ]; then
  "${binutils}nm" -g --defined-only "$out.o" | while read -r _ _ name; do
    case $name in
      _*) echo "--localize-symbol=$name" ;;
      *) echo "--redefine-sym=$name=$prefix$name" ;;
    esac
  done >"$out.options"
  "${binutils}objcopy" "@$out.options" "$out.o"
  rm "$out.options"
fi
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
        "libraries": attr.label_list(
            mandatory = True,
            providers = [CcInfo],
        ),
        "out": attr.output(mandatory = True),
        "prefix": attr.string(),
    },
)
