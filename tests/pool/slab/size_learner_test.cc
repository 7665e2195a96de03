// SizeLearner: a class for sizes that many blocks have, none for few, and an end of it when the sizes change.
#include "slab/size_learner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Seed;

constexpr uint64_t kMiB = uint64_t{1} << 20;

// A pool of which only the counts are there: blocks of a payload of given sizes, replaced in batches.
class Load {
 public:
  // Replaces so many bytes, so that live_bytes live, of sizes from least to most.
  void Run(size_t least, size_t most, uint64_t live_bytes, uint64_t replaced_bytes) {
    for (uint64_t done_bytes = 0; done_bytes < replaced_bytes;) {
      const size_t bytes = least + random_() % (most - least + 1);
      live_.counts[ToSize(classes.For(bytes))] += kBatchCount;
      classes.NoteFetched(classes.For(bytes));
      live_.used_bytes += kBatchCount * bytes;
      done_bytes += kBatchCount * bytes;
      while (live_.used_bytes > live_bytes) FreeAny();
      live_.node_count = 1;
      live_.committed_bytes = live_.used_bytes;
      if (learner_->Sample(bytes, kBatchCount)) learner_->Plan(live_);
    }
  }

  // So many bytes of a class, of which no request tells.
  void AddUnseen(SizeClass size_class, uint64_t bytes) {
    live_.counts[ToSize(size_class)] += bytes / classes.ObjectBytes(size_class);
    live_.used_bytes += bytes;
  }

  ClassTable classes;

 private:
  static constexpr uint64_t kBatchCount = 32;

  // A batch of a class, by how many it has.
  void FreeAny() {
    uint64_t all = 0;
    for (const uint64_t count : live_.counts) all += count;
    uint64_t left = random_() % all;
    size_t i = 0;
    while (left >= live_.counts[i]) left -= live_.counts[i++];
    const uint64_t freed = std::min(kBatchCount, live_.counts[i]);
    live_.counts[i] -= freed;
    live_.used_bytes -= std::min(live_.used_bytes, freed * classes.ObjectBytes(ToSizeClass(i)));
  }

  std::mt19937_64 random_{Seed()};
  LiveMemory live_{.capacity_bytes = uint64_t{16} << 30};
  const std::unique_ptr<SizeLearner> learner_ = std::make_unique<SizeLearner>(classes);
};

TEST(SizeLearner, ManyBlocksOfANarrowSpreadGetClassesThatFit) {
  Load load;
  load.Run(4097, 4352, 1024 * kMiB, 4096 * kMiB);
  EXPECT_EQ(load.classes.learned_count(), 3u);
  EXPECT_EQ(load.classes.ObjectBytes(load.classes.For(4100)), 4160u);
  EXPECT_EQ(load.classes.ObjectBytes(load.classes.For(4200)), 4224u);
  EXPECT_EQ(load.classes.ObjectBytes(load.classes.For(4288)), 4288u);
  EXPECT_EQ(load.classes.ObjectBytes(load.classes.For(4300)), 4352u);
}

TEST(SizeLearner, OneSizeGetsItsClass) {
  Load load;
  load.Run(9000, 9000, 256 * kMiB, 1024 * kMiB);
  EXPECT_EQ(load.classes.learned_count(), 1u);
  EXPECT_LE(load.classes.ObjectBytes(load.classes.For(9000)), 9088u);
}

TEST(SizeLearner, AFixedClassThatALearnedOneReplacedIsDormantUntilItIsNeeded) {
  Load load;
  const SizeClass fixed = load.classes.For(9000);
  load.Run(9000, 9000, 256 * kMiB, 8 * kMiB);
  EXPECT_FALSE(load.classes.IsDormant(fixed)) << "no plan was made yet";
  load.Run(9000, 9000, 256 * kMiB, 1024 * kMiB);
  ASSERT_NE(load.classes.For(9000), fixed);
  EXPECT_TRUE(load.classes.IsDormant(fixed));
  for (size_t i = 0; i < load.classes.class_count(); ++i) {
    EXPECT_EQ(load.classes.IsDormant(ToSizeClass(i)), ToSizeClass(i) == fixed)
        << "whose place did a learned class take?";
  }
  load.classes.NoteFetched(fixed);
  EXPECT_FALSE(load.classes.IsDormant(fixed));
}

// Also where no request tells of it: what is asked for with an alignment is not sampled.
TEST(SizeLearner, AFixedClassThatIsFetchedIsNotDormant) {
  Load load;
  const SizeClass fixed = load.classes.For(9000);
  for (int i = 0; i < 1024; ++i) {
    load.classes.NoteFetched(fixed);
    load.Run(9000, 9000, 256 * kMiB, kMiB);
    ASSERT_FALSE(load.classes.IsDormant(fixed)) << i;
  }
  EXPECT_NE(load.classes.For(9000), fixed);
}

// Their frees would go to the slabs one by one.
TEST(SizeLearner, AFixedClassWithManyBlocksIsNotDormant) {
  Load load;
  const SizeClass fixed = load.classes.For(9000);
  load.AddUnseen(fixed, 256 * kMiB);
  load.Run(9000, 9000, 512 * kMiB, 240 * kMiB);
  EXPECT_NE(load.classes.For(9000), fixed);
  EXPECT_FALSE(load.classes.IsDormant(fixed));
}

// Sizes that only the fixed class fits were asked for once, and live; magazines serve them, and nothing is fetched any more.
TEST(SizeLearner, AFixedClassWithBlocksOfItsOwnIsNotDormant) {
  Load load;
  const SizeClass fixed = load.classes.For(9000);
  const size_t fixed_bytes = load.classes.ObjectBytes(fixed);
  load.Run(fixed_bytes, fixed_bytes, 64 * kMiB, 64 * kMiB);
  load.Run(9000, 9000, 1024 * kMiB, 960 * kMiB);
  ASSERT_NE(load.classes.For(9000), fixed);
  EXPECT_FALSE(load.classes.IsDormant(fixed));
}

TEST(SizeLearner, FewBlocksGetNone) {
  Load load;
  load.Run(4097, 4352, 4 * kMiB, 1024 * kMiB);
  EXPECT_EQ(load.classes.learned_count(), 0u);
}

TEST(SizeLearner, SizesThatAClassFitsAlreadyGetNone) {
  Load load;
  load.Run(4096, 4096, 1024 * kMiB, 4096 * kMiB);
  EXPECT_EQ(load.classes.learned_count(), 0u);
}

TEST(SizeLearner, WhatIsAskedForNoMoreRetires) {
  Load load;
  load.Run(4200, 4224, 1024 * kMiB, 2048 * kMiB);
  const SizeClass before = load.classes.For(4200);
  ASSERT_TRUE(load.classes.IsLearned(before));
  load.Run(9000, 9000, 1024 * kMiB, 20'000 * kMiB);
  EXPECT_TRUE(load.classes.IsRetired(before));
  EXPECT_EQ(load.classes.learned_count(), 1u);
  EXPECT_LE(load.classes.ObjectBytes(load.classes.For(9000)), 9088u);
  load.Run(4200, 4224, 1024 * kMiB, 20'000 * kMiB);
  EXPECT_EQ(load.classes.For(4200), before) << "a size that comes back gets its id back";
}

TEST(SizeLearner, AnyNumberOfSizesEverStaysWithinTheIds) {
  Load load;
  for (size_t least = 2049; least < 30'000; least += least / 16) {
    load.Run(least, least + 300, 1024 * kMiB, 8192 * kMiB);
    ASSERT_LE(load.classes.learned_count(), kLearnedClassLimit);
    ASSERT_LE(load.classes.class_count(), kClassCount + kLearnedSizeLimit);
  }
  EXPECT_GT(load.classes.class_count(), kClassCount + 20);
}

}  // namespace
}  // namespace hugepool::internal
