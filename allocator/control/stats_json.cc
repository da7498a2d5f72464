// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/stats_json.h"

#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

class JsonTree {
 public:
  JsonTree(const StatsReader& reader, const StatsParts& parts, JsonWriter& json)
      : reader_(reader), parts_(parts), json_(json) {}

  // A name without a dot: its value, or an object of what is below it.
  void PrintTop(std::string_view name) {
    for (size_t row = 0; row < CtlRowCount(); row = StatsReader::GroupEnd(row, 1)) {
      if (CtlPathAt(row).Part(0) != name) continue;
      CtlIndices indices = {};
      PrintGroup(row, StatsReader::GroupEnd(row, 1), 0, indices, 0);
      return;
    }
  }

  void PrintArenas() {
    if (!parts_.merged && !parts_.destroyed && !parts_.arenas) return;
    const size_t row = StatsReader::RowOf("stats.arenas.<i>.nthreads");
    PrintByArena("stats.arenas", row, StatsReader::GroupEnd(row, 3), 3);
  }

 private:
  std::string_view ArenaKey(size_t arena) {
    if (arena == kAllArenas) return "merged";
    if (arena == kDestroyedArenas) return "destroyed";
    TextBuffer key(key_, sizeof(key_));
    key << uint64_t{arena};
    return key.text();
  }

  // Rows [row, end) share their first `depth` components, the last of which is an arena's index:
  // prints an object that has the arenas as keys.
  void PrintByArena(std::string_view key, size_t row, size_t end, size_t depth) {
    json_.OpenObject(key);
    reader_.ForArenas(parts_, [&](size_t arena) {
      CtlIndices indices = {arena};
      json_.OpenObject(ArenaKey(arena));
      PrintAll(row, end, depth, indices, 1);
      json_.CloseObject();
    });
    json_.CloseObject();
  }

  // Rows [row, end) share their first `depth` components: prints them by the next one. `indices`
  // has `known` of the indices above.
  void PrintAll(size_t row, size_t end, size_t depth, CtlIndices& indices, size_t known) {
    while (row < end) {
      const size_t group_end = StatsReader::GroupEnd(row, depth + 1);
      PrintGroup(row, group_end, depth, indices, known);
      row = group_end;
    }
  }

  // Rows [row, end) share component `depth`, too.
  void PrintGroup(size_t row, size_t end, size_t depth, CtlIndices& indices, size_t known) {
    const CtlPath path = CtlPathAt(row);
    const std::string_view key = path.Part(depth);
    if (!parts_.Wants(key)) return;
    if (depth == 1 && !StatsReader::IsWanted(path.Part(0), key)) return;
    if (path.depth == depth + 1) return PrintValue(row, key, indices);
    if (!path.IsIndex(depth + 1)) {
      json_.OpenObject(key);
      PrintAll(row, end, depth + 1, indices, known);
      json_.CloseObject();
      return;
    }
    if (path.Part(depth + 1) == "<i>") {
      if (depth == 1 && path.Part(0) == "stats") return;  // PrintArenas
      return PrintByArena(key, row, end, depth + 2);
    }
    json_.OpenArray(key);
    for (size_t i = 0; reader_.IndexExists(row, depth + 1, i); ++i) {
      indices[known] = i;
      json_.OpenObject();
      PrintAll(row, end, depth + 2, indices, known + 1);
      json_.CloseObject();
    }
    json_.CloseArray();
  }

  void PrintValue(size_t row, std::string_view key, const CtlIndices& indices) {
    CtlValue value;
    if (!StatsReader::IsPrintable(row) || !reader_.Read(row, indices, &value)) return;
    if (key == "uptime") key = "uptime_ns";
    switch (CtlRowAt(row).type) {
      case CtlType::kBool:
        return json_.Field(key, value.number != 0);
      case CtlType::kSigned:
        return json_.Field(key, static_cast<int64_t>(value.number));
      case CtlType::kString:
        return json_.Field(key, value.string == nullptr ? "" : value.string);
      default:
        return json_.Field(key, value.number);
    }
  }

  const StatsReader& reader_;
  const StatsParts& parts_;
  JsonWriter& json_;
  char key_[24] = {};
};

}  // namespace

void PrintStatsJson(const StatsReader& reader, const StatsParts& parts, StatsWriter& out) {
  JsonWriter json(out);
  JsonTree tree(reader, parts, json);
  json.OpenObject();
  json.OpenObject("jemalloc");
  if (parts.general) {
    static constexpr char kNames[][8] = {"version", "config", "opt", "prof", "arenas"};
    for (const char* name : kNames) tree.PrintTop(name);
  }
  tree.PrintTop("stats");
  tree.PrintArenas();
  tree.PrintTop("spanmalloc");
  json.CloseObject();
  json.CloseObject();
}

}  // namespace spanmalloc
