// SPDX-License-Identifier: Apache-2.0
//
// Prints a page of the documentation made from a table:
//   generate_docs options     from allocator/params/options.def
//   generate_docs mallctl     from allocator/control/names.def
//   generate_docs schema      the same as a JSON schema
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>

#include "allocator/control/ctl_table.h"
#include "allocator/params/options.h"

namespace spanmalloc {
namespace {

constexpr char kOptionsHead[] = R"(# Options

<!-- Made by tools/generate_docs/update.sh from allocator/params/options.def. Don't edit. -->

Options are `name:value` pairs with commas between them. They are read once, before the first
allocation, from these places; where two set the same option, the later of this list wins:

1. the program's own `const char* malloc_conf = "...";`
2. the target of the symbolic link `/etc/malloc.conf`
3. the environment variable `MALLOC_CONF`
4. the program's own `const char* malloc_conf_2_conf_harder = "...";`
5. the environment variable `SPANMALLOC_CONF`

In a build with a prefix all these names carry it: `je_malloc_conf`, `/etc/je_malloc.conf`,
`JE_MALLOC_CONF`.

```
SPANMALLOC_CONF=dirty_decay_ms:10000,stats_print:true ./server
```

The environment of a program that runs with more privileges than its caller (setuid) is ignored.
Numbers are decimal. A pair that is unknown, malformed or out of bounds is named on stderr and
ignored, unless `abort_conf:true` is given. Names are jemalloc's where the meaning is the same, so
that a `MALLOC_CONF` written for it can stay. `mallctl("opt.<name>")` reads the value in effect.
)";

constexpr char kMallctlHead[] = R"(# mallctl

<!-- Made by tools/generate_docs/update.sh from allocator/control/names.def. Don't edit. -->

`mallctl`, `mallctlnametomib` and `mallctlbymib` read and set the allocator's numbers and settings
by name. They follow jemalloc 5.3's rules; they return an error number and leave `errno` alone.

* `stats.*` and `spanmalloc.*` numbers are of one moment, the epoch, and add up. Writing any
  `uint64_t` to `epoch` takes them anew.
* A value is copied if `oldp` and `oldlenp` aren't NULL. A buffer of another size gets the shorter
  of both, `*oldlenp` becomes the length copied, and the result is `EINVAL`. Written values must
  have their exact size.
* `EPERM`: a write to a name that is read-only, or any argument to an action. `ENOENT`: no such
  name or index. `EFAULT`: the name can't do that here. `EAGAIN`: out of memory, a feature that is
  absent, or a call from a signal handler that interrupted the allocator.
* `<i>` is the index of an arena: below `arenas.narenas`, or 4096 for all arenas; `arena.<i>` takes
  `arenas.narenas` for all arenas too, and `stats.arenas.<i>` takes 4097 for destroyed ones. `<j>`
  is a size class below `arenas.nbins`, `<k>` a large one below `arenas.nlextents`, `<e>` a length of
  free runs below `arenas.nlextents` + 3, `<s>` a CPU's set of central lists.
* Counts of blocks are made where batches pass between thread caches and central free lists:
  `nmalloc` doesn't count blocks that a cache hands out again, and a block in a cache counts as
  free. `nmalloc - ndalloc` is exactly what the program holds.
* Names of jemalloc's that aren't listed answer `ENOENT`: their value isn't known here.
* Every name that jemalloc has too, called with every kind of argument, answers with the same error
  number as jemalloc's, but for these, where more is possible: an arena made since the last epoch,
  and 4097 before the first one was destroyed, read as zeros in `stats.arenas` (there: `ENOENT`);
  decay times of `arena.4096` can be read, and written for all arenas that exist (`EFAULT`); whatever
  is written to `arena.4097.dss` is `EFAULT` (of a wrong size `EINVAL`);
  `opt.utrace`, `opt.xmalloc` and `opt.lg_san_uaf_align` are there in every build.

* The same as a JSON schema: [mallctl.schema.json](mallctl.schema.json). A running program lists the
  names by `spanmalloc.names`, and tells their types, access, units and help by `spanmalloc.name.*`.

Types: `b` bool, `u` unsigned (4 bytes), `u64` uint64_t, `z` size_t, `s` ssize_t, `str` const char*,
`p` a pointer. Access: `r` read, `w` write, `rw` read and write, `-` an action, `absent`: the name has
a MIB and answers `ENOENT`, as jemalloc's do where the feature is off.
)";

std::string DefaultText(size_t row) {
  const Options defaults;
  const OptionValue value = ValueOf(defaults, row);
  if (OptionAt(row).kind == OptionKind::kBool) return value.number != 0 ? "true" : "false";
  if (value.text == nullptr) return std::to_string(value.number);
  return value.text;
}

void PrintOptions(OptionEffect effect) {
  std::cout << "\n| option | default | values | |\n|---|---|---|---|\n";
  for (size_t row = 0; row < OptionCount(); ++row) {
    const OptionInfo info = OptionAt(row);
    if (info.effect != effect) continue;
    char bounds[128];
    const std::string values(bounds, DescribeBounds(row, bounds, sizeof(bounds)));
    const std::string text = DefaultText(row);
    std::cout << "| `" << info.name << "` | " << (text.empty() ? "" : "`" + text + "`") << " | "
              << values << " | " << info.help << " |\n";
  }
}

void PrintOptionsPage() {
  std::cout << kOptionsHead << "\n## Options that act\n";
  PrintOptions(OptionEffect::kActs);
  std::cout << "\n## Accepted for compatibility\n\nAny of the values is accepted and changes "
               "nothing; the default is what is in effect.\n";
  PrintOptions(OptionEffect::kIgnored);
  std::cout << "\n## Features that aren't there\n\nOnly the default is accepted; another value is "
               "named on stderr.\n";
  PrintOptions(OptionEffect::kFixed);
}

// The default of an option that a name reads; its row, or OptionCount() if it reads none.
size_t OptionRowOf(std::string_view name) {
  size_t row = 0;
  while (row < OptionCount() && name != "opt." + std::string(OptionAt(row).name)) ++row;
  return row;
}

std::string MarkedDefault(std::string_view name) {
  const size_t row = OptionRowOf(name);
  const std::string text = row == OptionCount() ? "" : DefaultText(row);
  return text.empty() ? "" : "`" + text + "`";
}

void PrintMallctlPage() {
  std::cout << kMallctlHead
            << "\n| name | type | access | unit | default | |\n|---|---|---|---|---|---|\n";
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlRow entry = CtlRowAt(row);
    std::cout << "| `" << entry.name << "` | " << CtlTypeText(entry.type) << " | "
              << CtlAccessText(entry.access) << " | " << entry.unit << " | "
              << MarkedDefault(entry.name) << " | " << entry.help << " |\n";
  }
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// A name as a regular expression, with a number for each index; in JSON, which doubles backslashes.
std::string PatternOf(std::string_view name) {
  std::string pattern = "^";
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') {
      pattern += "[0-9]+";
      i = name.find('>', i);
    } else if (name[i] == '.') {
      pattern += "\\\\.";
    } else {
      pattern += name[i];
    }
  }
  return pattern + "$";
}

const char* SchemaOf(CtlType type) {
  switch (type) {
    case CtlType::kNone:
      return R"("type": "null")";
    case CtlType::kBool:
      return R"("type": "boolean")";
    case CtlType::kUnsigned:
      return R"("type": "integer", "minimum": 0, "maximum": 4294967295)";
    case CtlType::kUint64:
    case CtlType::kSize:
    case CtlType::kPointer:
      return R"("type": "integer", "minimum": 0, "maximum": 18446744073709551615)";
    case CtlType::kSigned:
      return R"("type": "integer", "minimum": -9223372036854775808,)"
             R"( "maximum": 9223372036854775807)";
    case CtlType::kString:
      return R"("type": "string")";
  }
  return "";
}

void PrintSchemaRow(const CtlRow& entry) {
  std::cout << "{" << SchemaOf(entry.type) << ", \"description\": " << Quoted(entry.help)
            << ", \"x-name\": " << Quoted(entry.name)
            << ", \"x-type\": " << Quoted(CtlTypeText(entry.type))
            << ", \"x-access\": " << Quoted(CtlAccessText(entry.access));
  if (*entry.unit != '\0') std::cout << ", \"x-unit\": " << Quoted(entry.unit);
  const std::string_view access = CtlAccessText(entry.access);
  if (access == "r") std::cout << ", \"readOnly\": true";
  if (access == "w") std::cout << ", \"writeOnly\": true";
  if (const size_t option = OptionRowOf(entry.name); option < OptionCount()) {
    const bool text = entry.type == CtlType::kString;
    std::cout << ", \"default\": " << (text ? Quoted(DefaultText(option)) : DefaultText(option));
  }
  std::cout << "}";
}

// The names with or without an index.
void PrintSchemaRows(bool indexed) {
  const char* separator = "\n";
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlRow entry = CtlRowAt(row);
    if ((entry.name.find('<') != std::string_view::npos) != indexed) continue;
    std::cout << separator << "    "
              << (indexed ? "\"" + PatternOf(entry.name) + "\"" : Quoted(entry.name)) << ": ";
    PrintSchemaRow(entry);
    separator = ",\n";
  }
  std::cout << "\n  }";
}

void PrintSchema() {
  std::cout << R"({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$comment": "Made by tools/generate_docs/update.sh from allocator/control/names.def.",
  "title": "mallctl",
  "description": "An object of mallctl's names and their values. x-name is the name, with <i> and the like where an index stands; x-type, x-access and x-unit are as in mallctl.md.",
  "type": "object",
  "properties": {)";
  PrintSchemaRows(/*indexed=*/false);
  std::cout << ",\n  \"patternProperties\": {";
  PrintSchemaRows(/*indexed=*/true);
  std::cout << ",\n  \"additionalProperties\": false\n}\n";
}

}  // namespace
}  // namespace spanmalloc

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "options") == 0) {
    spanmalloc::PrintOptionsPage();
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "mallctl") == 0) {
    spanmalloc::PrintMallctlPage();
    return 0;
  }
  if (argc == 2 && strcmp(argv[1], "schema") == 0) {
    spanmalloc::PrintSchema();
    return 0;
  }
  std::cerr << "usage: generate_docs options|mallctl|schema\n";
  return 2;
}
