// FourNodes: the made-up machine of these tests: two nodes with CPUs, two with memory only, sparse ids.
//
// Shape      node 0: CPUs 0, 1, each with a last-level cache of its own; node 1: CPUs 2, 3, which share one; node 4 and
//            node 7: memory only.
//            distances    0   1   4   7
//                     0  10  21  21  31
//                     1  21  10  31  21
//                     4  21  31  10  31
//                     7  31  21  31  10
// Units      bytes
#ifndef HUGEPOOL_TESTS_POOL_FOUR_NODES_H_
#define HUGEPOOL_TESTS_POOL_FOUR_NODES_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "hugepool/pool.h"
#include "pool/pool_core.h"
#include "pool/simulated_os.h"
#include "topology/topology.h"

namespace hugepool::testing {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

inline internal::Topology FourNodes() {
  Error error;
  auto topology =
      internal::Topology::Make({{.node_id = 0, .cpus = {0, 1}, .memory_bytes = 8 * kGiB, .cache_groups = {{0}, {1}}},
                                {.node_id = 1, .cpus = {2, 3}, .memory_bytes = 8 * kGiB},
                                {.node_id = 4, .memory_bytes = 8 * kGiB},
                                {.node_id = 7, .memory_bytes = 8 * kGiB}},
                               {{10, 21, 21, 31}, {21, 10, 31, 21}, {21, 31, 10, 31}, {31, 21, 31, 10}}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

inline internal::Topology OneNode() {
  Error error;
  auto topology =
      internal::Topology::Make({{.node_id = 0, .cpus = {0, 1, 2, 3}, .memory_bytes = 8 * kGiB}}, {}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

// The same memory on each of FourNodes().
inline std::vector<SimulatedOs::NodeMemory> EachNode(uint64_t huge_page_count, uint64_t small_bytes) {
  std::vector<SimulatedOs::NodeMemory> nodes;
  for (const int node_id : {0, 1, 4, 7}) nodes.push_back({node_id, huge_page_count, small_bytes});
  return nodes;
}

inline std::shared_ptr<Pool> MakePool(const PoolOptions& options, SimulatedOs& os, const internal::Topology& topology) {
  Error error;
  auto pool = internal::CreatePool(options, os, topology, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

// "" when the books are right, else what CheckInvariants() says.
inline std::string Complaint(const Pool& pool) {
  std::string why;
  if (pool.CheckInvariants(&why)) return {};
  return why.empty() ? "CheckInvariants() says no and not why" : why;
}

inline const NodeStats& StatsOf(const PoolStats& stats, int node_id) {
  for (const NodeStats& node : stats.nodes) {
    if (node.node_id == node_id) return node;
  }
  static const NodeStats none;
  ADD_FAILURE() << "no statistics of node " << node_id;
  return none;
}

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_FOUR_NODES_H_
