// PoolStats for machines: JSON that a JSON library reads back field by field, Prometheus text that a strict reader takes,
// and no field of the structs left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/pool_stats.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Every field gets a value of its own. The bindings name each field of the structs: with a new one they do not compile,
// and whoever adds its name here is told by the tests below where it is missing.
PoolStats DistinctStats() {
  uint64_t next = 1'000'001;
  const auto set = [&next](auto&... numbers) { ((numbers = next++), ...); };
  const auto set_backed = [&set](auto&... arrays) { (set(arrays[0], arrays[1], arrays[2]), ...); };
  const auto set_node = [&](NodeStats& stats, int id) {
    auto& [node_id, committed_bytes, used_bytes, empty_bytes, draining_bytes, degraded_bytes, unverified_bytes,
           departure_count, departed_bytes, refused_count, misplaced_count] = stats;
    node_id = id;
    set_backed(committed_bytes, refused_count);
    set(used_bytes, empty_bytes, draining_bytes, degraded_bytes, unverified_bytes, departure_count, departed_bytes,
        misplaced_count);
  };
  const auto set_class = [&](ClassStats& stats, int id) {
    auto& [node_id, object_bytes, slab_count, slab_bytes, used_count, cached_count, slab_bytes_by_backing] = stats;
    node_id = id;
    set(object_bytes, slab_count, slab_bytes, used_count, cached_count);
    set_backed(slab_bytes_by_backing);
  };
  PoolStats stats;
  auto& [name, backing, placement, cache_mode, page_bytes, capacity_bytes, committed_bytes, metadata_bytes,
         allocated_bytes, cached_bytes, allocated_count, failed_count, pressure_event_count, pressure_trimmed_bytes,
         refused_bind_count, refused_locate_count, refused_give_back_count, aborted_sequence_count,
         child_allocate_count, child_deallocate_count, nodes, classes] = stats;
  name = "the name";
  backing = "the backing";
  placement = "the placement";
  cache_mode = "the cache mode";
  set(page_bytes, aborted_sequence_count, capacity_bytes, committed_bytes, metadata_bytes, allocated_bytes,
      cached_bytes, allocated_count, failed_count, pressure_event_count, pressure_trimmed_bytes, refused_bind_count,
      refused_locate_count, refused_give_back_count, child_allocate_count, child_deallocate_count);
  nodes.resize(2);
  set_node(nodes[0], 3);
  set_node(nodes[1], 17);
  classes.resize(3);
  set_class(classes[0], 3);
  set_class(classes[1], 3);
  set_class(classes[2], 17);
  return stats;
}

// The numbers of DistinctStats() are 1,000,001 and so many following ones.
constexpr size_t kDistinctCount = 16 + 2 * (8 + 2 * 3) + 3 * (5 + 3);
