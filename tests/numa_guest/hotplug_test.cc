// CPUs that go and come, and threads that are moved all the time: nothing is lost, nothing doubled, and a CPU that came
// after the pool is served from its own node.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "numa_guest/filling.h"
#include "numa_guest/machine.h"
#include "numa_guest/worker.h"

namespace hugepool::guest {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlockBytes = 1000;

// Takes a CPU away, and brings it back at the end at the latest.
class OfflineCpu {
 public:
  explicit OfflineCpu(int cpu) : file_("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/online") {
    const int refused = WriteFile(file_, "0");
    if (refused != 0) throw std::runtime_error(file_ + " was refused: errno " + std::to_string(refused));
  }
  ~OfflineCpu() { BringBack(); }
  OfflineCpu(const OfflineCpu&) = delete;
  OfflineCpu& operator=(const OfflineCpu&) = delete;
  void BringBack() { EXPECT_EQ(WriteFile(file_, "1"), 0); }

 private:
  const std::string file_;
};

class Hotplug : public testing::TestWithParam<CpuCacheMode> {
 protected:
  Hotplug() { ThisMachine(); }  // read while every CPU is there

  static std::shared_ptr<Pool> Make(Placement placement) {
    PoolOptions options;
    options.placement = placement;
    options.huge_pages = HugePages::kRequired;
    options.capacity_bytes = 100 * kHugePage;
    options.cpu_cache = GetParam();
    return CreateOrFail(options);
  }
  static void ExpectNothingLost(Pool& pool) {
    std::string why;
    EXPECT_TRUE(pool.CheckInvariants(&why)) << why;
    EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
    EXPECT_EQ(pool.Trim(0), 0u);
    EXPECT_EQ(pool.Stats().cached_bytes, 0u);
    EXPECT_TRUE(pool.CheckInvariants(&why)) << why;
  }

  const int first_cpu_ = ThisMachine().Node(ThisMachine().CpuNodes().front()).cpus.front();
  const int last_node_ = ThisMachine().CpuNodes().back();
  const int last_cpu_ = ThisMachine().Node(last_node_).cpus.back();
};

TEST_P(Hotplug, WhatACpuHoldsThatGoesOfflineComesBack) {
  const auto pool = Make(Placement::Local());
  ASSERT_NE(pool, nullptr);
  std::vector<void*> blocks;
  const auto fill = [&] {
    for (int i = 0; i < 4000; ++i) blocks.push_back(pool->Allocate(kBlockBytes));
    for (int i = 0; i < 2000; ++i) {
      pool->Deallocate(blocks.back());
      blocks.pop_back();
    }
  };
  const auto free_all = [&] {
    for (void* block : blocks) pool->Deallocate(block);
    blocks.clear();
  };
  OnCpu(last_cpu_, fill);
  const uint64_t cached_bytes = pool->Stats().cached_bytes;
  EXPECT_EQ(cached_bytes > 0, GetParam() != CpuCacheMode::kOff) << "its magazines should hold blocks";
  OfflineCpu offline(last_cpu_);
  EXPECT_EQ(pool->Stats().cached_bytes, cached_bytes);
  OnCpu(first_cpu_, free_all);
  ExpectNothingLost(*pool);
  OnCpu(first_cpu_, fill);
  offline.BringBack();
  // It goes on where it was: other CPUs' blocks are freed there, its own come from its own node.
  OnCpu(last_cpu_, [&] {
    free_all();
    fill();
    for (const void* block : blocks) ASSERT_EQ(pool->NodeOf(block), last_node_);
    free_all();
  });
  ExpectNothingLost(*pool);
}

TEST_P(Hotplug, ACpuThatCameAfterThePoolIsServedFromItsOwnNode) {
  for (const Placement placement : {Placement::LocalStrict(), Placement::Local()}) {
    SCOPED_TRACE(ToString(placement));
    OfflineCpu offline(last_cpu_);
    const auto pool = Make(placement);
    ASSERT_NE(pool, nullptr);
    offline.BringBack();
    Filling filling(pool);
    OnCpu(last_cpu_, [&] {
      for (int i = 0; i < 4000; ++i) ASSERT_TRUE(filling.Add(kBlockBytes));
      ASSERT_TRUE(filling.AddEqual(3 * kHugePage, 3 * kHugePage));
    });
    for (const Block& block : filling.blocks()) ASSERT_EQ(pool->NodeOf(block.address), last_node_);
    EXPECT_TRUE(AllPagesOn(last_node_, filling.blocks()));
    for (const NodeStats& node : pool->Stats().nodes) EXPECT_EQ(node.departure_count, 0u);
    filling.Clear();
    ExpectNothingLost(*pool);
  }
}

TEST_P(Hotplug, ThreadsThatAreMovedAllTheTimeWhileACpuGoesAndComes) {
  const auto pool = Make(Placement::Local());
  ASSERT_NE(pool, nullptr);
  std::vector<int> cpus;
  for (const int node_id : ThisMachine().CpuNodes()) {
    for (const int cpu : ThisMachine().Node(node_id).cpus) cpus.push_back(cpu);
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::atomic<uint64_t> move_count{0};
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      std::vector<void*> mine;
      while (!stop) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<size_t>(cpus[random() % cpus.size()]), &one);
        // Refused while that CPU is away.
        move_count += sched_setaffinity(0, sizeof one, &one) == 0 ? 1 : 0;
        for (int i = 0; i < 50; ++i) {
          if (mine.size() < 500 && random() % 2 == 0) {
            mine.push_back(pool->Allocate(64 << random() % 8));
            // The owner writes all over it: a block that two have would be seen by the stamp.
            *static_cast<void**>(mine.back()) = &mine;
          } else if (!mine.empty()) {
            std::swap(mine.back(), mine[random() % mine.size()]);
            EXPECT_EQ(*static_cast<void**>(mine.back()), &mine) << "a block belongs to two";
            pool->Deallocate(mine.back());
            mine.pop_back();
          }
        }
      }
      for (void* block : mine) pool->Deallocate(block);
    });
  }
  for (int i = 0; i < 5; ++i) {
    OfflineCpu offline(last_cpu_);
    (void)pool->Trim(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    offline.BringBack();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(move_count, 100u);
  ExpectNothingLost(*pool);
}

INSTANTIATE_TEST_SUITE_P(Modes, Hotplug,
                         testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked, CpuCacheMode::kOff),
                         [](const auto& mode) { return std::string(hugepool::ToString(mode.param)); });

}  // namespace
}  // namespace hugepool::guest
