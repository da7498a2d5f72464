// SPDX-License-Identifier: Apache-2.0
//
// single_thread_mixed: an ordinary single-threaded C++ program: lists of blocks of several sizes
// held and freed in different orders, then trees, strings and a graph of the standard library.

#include <array>
#include <cstdio>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

namespace spanmalloc::workloads {
namespace {

constexpr std::array<size_t, 12> kSizes = {16, 24, 32, 40, 48, 64, 80, 112, 160, 256, 512, 1024};
constexpr size_t kListRounds = 20'000;
constexpr size_t kListLength = 400;
constexpr size_t kContainerRounds = 9;
constexpr size_t kTreeNodes = 60'000;
constexpr size_t kGraphNodes = 40'000;

// Allocates a list of one size, frees every second block, allocates those again, frees all.
uint64_t ListOfOneSize(size_t size, uint64_t tag) {
  std::array<void*, kListLength> blocks;
  uint64_t checksum = 0;
  for (void*& block : blocks) {
    block = malloc(size);
    Touch(block, size, tag);
  }
  for (size_t i = 0; i < kListLength; i += 2) checksum += FreeTagged(blocks[i]);
  for (size_t i = 0; i < kListLength; i += 2) {
    blocks[i] = malloc(size);
    Touch(blocks[i], size, tag + i);
  }
  return checksum + FreeAll(blocks);
}

// A balanced tree whose values are strings too long to be stored inside the string object.
uint64_t Tree(Random& random) {
  std::map<uint64_t, std::string> tree;
  for (size_t i = 0; i < kTreeNodes; ++i) {
    tree[random.Below(kTreeNodes)] = std::string(random.Between(8, 120), 'a' + i % 26);
    if (i % 3 == 0) tree.erase(random.Below(kTreeNodes));
  }
  uint64_t checksum = 0;
  for (const auto& [key, value] : tree) checksum += key * value.size();
  return checksum;
}

struct Node {
  explicit Node(size_t number) : name("node " + std::to_string(number) + " of the graph") {}

  std::string name;
  std::vector<Node*> neighbours;
  std::list<size_t> weights;
};

// Nodes with a growing array and a list of edges each; a random half of them dies first.
uint64_t Graph(Random& random) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (size_t i = 0; i < kGraphNodes; ++i) {
    nodes.push_back(std::make_unique<Node>(i));
    for (size_t edge = random.Below(8); edge > 0; --edge) {
      nodes[i]->neighbours.push_back(nodes[random.Below(i + 1)].get());
      nodes[i]->weights.push_back(edge);
    }
  }
  uint64_t checksum = 0;
  for (const auto& node : nodes) {
    for (const Node* neighbour : node->neighbours) checksum += neighbour->name.size();
    for (const size_t weight : node->weights) checksum += weight;
  }
  for (size_t i = 0; i < kGraphNodes / 2; ++i) nodes[random.Below(kGraphNodes)].reset();
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  Random random(1);
  uint64_t checksum = 0;
  for (size_t i = 0; i < Scaled(kListRounds); ++i) {
    checksum += ListOfOneSize(kSizes[i % kSizes.size()], i);
  }
  for (size_t i = 0; i < Scaled(kContainerRounds); ++i) checksum += Tree(random) + Graph(random);
  return Finish("single_thread_mixed", checksum);
}
