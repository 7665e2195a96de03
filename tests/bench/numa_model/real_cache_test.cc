// PoolModel against the pool itself: a CpuCache on a made-up machine, under the same load, holds back as much.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/numa_model/pool_model.h"
#include "cache/cpu_cache.h"
#include "pool/arena/arenas.h"

namespace hugepool::bench {
namespace {

using internal::ClassFor;
using internal::CpuCache;
using internal::Topology;
using internal::TopologyNode;
using testing::kGiB;
using testing::SimulatedOs;

// As many CPUs as the made-up machine can have.
constexpr size_t kCpusPerNode = 8;
constexpr size_t kLivePerCpu = 256;

Topology MachineOf(size_t node_count) {
  std::vector<TopologyNode> nodes(node_count);
  for (size_t i = 0; i < node_count * kCpusPerNode; ++i) nodes[i / kCpusPerNode].cpus.push_back(static_cast<int>(i));
  for (size_t i = 0; i < node_count; ++i) {
    nodes[i].node_id = static_cast<int>(i);
    nodes[i].memory_bytes = kGiB;
  }
  Error error;
  auto topology = Topology::Make(nodes, {}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

std::vector<SimulatedOs::NodeMemory> MemoryOf(size_t node_count) {
  std::vector<SimulatedOs::NodeMemory> nodes;
  for (size_t i = 0; i < node_count; ++i) nodes.push_back({static_cast<int>(i), 256, kGiB});
  return nodes;
}

struct Held {
  double magazine_bytes = 0;  // and outboxes
  double depot_bytes = 0;
};

// CPUs in random order miss; the block that they evict lies on any node.
Held HeldByTheRealOne(const Load& load) {
  SimulatedOs os(MemoryOf(load.node_count));
  PoolOptions options;
  options.capacity_bytes = load.node_count * kGiB / 4;
  testing::Arenas arenas(os, options, MachineOf(load.node_count));
  internal::PlacementPolicy policy(Placement::Local(), *arenas.set);
  Error error;
  const auto slabs = internal::SlabSet::Create(*arenas.set, arenas.metadata, &error);
  const auto cache =
      CpuCache::Create(CpuCacheMode::kLocked, *slabs, policy, load.cache_bytes, 10, arenas.metadata, &error);
  EXPECT_NE(cache, nullptr) << error.ToString();
  const internal::SizeClass size_class = ClassFor(load.object_bytes);
  std::mt19937_64 random(3);
  std::vector<std::vector<void*>> live(load.node_count);
  const auto allocate = [&](size_t cpu) {
    SimulatedOs::SetCpu(static_cast<int>(cpu));
    void* const block = cache->Allocate(size_class);
    EXPECT_NE(block, nullptr);
    live[arenas.set->map().WindowOf(block)].push_back(block);
  };
  for (size_t i = 0; i < load.cpu_count() * kLivePerCpu; ++i) allocate(i % load.cpu_count());

  Held held;
  const size_t miss_count = load.cpu_count() * load.misses_per_cpu;
  size_t sample_count = 0;
  for (size_t i = 0; i < 2 * miss_count; ++i) {
    allocate(random() % load.cpu_count());
    std::vector<void*>& home = live[random() % load.node_count];
    std::swap(home[random() % home.size()], home.back());
    cache->Deallocate(home.back(), size_class);
    home.pop_back();
    if (i < miss_count || i % 1000 != 0) continue;
    held.magazine_bytes += static_cast<double>(cache->magazine_bytes());
    held.depot_bytes += static_cast<double>(cache->cached_bytes() - cache->magazine_bytes());
    ++sample_count;
  }
  held.magazine_bytes /= static_cast<double>(sample_count);
  held.depot_bytes /= static_cast<double>(sample_count);
  for (const std::vector<void*>& home : live) cache->DeallocateBatch(size_class, home.data(), home.size());
  cache->Drain();
  SimulatedOs::SetCpu(0);
  return held;
}

// At the ends of several runs.
Held HeldByTheModel(Load load) {
  constexpr size_t kRunCount = 8;
  Held held;
  Costs costs;
  for (const CostField& field : kCostFields) costs.*field.value = 0;
  costs.lines_at_once = 1;
  for (size_t i = 0; i < kRunCount; ++i) {
    load.seed = i;
    PoolModel model(load, {.depot_cpus = load.cpus_per_node}, LockKind::kQueue, costs);
    const PoolFigures figures = model.Run();
    held.magazine_bytes += static_cast<double>(figures.magazine_bytes + figures.outbox_bytes) / kRunCount;
    held.depot_bytes += static_cast<double>(figures.depot_bytes) / kRunCount;
  }
  return held;
}

class PoolModelAndCpuCache : public ::testing::TestWithParam<size_t> {};

// Within 10 % in magazines and outboxes; depots sway, so within a fifth of what they may hold.
TEST_P(PoolModelAndCpuCache, HoldBackTheSame) {
  for (const size_t object_bytes : {1024, 4096}) {
    Load load;
    load.node_count = GetParam();
    load.cpus_per_node = kCpusPerNode;
    load.l3_cpus = kCpusPerNode;
    load.remote_share = static_cast<double>(load.node_count - 1) / static_cast<double>(load.node_count);
    load.object_bytes = object_bytes;
    load.misses_per_cpu = 4000;
    const Held real = HeldByTheRealOne(load);
    const Held model = HeldByTheModel(load);
    const std::string what = std::to_string(object_bytes) + " B";
    EXPECT_NEAR(model.magazine_bytes, real.magazine_bytes, 0.1 * real.magazine_bytes) << what;
    EXPECT_NEAR(model.depot_bytes, real.depot_bytes, 0.2 * static_cast<double>(load.node_count * load.cache_bytes))
        << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Nodes, PoolModelAndCpuCache, ::testing::Values(2, 4, 8),
                         [](const auto& one) { return std::to_string(one.param); });

}  // namespace
}  // namespace hugepool::bench
