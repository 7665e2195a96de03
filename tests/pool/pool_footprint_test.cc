// What a pool takes for what lives in it: after much was replaced, and after most was freed.
//
// Units      payload is what lives, as asked for; footprint is committed_bytes + metadata_bytes
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/pool_core.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
// Sanitizers keep books of every access: an eighth of the memory shows the same there, but for what is fixed in size and
// so is more of it.
constexpr size_t kLiveBytes = (kSanitized ? 128 : 1024) * kMiB;
constexpr double kFixedShare = kSanitized ? 0.06 : 0;
constexpr double kFixedShareOfManyClasses = kSanitized ? 0.2 : 0;
constexpr size_t kCacheBytesPerCpu = kSanitized ? 256 << 10 : 2 << 20;

PoolOptions Options() {
  PoolOptions options;
  options.capacity_bytes = 4 * kLiveBytes;
  options.huge_pages = HugePages::kTransparent;
  options.cache_bytes_per_cpu = kCacheBytesPerCpu;
  return options;
}

std::shared_ptr<Pool> CreatePool() {
  Error error;
  std::shared_ptr<Pool> pool = Pool::Create(Options(), &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

struct Block {
  void* address = nullptr;
  uint32_t bytes = 0;
};

// A set of live blocks of one payload, in the order of their age.
class Blocks {
 public:
  Blocks(std::shared_ptr<Pool> pool, std::function<size_t(std::mt19937_64&)> next_bytes, uint64_t seed)
      : pool_(std::move(pool)), next_bytes_(std::move(next_bytes)), random_(seed) {}
  ~Blocks() { FreeRandom(0); }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  // From now on all come from there; they are of one size.
  void AllocateBy(const SlabCache& cache) { cache_.emplace(cache); }

  void Fill(size_t bytes) {
    while (payload_bytes_ < bytes) Add();
  }
  // Every block with the same chance, until so many bytes are left; the order of the others stays.
  void FreeRandom(size_t left_bytes) {
    std::vector<size_t> order(blocks_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random_);
    for (size_t i = 0; i < order.size() && payload_bytes_ > left_bytes; ++i) Free(blocks_[order[i]]);
    std::erase_if(blocks_, [](const Block& block) { return block.address == nullptr; });
  }
  // Until so many bytes were allocated anew: the oldest goes for each, or any.
  void ReplaceOldest(size_t bytes) {
    const size_t payload_bytes = payload_bytes_;
    for (const uint64_t end = allocated_bytes_ + bytes; allocated_bytes_ < end;) {
      while (payload_bytes_ >= payload_bytes) {
        Free(blocks_.front());
        blocks_.pop_front();
      }
      Add();
    }
  }
  void ReplaceRandom(size_t bytes) {
    const size_t payload_bytes = payload_bytes_;
    for (const uint64_t end = allocated_bytes_ + bytes; allocated_bytes_ < end;) {
      while (payload_bytes_ >= payload_bytes) {
        std::swap(blocks_[random_() % blocks_.size()], blocks_.back());
        Free(blocks_.back());
        blocks_.pop_back();
      }
      Add();
    }
  }

  size_t payload_bytes() const { return payload_bytes_; }

 private:
  void Add() {
    const size_t bytes = next_bytes_(random_);
    void* const address = cache_ ? cache_->Allocate() : pool_->Allocate(bytes);
    ASSERT_NE(address, nullptr);
    blocks_.push_back({address, static_cast<uint32_t>(bytes)});
    payload_bytes_ += bytes;
    allocated_bytes_ += bytes;
  }
  void Free(Block& block) {
    if (cache_) {
      cache_->Deallocate(block.address);
    } else {
      pool_->Deallocate(block.address);
    }
    payload_bytes_ -= block.bytes;
    block.address = nullptr;
  }

  const std::shared_ptr<Pool> pool_;
  const std::function<size_t(std::mt19937_64&)> next_bytes_;
  std::mt19937_64 random_;
  std::optional<SlabCache> cache_;
  std::deque<Block> blocks_;
  size_t payload_bytes_ = 0;
  uint64_t allocated_bytes_ = 0;
};

double CommittedShare(const Pool& pool, const Blocks& blocks) {
  return static_cast<double>(pool.Stats().committed_bytes) / static_cast<double>(blocks.payload_bytes());
}
double FootprintShare(const Pool& pool, const Blocks& blocks) {
  return static_cast<double>(pool.Stats().FootprintBytes()) / static_cast<double>(blocks.payload_bytes());
}
void ExpectSound(const Pool& pool) {
  std::string why;
  EXPECT_TRUE(pool.CheckInvariants(&why)) << why;
}

class OneSize : public ::testing::TestWithParam<size_t> {};
TEST_P(OneSize, AHundredthMoreThanThePayloadAfterFiftyTurnovers) {
  const size_t bytes = GetParam();
  const auto pool = CreatePool();
  ASSERT_EQ(pool->AddSizeClass(bytes, nullptr), bytes);
  Blocks blocks(
      pool, [bytes](std::mt19937_64&) { return bytes; }, Seed());
  blocks.Fill(kLiveBytes);
  blocks.ReplaceRandom(50 * kLiveBytes);
  const double share = FootprintShare(*pool, blocks);
  WriteFigures("footprint_of_one_size_" + std::to_string(bytes), {{"footprint_to_payload", share}});
  EXPECT_LE(share, 1.01 + kFixedShare);
  ExpectSound(*pool);
}
INSTANTIATE_TEST_SUITE_P(Sizes, OneSize, ::testing::Values(4096, 4160, 8256, 16448, 32768),
                         ::testing::PrintToStringParamName());

class SpreadSizes : public ::testing::TestWithParam<std::pair<size_t, size_t>> {};
TEST_P(SpreadSizes, AFewHundredthsMoreThanThePayloadAfterFiftyTurnovers) {
  const auto [least, most] = GetParam();
  const auto pool = CreatePool();
  Blocks blocks(pool, std::uniform_int_distribution<size_t>(least, most), Seed());
  blocks.Fill(kLiveBytes);
  blocks.ReplaceRandom(50 * kLiveBytes);
  const double share = FootprintShare(*pool, blocks);
  WriteFigures("footprint_of_sizes_" + std::to_string(least) + "_to_" + std::to_string(most),
               {{"footprint_to_payload", share}});
  EXPECT_LE(share, 1.055 + kFixedShareOfManyClasses);
  ExpectSound(*pool);
}
INSTANTIATE_TEST_SUITE_P(Sizes, SpreadSizes, ::testing::Values(std::pair<size_t, size_t>(3789, 8499)));

// Filters and indexes among blocks, an eighth of the bytes, all replaced at random: those of one length leave room that another
// length can use.
TEST(LargeAmongSmall, LeavesFewHolesAfterSixTurnovers) {
  const auto pool = CreatePool();
  Blocks blocks(
      pool,
      [](std::mt19937_64& random) {
        return random() % 1024 == 0 ? std::uniform_int_distribution<size_t>(64 << 10, kMiB)(random) : 4096;
      },
      Seed());
  blocks.Fill(kLiveBytes);
  blocks.ReplaceRandom(6 * kLiveBytes);
  const double share = FootprintShare(*pool, blocks);
  WriteFigures("footprint_of_large_among_small", {{"footprint_to_payload", share}});
  // 1.19 where a run starts on a multiple of its length.
  EXPECT_LE(share, 1.10 + kFixedShareOfManyClasses);
  ExpectSound(*pool);
}

// Nobody calls Trim: what the old sizes leave is found, drains, and is given back, or used again.
TEST(ShiftedSizes, TakeLittleMoreAfterAWhileThanBefore) {
  const auto pool = CreatePool();
  size_t least = 3789;
  Blocks blocks(
      pool,
      [&least](std::mt19937_64& random) { return std::uniform_int_distribution<size_t>(least, least + 4710)(random); },
      Seed());
  blocks.Fill(kLiveBytes);
  blocks.ReplaceRandom(2 * kLiveBytes);
  least += 1000;
  blocks.ReplaceRandom(2 * kLiveBytes);
  const double meanwhile = FootprintShare(*pool, blocks);
  blocks.ReplaceRandom(28 * kLiveBytes);
  const double after = FootprintShare(*pool, blocks);
  WriteFigures("footprint_after_a_shift",
               {{"footprint_to_payload_meanwhile", meanwhile}, {"footprint_to_payload", after}});
  EXPECT_GE(meanwhile, 1.2) << "there was nothing to bring back";
  EXPECT_LE(after, 1.1 + kFixedShareOfManyClasses);
  ExpectSound(*pool);
}

#ifdef HUGEPOOL_LONG_TEST
// The real system, with a clock of the test's own: a turnover takes ten seconds, whatever it takes.
class SteppedClock : public internal::OsMemory {
 public:
  uint64_t NowNs() const override { return now_ns_; }
  void AdvanceNs(uint64_t ns) { now_ns_ += ns; }

 private:
  uint64_t now_ns_ = 100'000'000'000;
};

// The sizes that an engine asks for move over a range while everything is replaced fifty times. What the old sizes leave
// behind is used by the new ones, or given back; a slab of a size that nobody asks for any more is held until its last
// block dies (docs/design.md has figures, and those of others).
enum class Order { kOldestFirst, kAny };
class ShiftingSizes : public ::testing::TestWithParam<Order> {};
TEST_P(ShiftingSizes, WhatTheOldOnesLeaveBehindServesTheNewOnesOrIsGivenBack) {
  constexpr size_t kFirst = 3789;
  constexpr size_t kLast = 7475;
  constexpr size_t kSpread = 1024;
  constexpr size_t kTurnovers = 50;
  constexpr size_t kStepsPerTurnover = 4;
  Error error;
  const auto topology = internal::Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  SteppedClock os;
  const auto pool = internal::CreatePool(Options(), os, *topology, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  size_t least = kFirst;
  Blocks blocks(
      pool,
      [&least](std::mt19937_64& random) {
        return std::uniform_int_distribution<size_t>(least, least + kSpread)(random);
      },
      Seed());
  blocks.Fill(kLiveBytes);
  double worst = 0;
  double sum = 0;
  constexpr size_t kStepCount = kTurnovers * kStepsPerTurnover;
  for (size_t step = 1; step <= kStepCount; ++step) {
    least = kFirst + (kLast - kFirst) * step / kStepCount;
    if (GetParam() == Order::kOldestFirst) {
      blocks.ReplaceOldest(kLiveBytes / kStepsPerTurnover);
    } else {
      blocks.ReplaceRandom(kLiveBytes / kStepsPerTurnover);
    }
    os.AdvanceNs(10'000'000'000 / kStepsPerTurnover);
    const double share = FootprintShare(*pool, blocks);
    worst = std::max(worst, share);
    sum += share;
  }
  const bool oldest_first = GetParam() == Order::kOldestFirst;
  WriteFigures(oldest_first ? "footprint_of_shifting_sizes_oldest_first" : "footprint_of_shifting_sizes",
               {{"footprint_to_payload_at_worst", worst}, {"footprint_to_payload_mean", sum / kStepCount}});
  EXPECT_LE(worst, oldest_first ? 1.3 : 1.8);
  EXPECT_LE(sum / kStepCount, oldest_first ? 1.2 : 1.6);
  ExpectSound(*pool);
}
INSTANTIATE_TEST_SUITE_P(Orders, ShiftingSizes, ::testing::Values(Order::kOldestFirst, Order::kAny),
                         [](const auto& test) { return test.param == Order::kAny ? "Any" : "OldestFirst"; });

#endif

// How the live blocks are freed and replaced after the shrink.
enum class Face { kPool, kSlabCache };
class Shrink : public ::testing::TestWithParam<Face> {
 protected:
  static constexpr size_t kBytes = 4160;
  Shrink() : pool_(CreatePool()) {
    EXPECT_EQ(pool_->AddSizeClass(kBytes, nullptr), kBytes);
    blocks_.emplace(
        pool_, [](std::mt19937_64&) { return kBytes; }, Seed());
    if (GetParam() == Face::kSlabCache) blocks_->AllocateBy(*SlabCache::Create(pool_, kBytes, nullptr));
    blocks_->Fill(kLiveBytes);
    blocks_->ReplaceRandom(kLiveBytes);
    blocks_->FreeRandom(kLiveBytes / 2);
    pool_->Trim(0);
  }

  std::shared_ptr<Pool> pool_;
  std::optional<Blocks> blocks_;
};
TEST_P(Shrink, MemoryComesBackAsTheOldestAreReplaced) {
  const double before = CommittedShare(*pool_, *blocks_);
  blocks_->ReplaceOldest(kLiveBytes / 2 / 5 * 6);
  const double after = CommittedShare(*pool_, *blocks_);
  WriteFigures("shrink_and_lru_churn", {{"committed_to_payload_before", before}, {"committed_to_payload", after}});
  EXPECT_GE(before, 1.5) << "there was nothing to bring back";
  EXPECT_LE(after, 1.06);
  ExpectSound(*pool_);
}
TEST_P(Shrink, MemoryComesBackAsAnyAreReplaced) {
  blocks_->ReplaceRandom(8 * (kLiveBytes / 2));
  const double after = CommittedShare(*pool_, *blocks_);
  WriteFigures("shrink_and_random_churn", {{"committed_to_payload", after}});
  EXPECT_LE(after, 1.2 + kFixedShare);
  ExpectSound(*pool_);
}
TEST_P(Shrink, AllOfItComesBackWhenEverythingIsFreed) {
  blocks_->FreeRandom(0);
  EXPECT_EQ(pool_->Trim(0), 0u);
  EXPECT_EQ(pool_->Stats().committed_bytes, 0u);
  ExpectSound(*pool_);
}
// What was to be given back is used again where the load returns, before anything else is populated.
TEST_P(Shrink, GrowthTakesBackWhatDrains) {
  const uint64_t before_bytes = pool_->Stats().committed_bytes;
  EXPECT_GT(pool_->Stats().nodes[0].draining_bytes, before_bytes / 4);
  blocks_->Fill(kLiveBytes / 10 * 9);
  EXPECT_LE(pool_->Stats().committed_bytes, before_bytes + 4 * kMiB);
  ExpectSound(*pool_);
}
INSTANTIATE_TEST_SUITE_P(Faces, Shrink, ::testing::Values(Face::kPool, Face::kSlabCache),
                         [](const auto& test) { return test.param == Face::kPool ? "Pool" : "SlabCache"; });

// A SlabCache does not look at tags. So while its class drains the fast path takes no free of it, and all the others.
TEST(DrainingClass, IsClosedToTheFastPathWhileItDrainsAndOpenAfterwards) {
  constexpr size_t kBytes = 4096;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  Error error;
  PoolOptions options;
  options.huge_pages = HugePages::kTransparent;
  const auto topology = internal::Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  internal::OsMemory os;
  const auto core = internal::PoolCore::Create(options, os, *topology, &error);
  ASSERT_NE(core, nullptr) << error.ToString();
  if (core->Stats().cache_mode != "rseq") GTEST_SKIP() << "no fast path here: " << core->Stats().cache_mode;
  const internal::SizeClass size_class = core->classes().For(kBytes);
  core->NoteHandle(size_class);
  std::vector<void*> blocks(64 * kMiB / kBytes);
  ASSERT_EQ(core->AllocateClassBatch(size_class, blocks.data(), blocks.size()), blocks.size());
  const auto takes_frees = [&] {
    void** const of_cpu_0 = internal::ObjectsOf(core->view().objects, internal::TagOf(size_class));
    const char* const objects =
        reinterpret_cast<char*>(of_cpu_0) + (static_cast<size_t>(sched_getcpu()) << internal::kRegionShift);
    const auto& header = *reinterpret_cast<const internal::MagazineHeader*>(objects - sizeof(internal::MagazineHeader));
    return reinterpret_cast<uint64_t>(blocks.front()) - header.window_end >= core->view().least_distance;
  };
  // All but one in four; that one keeps each page.
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 4 != 0) core->Deallocate(blocks[i]);
  }
  EXPECT_TRUE(takes_frees());
  core->Trim(0);
  EXPECT_FALSE(takes_frees());
  // What drains is freed, and as much allocated anew; twice, since only one free in many looks whether that was all.
  for (size_t k = 0; k < blocks.size() / 2; ++k) {
    const size_t i = 4 * k % blocks.size();
    core->Deallocate(blocks[i]);
    blocks[i] = core->AllocateClass(size_class);
    ASSERT_NE(blocks[i], nullptr);
  }
  EXPECT_TRUE(takes_frees());
  for (size_t i = 0; i < blocks.size(); i += 4) core->Deallocate(blocks[i]);
  EXPECT_EQ(core->Trim(0), 0u);
}

}  // namespace
}  // namespace hugepool::testing
