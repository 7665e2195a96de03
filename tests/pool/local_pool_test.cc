// LocalPool and LocalBlockPool: one owner's objects, against a model; whatever happens, every chunk comes back.
#include "hugepool/local_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "hugepool/local_block_pool.h"
#include "pool/four_nodes.h"
#include "pool/lively.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kKiB = 1024;

static_assert(!std::is_copy_constructible_v<LocalBlockPool> && !std::is_copy_assignable_v<LocalBlockPool>);
static_assert(!std::is_copy_constructible_v<LocalPool<int>> && !std::is_copy_assignable_v<LocalPool<int>>);
static_assert(std::is_nothrow_move_constructible_v<LocalPool<int>> &&
              std::is_nothrow_move_assignable_v<LocalPool<int>>);

std::string LocalComplaint(const LocalBlockPool& local) {
  std::string why;
  return local.CheckInvariants(&why) ? "" : why;
}

class LocalPools : public ::testing::Test {
 protected:
  ~LocalPools() override {
    if (pool_ == nullptr) return;
    EXPECT_EQ(pool_->Stats().allocated_bytes, 0u) << "not everything was given back";
    EXPECT_EQ(Complaint(*pool_), "");
    EXPECT_EQ(pool_.use_count(), 1);
    pool_.reset();
    EXPECT_THAT(os_.complaints(), IsEmpty());
  }

  std::shared_ptr<Pool> MakeOf(size_t capacity_bytes) {
    PoolOptions options;
    options.capacity_bytes = capacity_bytes;
    return MakePool(options, os_, OneNode());
  }
  LocalBlockPool MakeLocal(size_t object_bytes, size_t alignment_bytes = kMinAlignmentBytes,
                           const LocalPoolOptions& options = {}) {
    Error error;
    auto local = LocalBlockPool::Create(pool_, object_bytes, &error, alignment_bytes, options);
    EXPECT_TRUE(local) << error.ToString();
    return *std::move(local);
  }
  template <typename T>
  LocalPool<T> MakeTyped(const LocalPoolOptions& options = {}) {
    Error error;
    auto local = LocalPool<T>::Create(pool_, &error, options);
    EXPECT_TRUE(local) << error.ToString();
    return *std::move(local);
  }
  // All that the pool still gives for objects of this size.
  std::vector<void*> Fill(LocalBlockPool& local) {
    std::vector<void*> objects;
    while (void* object = local.Allocate()) objects.push_back(object);
    return objects;
  }

  SimulatedOs os_{EachNode(200, 2 * kGiB)};
  std::shared_ptr<Pool> pool_ = MakeOf(64 * kMiB);
};

// The model ----------------------------------------------------------------------------------------------------------

// Sizes on both sides of every border: the link's 8 B, records and blocks, one object a chunk.
class LocalWalk : public LocalPools, public ::testing::WithParamInterface<size_t> {};

TEST_P(LocalWalk, AgreesWithTheModel) {
  const size_t object_bytes = GetParam();
  // So many that they take several chunks and trimming finds whole ones.
  const size_t live_limit = std::clamp<size_t>(12 * kMiB / object_bytes, 8, 4'000);
  std::mt19937_64 random(Seed());
  LocalBlockPool local = MakeLocal(object_bytes, 1, {.first_chunk_bytes = 4 * kKiB, .max_chunk_bytes = 2 * kMiB});
  std::map<char*, uint64_t> live;  // address → id
  std::vector<char*> order;
  uint64_t next_id = 1;
  bool growing = true;
  size_t trimmed_bytes = 0;
  const auto free_any = [&] {
    std::swap(order[random() % order.size()], order.back());
    char* const object = order.back();
    ASSERT_TRUE(HasStamp(object, object_bytes, live.at(object) << 24)) << "object " << live.at(object);
    order.pop_back();
    live.erase(object);
    local.Deallocate(object);
  };
  for (int step = 0; step < (kSanitized ? 60'000 : 200'000); ++step) {
    if (order.size() == live_limit || random() % 8192 == 0) growing = false;
    if (order.empty()) growing = true;
    // With three live objects left there are chunks without any.
    if (random() % (!growing && order.size() == 3 ? 2 : 1024) == 0) {
      const size_t before_bytes = local.footprint_bytes();
      const size_t after_bytes = local.Trim();
      ASSERT_EQ(after_bytes, local.footprint_bytes());
      ASSERT_LE(after_bytes, before_bytes);
      trimmed_bytes += before_bytes - after_bytes;
    } else if (random() % 65'536 == 0) {
      local.Clear();
      live.clear();
      order.clear();
    } else if (random() % 32'768 == 0) {
      LocalBlockPool moved = std::move(local);
      local = std::move(moved);
    } else if (order.empty() || random() % 16 < (growing ? 12 : 4)) {
      char* const object = static_cast<char*>(local.Allocate());
      ASSERT_NE(object, nullptr) << "with " << order.size() << " live objects";
      ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % (object_bytes >= kCacheLineFromBytes ? 64 : 8), 0u);
      const auto next = live.lower_bound(object);
      ASSERT_TRUE(next == live.end() || object + object_bytes <= next->first) << "two objects overlap";
      ASSERT_TRUE(next == live.begin() || std::prev(next)->first + object_bytes <= object) << "two objects overlap";
      Stamp(object, object_bytes, next_id << 24);
      live.emplace(object, next_id++);
      order.push_back(object);
    } else {
      free_any();
      if (HasFatalFailure()) return;
    }
    ASSERT_EQ(local.live_count(), live.size());
    if (random() % 1024 == 0) {
      ASSERT_EQ(LocalComplaint(local), "") << "after " << step << " steps";
    }
  }
  // A walk may happen to trim only while every chunk is in use: once more with three live objects of many.
  while (order.size() < live_limit) {
    char* const object = static_cast<char*>(local.Allocate());
    ASSERT_NE(object, nullptr);
    Stamp(object, object_bytes, next_id << 24);
    live.emplace(object, next_id++);
    order.push_back(object);
  }
  while (order.size() > 3 && !HasFatalFailure()) free_any();
  const size_t full_bytes = local.footprint_bytes();
  trimmed_bytes += full_bytes - local.Trim();
  EXPECT_GT(trimmed_bytes, 0u) << "no trim found a free chunk";
  while (!order.empty() && !HasFatalFailure()) free_any();
  EXPECT_EQ(local.Trim(), 0u);
  EXPECT_EQ(local.footprint_bytes(), 0u);
  EXPECT_EQ(pool_->Stats().allocated_bytes, 0u) << "trimmed, with the handle still there";
}

INSTANTIATE_TEST_SUITE_P(ObjectBytes, LocalWalk,
                         ::testing::Values(1, 8, 9, 24, 64, 416, 1023, 1024, 1025, 4096, 4160, 40'000, 300'000,
                                           2 * kMiB),
                         [](const auto& size) { return std::to_string(size.param); });

// Shape --------------------------------------------------------------------------------------------------------------

TEST_F(LocalPools, NothingIsFetchedBeforeTheFirstObject) {
  const LocalBlockPool local = MakeLocal(64);
  EXPECT_EQ(local.footprint_bytes(), 0u);
  EXPECT_EQ(local.object_count(), 0u);
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
}

TEST_F(LocalPools, ChunksDoubleUpToTheirLimit) {
  LocalBlockPool local = MakeLocal(64, 16, {.first_chunk_bytes = 64 * kKiB, .max_chunk_bytes = 512 * kKiB});
  std::vector<size_t> chunk_bytes;
  size_t held_bytes = 0;
  while (chunk_bytes.size() < 6) {
    ASSERT_NE(local.Allocate(), nullptr);
    const size_t now_bytes = local.object_count() * 64;
    if (now_bytes != held_bytes) chunk_bytes.push_back((now_bytes - held_bytes) / kKiB);
    held_bytes = now_bytes;
  }
  EXPECT_EQ(chunk_bytes, (std::vector<size_t>{64, 128, 256, 512, 512, 512}));
  EXPECT_EQ(local.chunk_count(), 6u);
  local.Clear();
  ASSERT_NE(local.Allocate(), nullptr);
  EXPECT_EQ(local.object_count() * 64, 64 * kKiB) << "cleared, it begins anew";
}

TEST_F(LocalPools, FreedObjectsComeBackLastInFirstOut) {
  for (const size_t object_bytes : {64, 4160}) {
    LocalBlockPool local = MakeLocal(object_bytes);
    std::array<void*, 3> objects;
    for (void*& object : objects) object = local.Allocate();
    for (void* object : objects) local.Deallocate(object);
    EXPECT_EQ(local.Allocate(), objects[2]);
    EXPECT_EQ(local.Allocate(), objects[1]);
    EXPECT_EQ(local.Allocate(), objects[0]);
  }
}

TEST_F(LocalPools, OfABlockNothingIsTouchedOfARecordOnlyTheLink) {
  for (const size_t object_bytes : {1023, 1024}) {
    LocalBlockPool local = MakeLocal(object_bytes);
    char* const object = static_cast<char*>(local.Allocate());
    Stamp(object, object_bytes, 1);
    const std::vector<char> before(object, object + object_bytes);
    local.Deallocate(object);
    const size_t touched_bytes = object_bytes == 1023 ? sizeof(void*) : 0;
    EXPECT_EQ(std::vector<char>(object + touched_bytes, object + object_bytes),
              std::vector<char>(before.begin() + touched_bytes, before.end()));
  }
}

TEST_F(LocalPools, FetchingAChunkTouchesNoneOfIt) {
  // Memory that was another's a moment before: whatever the local pool wrote into it would show.
  for (const size_t object_bytes : {64, 4096}) {
    std::set<char*> before;
    std::vector<void*> chunks;
    for (int i = 0; i < 40; ++i) chunks.push_back(pool_->Allocate(64 * kKiB));
    for (void* chunk : chunks) {
      std::fill_n(static_cast<char*>(chunk), 64 * kKiB, '\x5a');
      before.insert(static_cast<char*>(chunk));
    }
    for (void* chunk : chunks) pool_->Deallocate(chunk);
    LocalBlockPool local = MakeLocal(object_bytes);
    char* const first = static_cast<char*>(local.Allocate());
    ASSERT_TRUE(before.contains(first)) << "the chunk is not one of those before";
    EXPECT_EQ(std::count(first, first + 64 * kKiB, '\x5a'), static_cast<ptrdiff_t>(64 * kKiB));
  }
}

TEST_F(LocalPools, EveryAlignmentIsKept) {
  for (size_t alignment_bytes = 1; alignment_bytes <= kMaxAlignmentBytes; alignment_bytes *= 2) {
    for (const size_t object_bytes : {1, 24, 1000, 1025, 4097, 36'864, 300'000}) {
      LocalBlockPool local = MakeLocal(object_bytes, alignment_bytes);
      EXPECT_EQ(local.object_bytes(), object_bytes);
      EXPECT_LT(local.stride_bytes(), object_bytes + std::max<size_t>(alignment_bytes, object_bytes < 1024 ? 8 : 64));
      for (int i = 0; i < 20; ++i) {
        char* const object = static_cast<char*>(local.Allocate());
        ASSERT_NE(object, nullptr);
        ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % alignment_bytes, 0u)
            << object_bytes << " aligned to " << alignment_bytes;
        ASSERT_EQ(reinterpret_cast<uintptr_t>(object) % (object_bytes < 1024 ? 8 : 64), 0u) << object_bytes;
        Stamp(object, object_bytes, 1);
      }
    }
  }
}

TEST_F(LocalPools, LittleIsLostBesideTheObjects) {
  for (const size_t object_bytes : {24, 416, 1024, 4160, 40'000, 300'000, 1'500'000}) {
    LocalBlockPool local = MakeLocal(object_bytes, 8);
    size_t payload_bytes = 0;
    while (payload_bytes < 40 * kMiB) {
      ASSERT_NE(local.Allocate(), nullptr);
      payload_bytes += object_bytes;
    }
    // The last chunk may be all but empty; the array of free blocks takes 8 to 12 B for each.
    const double spare_bytes = 2.0 * kMiB + static_cast<double>(local.object_count()) * 12;
    EXPECT_LE(static_cast<double>(local.footprint_bytes()), 1.03 * static_cast<double>(payload_bytes) + spare_bytes)
        << object_bytes;
    EXPECT_GE(local.footprint_bytes(), payload_bytes);
    EXPECT_LE(pool_->Stats().allocated_bytes, local.footprint_bytes()) << "the footprint hides nothing";
  }
}

// Giving back --------------------------------------------------------------------------------------------------------

TEST_F(LocalPools, TheDestructorGivesEverythingBackLiveObjectsToo) {
  for (const size_t object_bytes : {64, 4160}) {
    {
      LocalBlockPool local = MakeLocal(object_bytes);
      for (int i = 0; i < 5000; ++i) ASSERT_NE(local.Allocate(), nullptr);
      ASSERT_GT(local.chunk_count(), 1u);
      EXPECT_GE(pool_->Stats().allocated_bytes, uint64_t{5000} * object_bytes);
    }
    EXPECT_EQ(pool_->Stats().allocated_bytes, 0u);
  }
}

TEST_F(LocalPools, ClearGivesEverythingBackAndDestroysNothing) {
  auto local = MakeTyped<Lively<64>>();
  for (uint64_t id = 1; id <= 5000; ++id) ASSERT_NE(local.New(id), nullptr);
  local.Clear();
  EXPECT_EQ(local.live_count(), 0u);
  EXPECT_EQ(local.object_count(), 0u);
  EXPECT_EQ(local.footprint_bytes(), 0u);
  EXPECT_EQ(pool_->Stats().allocated_bytes, 0u);
  EXPECT_EQ(Lively<64>::alive_count, 5000);
  Lively<64>::alive_count = 0;
  Lively<64>* const again = local.New(1u);
  ASSERT_NE(again, nullptr);
  local.Delete(again);
}

TEST_F(LocalPools, TrimGivesBackJustTheChunksWithoutALiveObject) {
  for (const size_t object_bytes : {64, 4160}) {
    LocalBlockPool local = MakeLocal(object_bytes, 16, {.first_chunk_bytes = 64 * kKiB, .max_chunk_bytes = 64 * kKiB});
    std::vector<void*> objects;
    while (local.chunk_count() < 10) objects.push_back(local.Allocate());
    // The tenth chunk has one object handed out, the rest of it is fresh.
    const size_t per_chunk = local.object_count() / 10;
    ASSERT_EQ(objects.size(), 9 * per_chunk + 1);
    EXPECT_EQ(local.Trim(), local.footprint_bytes());
    EXPECT_EQ(local.chunk_count(), 10u) << "nothing is free";
    // One object of each even chunk stays, its stamp with it.
    std::set<void*> kept;
    for (size_t i = 0; i < objects.size(); ++i) {
      if (i % (2 * per_chunk) == per_chunk / 2) {
        kept.insert(objects[i]);
        Stamp(objects[i], object_bytes, 7);
      } else {
        local.Deallocate(objects[i]);
      }
    }
    ASSERT_EQ(kept.size(), 5u);
    const size_t before_bytes = local.footprint_bytes();
    local.Trim();
    EXPECT_EQ(local.chunk_count(), 5u) << "chunks 0, 2, 4, 6, 8 hold one live object each";
    EXPECT_EQ(local.live_count(), 5u);
    EXPECT_EQ(local.object_count(), 5 * per_chunk);
    EXPECT_LE(local.footprint_bytes(), before_bytes - 5 * (64 * kKiB));
    EXPECT_EQ(LocalComplaint(local), "");
    // What is left is handed out: the free objects of the five chunks, and none of a chunk that went.
    std::set<void*> again;
    for (size_t i = 0; i < 5 * per_chunk - 5; ++i) again.insert(local.Allocate());
    EXPECT_EQ(local.chunk_count(), 5u);
    EXPECT_EQ(again.size(), 5 * per_chunk - 5);
    for (void* object : kept) {
      EXPECT_TRUE(HasStamp(object, object_bytes, 7));
      EXPECT_FALSE(again.contains(object));
    }
  }
}

TEST_F(LocalPools, TheArrayOfFreeBlocksShrinksWithThem) {
  LocalBlockPool local = MakeLocal(1024);
  std::vector<void*> objects;
  while (objects.size() < 40'000) objects.push_back(local.Allocate());
  void* const kept = objects.front();
  const size_t before_bytes = local.footprint_bytes() - pool_->UsableSize(kept);
  for (void* object : objects) {
    if (object != kept) local.Deallocate(object);
  }
  local.Trim();
  EXPECT_EQ(local.chunk_count(), 1u);
  EXPECT_GE(before_bytes, 40'000 * (1024 + sizeof(void*)));
  EXPECT_LE(local.footprint_bytes(), 64 * kKiB + 4 * kKiB);
  local.Deallocate(kept);
}

// Refusals -----------------------------------------------------------------------------------------------------------

TEST_F(LocalPools, AFullPoolIsUsedToTheLastChunkThenNullptr) {
  for (const size_t object_bytes : {64, 4160}) {
    LocalBlockPool local = MakeLocal(object_bytes);
    // Pieces of 320 KiB are left: nowhere a chunk of 512 KiB fits.
    std::vector<void*> rest;
    while (void* block = pool_->Allocate(320 * kKiB)) rest.push_back(block);
    for (size_t i = 0; i < rest.size(); i += 2) pool_->Deallocate(rest[i]);
    const size_t left_bytes = (rest.size() + 1) / 2 * 320 * kKiB;
    std::vector<void*> objects = Fill(local);
    EXPECT_GE(objects.size() * object_bytes, left_bytes * 9 / 10) << "smaller chunks would have fit";
    EXPECT_EQ(local.Allocate(), nullptr) << "and again";
    EXPECT_EQ(LocalComplaint(local), "");
    EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), objects.size());
    for (void* object : objects) Stamp(object, object_bytes, reinterpret_cast<uintptr_t>(object));
    for (void* object : objects) {
      ASSERT_TRUE(HasStamp(object, object_bytes, reinterpret_cast<uintptr_t>(object)));
      local.Deallocate(object);
    }
    EXPECT_NE(local.Allocate(), nullptr) << "what was freed serves again";
    local.Clear();
    for (size_t i = 1; i < rest.size(); i += 2) pool_->Deallocate(rest[i]);
  }
}

TEST_F(LocalPools, AfterAShortageChunksGrowAgain) {
  LocalBlockPool local = MakeLocal(64, 16, {.first_chunk_bytes = 2 * kMiB});
  std::vector<void*> rest;
  while (void* block = pool_->Allocate(64 * kKiB)) rest.push_back(block);
  EXPECT_EQ(local.Allocate(), nullptr);
  for (void* block : rest) pool_->Deallocate(block);
  for (size_t i = 0; i < 20 * kMiB / 64; ++i) ASSERT_NE(local.Allocate(), nullptr);
  EXPECT_LE(local.chunk_count(), 25u) << "20 MiB, at last in chunks of 2 MiB";
}

TEST_F(LocalPools, RefusalsOfTheSystemAtAnyMomentLeaveItWhole) {
  pool_.reset();
  for (uint64_t position = 0; position < 12; ++position) {
    os_.FailNever();
    pool_ = MakeOf(64 * kMiB);
    LocalBlockPool local = MakeLocal(1024);
    os_.FailFrom(Call::kPopulate, os_.call_count(Call::kPopulate) + position, ENOMEM);
    const std::vector<void*> objects = Fill(local);
    EXPECT_EQ(LocalComplaint(local), "") << position;
    EXPECT_EQ(local.live_count(), objects.size());
    os_.FailNever();
    os_.AdvanceNs(1'000'000'000);
    EXPECT_NE(local.Allocate(), nullptr) << position;
    local.Clear();
    EXPECT_EQ(pool_->Stats().allocated_bytes, 0u) << position;
    EXPECT_EQ(Complaint(*pool_), "");
  }
}

TEST_F(LocalPools, CreateNamesValueRangeAndMend) {
  const struct {
    size_t object_bytes;
    size_t alignment_bytes;
    LocalPoolOptions options;
    const char* value;
    const char* allowed;
  } table[] = {
      {0, 16, {}, "object_bytes = 0 ", "1 to max_chunk_bytes, which is 2M"},
      {2 * kMiB + 1, 16, {}, "object_bytes = 2097153 ", "1 to max_chunk_bytes, which is 2M"},
      {SIZE_MAX, 16, {}, "object_bytes = 18446744073709551615 ", "which is 2M"},
      {64, 0, {}, "alignment_bytes = 0 ", "powers of two from 1 to 4096"},
      {64, 24, {}, "alignment_bytes = 24 ", "powers of two from 1 to 4096"},
      {64, 8192, {}, "alignment_bytes = 8192 ", "powers of two from 1 to 4096"},
      {64, 16, {.first_chunk_bytes = 4095}, "first_chunk_bytes = 4095 ", "4K to max_chunk_bytes, which is 2M"},
      {64, 16, {.first_chunk_bytes = 3 * kMiB}, "first_chunk_bytes = 3145728 ", "which is 2M"},
      {64, 16, {.first_chunk_bytes = 4096, .max_chunk_bytes = 4095}, "max_chunk_bytes = 4095 ", "4K to 1G"},
      {64, 16, {.max_chunk_bytes = kGiB + 1}, "max_chunk_bytes = 1073741825 ", "4K to 1G"},
  };
  for (const auto& row : table) {
    Error error;
    EXPECT_FALSE(LocalBlockPool::Create(pool_, row.object_bytes, &error, row.alignment_bytes, row.options));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.operation, "LocalBlockPool::Create");
    EXPECT_THAT(error.message, HasSubstr(row.value));
    EXPECT_THAT(error.mend, HasSubstr(row.allowed)) << row.value;
    EXPECT_FALSE(LocalBlockPool::Create(pool_, row.object_bytes, nullptr, row.alignment_bytes, row.options));
  }
  Error error;
  EXPECT_FALSE(LocalPool<int>::Create(nullptr, &error));
  EXPECT_EQ(error.operation, "LocalPool::Create");
  EXPECT_THAT(error.message, HasSubstr("pool is null"));
  EXPECT_FALSE(LocalPool<int>::Create(nullptr, nullptr));
  EXPECT_TRUE(LocalBlockPool::Create(pool_, 4096, &error, 4096, {.first_chunk_bytes = 4096, .max_chunk_bytes = 4096}));
  EXPECT_TRUE(LocalBlockPool::Create(pool_, 64, &error, 1, {.first_chunk_bytes = kGiB, .max_chunk_bytes = kGiB}));
}

// The handle ---------------------------------------------------------------------------------------------------------

TEST_F(LocalPools, WhatWasMovedFromRefusesAndWhatWasMovedToGoesOn) {
  for (const size_t object_bytes : {64, 4160}) {
    LocalBlockPool local = MakeLocal(object_bytes);
    void* const first = local.Allocate();
    void* const second = local.Allocate();
    local.Deallocate(second);
    Stamp(first, object_bytes, 3);
    LocalBlockPool moved = std::move(local);
    EXPECT_EQ(local.Allocate(), nullptr);  // NOLINT(bugprone-use-after-move): that is the promise
    EXPECT_EQ(local.live_count(), 0u);
    EXPECT_EQ(local.footprint_bytes(), 0u);
    EXPECT_EQ(local.Trim(), 0u);
    EXPECT_EQ(moved.live_count(), 1u);
    EXPECT_EQ(moved.Allocate(), second);
    EXPECT_TRUE(HasStamp(first, object_bytes, 3));
    // What the target held before goes back.
    LocalBlockPool other = MakeLocal(200'000);
    ASSERT_NE(other.Allocate(), nullptr);
    other = std::move(moved);
    EXPECT_LT(other.footprint_bytes() - pool_->Stats().allocated_bytes, 1024u) << "its own, and the table in malloc";
    EXPECT_EQ(other.object_bytes(), object_bytes);
    other.Deallocate(first);
    EXPECT_EQ(other.live_count(), 1u);
    LocalBlockPool& self = other;
    other = std::move(self);
    EXPECT_EQ(other.live_count(), 1u);
    EXPECT_EQ(LocalComplaint(other), "");
  }
}

TEST_F(LocalPools, TheHandleMayMoveFromThreadToThread) {
  LocalBlockPool local = MakeLocal(64);
  void* object = local.Allocate();
  std::thread([&] {
    SimulatedOs::SetCpu(2);
    local.Deallocate(object);
    object = local.Allocate();
  }).join();
  local.Deallocate(object);
  EXPECT_EQ(local.live_count(), 0u);
}

TEST(LocalPoolOnFourNodes, ChunksLieOnTheNodeOfTheCpuThatFetchesThem) {
  SimulatedOs os(EachNode(50, 2 * kGiB));
  PoolOptions options;
  options.capacity_bytes = 64 * kMiB;
  options.placement = Placement::LocalStrict();
  const auto pool = MakePool(options, os, FourNodes());
  for (const int cpu : {0, 3}) {
    SimulatedOs::SetCpu(cpu);
    auto local = LocalBlockPool::Create(pool, 1024, nullptr);
    ASSERT_TRUE(local);
    for (int i = 0; i < 4000; ++i) {
      void* const object = local->Allocate();
      ASSERT_NE(object, nullptr);
      ASSERT_EQ(os.NodeOf(object), cpu / 2);
    }
  }
  SimulatedOs::SetCpu(0);
}

// Typed --------------------------------------------------------------------------------------------------------------

template <typename T>
class LocalPoolOf : public LocalPools {};
using ObjectTypes =
    ::testing::Types<Lively<16>, Lively<24>, Lively<1016>, Lively<1024>, Lively<192, 64>, Lively<1000, 128>,
                     Lively<4160>, Lively<4096, 4096>, Lively<36'864, 4096>, Lively<300'000>>;
TYPED_TEST_SUITE(LocalPoolOf, ObjectTypes);

TYPED_TEST(LocalPoolOf, IntactAlignedObjectsFillThePoolAndAreDestroyed) {
  using T = TypeParam;
  auto local = this->template MakeTyped<T>();
  EXPECT_EQ(&local.pool(), this->pool_.get());
  EXPECT_EQ(local.stride_bytes(), sizeof(T) < 1024 ? sizeof(T) : (sizeof(T) + 63) / 64 * 64);
  std::vector<T*> objects;
  for (uint64_t id = 1; T* object = local.New(id); ++id) objects.push_back(object);
  EXPECT_GE(objects.size() * sizeof(T), 50 * kMiB) << "of 64 MiB";
  EXPECT_EQ(T::alive_count, static_cast<int>(objects.size()));
  EXPECT_EQ(local.live_count(), objects.size());
  size_t misaligned_count = 0;
  size_t damaged_count = 0;
  for (const T* object : objects) {
    misaligned_count += reinterpret_cast<uintptr_t>(object) % alignof(T) != 0;
    damaged_count += !object->IsIntact();
  }
  EXPECT_EQ(misaligned_count, 0u);
  EXPECT_EQ(damaged_count, 0u);
  for (T* object : objects) local.Delete(object);
  EXPECT_EQ(T::alive_count, 0);
  EXPECT_EQ(local.live_count(), 0u);
  std::string why;
  EXPECT_TRUE(local.CheckInvariants(&why)) << why;
}

TYPED_TEST(LocalPoolOf, AThrowingConstructorGivesTheMemoryBackAndItsExceptionPassesOn) {
  using T = TypeParam;
  auto local = this->template MakeTyped<T>();
  for (int i = 0; i < 100; ++i) EXPECT_THROW((void)local.New(1u, /*may_live=*/false), Stillborn);
  EXPECT_EQ(local.live_count(), 0u);
  EXPECT_EQ(local.chunk_count(), 1u);
  EXPECT_EQ(T::alive_count, 0);
  local.Delete(nullptr);
  local.Deallocate(nullptr);
  std::string why;
  EXPECT_TRUE(local.CheckInvariants(&why)) << why;
}

TEST_F(LocalPools, ConstructorsAndDestructorsMayUseThePoolAgain) {
  struct Node {
    Node(LocalPool<Node>& home, int depth) : pool(home), child(depth == 0 ? nullptr : home.New(home, depth - 1)) {}
    ~Node() { pool.Delete(child); }
    LocalPool<Node>& pool;
    Node* child;
  };
  auto local = MakeTyped<Node>();
  Node* const root = local.New(local, 99);
  EXPECT_EQ(local.live_count(), 100u);
  local.Delete(root);
  EXPECT_EQ(local.live_count(), 0u);
}

TEST_F(LocalPools, RawMemoryOfATypedPoolIsItsObjects) {
  auto local = MakeTyped<Lively<64>>();
  void* const memory = local.Allocate();
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(local.live_count(), 1u);
  EXPECT_EQ(Lively<64>::alive_count, 0);
  local.Deallocate(memory);
  EXPECT_EQ(static_cast<void*>(local.New(1u)), memory);
  local.Delete(static_cast<Lively<64>*>(memory));
}

TEST_F(LocalPools, ADoubleFreeIsSeenByCheckInvariants) {
#ifndef NDEBUG
  GTEST_SKIP() << "a debug build ends the process at the free itself; local_pool_misuse_test has that";
#else
  for (const size_t object_bytes : {64, 4160}) {
    LocalBlockPool local = MakeLocal(object_bytes);
    std::array<void*, 3> objects;
    for (void*& object : objects) object = local.Allocate();
    EXPECT_EQ(LocalComplaint(local), "");
    local.Deallocate(objects[0]);
    local.Deallocate(objects[1]);
    local.Deallocate(objects[0]);
    EXPECT_THAT(LocalComplaint(local), HasSubstr("freed twice")) << object_bytes;
  }
#endif
}

}  // namespace
}  // namespace hugepool::testing
