// ClassTable: added classes take over just the sizes that they fit better, and nothing else changes.
#include "slab/class_table.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <vector>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Seed;

// What the fast path reads agrees with what the slow path says.
void CheckTags(const ClassTable& table) {
  for (size_t bytes = 1; bytes <= kMaxTableBytes; ++bytes) {
    const size_t tag = table.tags()[TableEntryOf(bytes)];
    ASSERT_EQ(tag, TagOf(table.For(bytes))) << bytes;
  }
}

TEST(ClassTable, BeginsWithTheClassesThatEveryPoolHas) {
  const ClassTable table;
  EXPECT_EQ(table.class_count(), kClassCount);
  for (size_t bytes = 1; bytes <= kMaxSlabBytes; ++bytes) ASSERT_EQ(table.For(bytes), ClassFor(bytes));
  CheckTags(table);
}

TEST(ClassTable, AnAddedClassServesTheSizesThatItFitsBest) {
  ClassTable table;
  const auto added = table.Add(4200);
  ASSERT_TRUE(added);
  EXPECT_EQ(table.ObjectBytes(*added), 4224u);  // up to a cache line
  EXPECT_EQ(table.For(4200), *added);
  EXPECT_EQ(table.For(4224), *added);
  EXPECT_EQ(table.For(4097), *added);
  EXPECT_EQ(table.For(4096), ClassFor(4096));
  EXPECT_EQ(table.For(4225), ClassFor(4225));
  CheckTags(table);
}

TEST(ClassTable, ASizeThatIsThereIsNotAddedAgain) {
  ClassTable table;
  EXPECT_EQ(table.Add(4096), ClassFor(4096));
  const auto added = table.Add(4200);
  EXPECT_EQ(table.Add(4161 + 32), added);
  EXPECT_EQ(table.class_count(), kClassCount + 1);
}

TEST(ClassTable, AgreesWithAModelUntilAllIdsAreTakenAndThenRefuses) {
  std::mt19937_64 random(Seed());
  ClassTable table;
  std::set<size_t> sizes;
  for (const SizeClassInfos& infos : kSizeClasses) sizes.insert(infos[0].object_bytes);
  while (true) {
    const size_t bytes = 1 + random() % (random() % 4 == 0 ? kMaxSlabBytes : 10'000);
    const auto added = table.Add(bytes);
    if (!added) break;
    ASSERT_GE(table.ObjectBytes(*added), bytes);
    sizes.insert(table.ObjectBytes(*added));
    ASSERT_EQ(table.class_count(), sizes.size());
    for (int i = 0; i < 2000; ++i) {
      const size_t wanted = 1 + random() % kMaxSlabBytes;
      ASSERT_EQ(table.ObjectBytes(table.For(wanted)), *sizes.lower_bound(wanted)) << wanted;
    }
  }
  EXPECT_EQ(table.class_count(), kClassCount + kAddedClassLimit);
  CheckTags(table);
  for (size_t i = 0; i < table.class_count(); ++i) {
    const size_t object_bytes = table.ObjectBytes(ToSizeClass(i));
    EXPECT_EQ(object_bytes % (object_bytes >= kCacheLineFromBytes ? kCacheLineBytes : kMinAlignmentBytes), 0u);
  }
}

TEST(ClassTable, AlignmentIsKeptWhateverWasAdded) {
  ClassTable table;
  (void)table.Add(4200);
  (void)table.Add(8256);
  for (size_t alignment_bytes = 1; alignment_bytes <= kMaxAlignmentBytes; alignment_bytes *= 2) {
    for (const size_t bytes : {1, 100, 4100, 4200, 8200, 8256, 40'000}) {
      const size_t object_bytes = table.ObjectBytes(table.For(bytes, alignment_bytes));
      EXPECT_GE(object_bytes, bytes);
      EXPECT_EQ(object_bytes % alignment_bytes, 0u);
    }
  }
}

TEST(ClassTable, LearnedClassesServeTheSizesThatTheyFitUntilTheyRetire) {
  ClassTable table;
  table.SetLearned(std::array<size_t, 2>{4160, 4200});
  const SizeClass first = table.For(4160);
  const SizeClass second = table.For(4161);
  EXPECT_EQ(table.ObjectBytes(first), 4160u);
  EXPECT_EQ(table.ObjectBytes(second), 4224u);
  EXPECT_EQ(table.learned_count(), 2u);
  CheckTags(table);
  table.SetLearned(std::array<size_t, 1>{4200});
  EXPECT_TRUE(table.IsRetired(first));
  EXPECT_EQ(table.For(4160), second);
  table.SetLearned({});
  EXPECT_EQ(table.learned_count(), 0u);
  for (size_t bytes = 1; bytes <= kMaxSlabBytes; ++bytes) ASSERT_EQ(table.For(bytes), ClassFor(bytes));
  CheckTags(table);
}

// What makes a stale table entry harmless.
TEST(ClassTable, AnIdBelongsToOneSizeForEver) {
  std::mt19937_64 random(Seed());
  ClassTable table;
  std::vector<size_t> size_of_id(kMaxClassCount, 0);
  for (int round = 0; round < 1000; ++round) {
    std::vector<size_t> sizes(random() % (kLearnedClassLimit + 1));
    for (size_t& bytes : sizes) bytes = 129 + random() % (kMaxTableBytes - 128);
    table.SetLearned(sizes);
    if (round % 100 == 0) (void)table.Add(1 + random() % kMaxSlabBytes);
    for (size_t i = 0; i < table.class_count(); ++i) {
      size_t& known_bytes = size_of_id[i];
      if (known_bytes == 0) known_bytes = table.ObjectBytes(ToSizeClass(i));
      ASSERT_EQ(table.ObjectBytes(ToSizeClass(i)), known_bytes) << "id " << i;
    }
    for (int i = 0; i < 200; ++i) {
      const size_t bytes = 1 + random() % kMaxSlabBytes;
      const SizeClass size_class = table.For(bytes);
      ASSERT_GE(table.ObjectBytes(size_class), bytes);
      ASSERT_LE(table.ObjectBytes(size_class), ObjectBytes(ClassFor(bytes)));
      ASSERT_FALSE(table.IsRetired(size_class));
    }
    CheckTags(table);
  }
  // All ids that may be learned are taken by now, and a user's are still to be had.
  EXPECT_LE(table.class_count(), kClassCount + kLearnedSizeLimit + 10);
  for (size_t added = 10, bytes = 40'000; added < kAddedClassLimit; bytes += 64) {
    const size_t before = table.class_count();
    ASSERT_TRUE(table.Add(bytes)) << bytes;
    added += table.class_count() - before;
  }
}

TEST(ClassTable, WhatAUserAddsAndWhatAHandleHoldsNeverRetires) {
  ClassTable table;
  table.SetLearned(std::array<size_t, 2>{4160, 4224});
  const SizeClass added = *table.Add(4160);
  EXPECT_EQ(table.ObjectBytes(table.FixedFor(4200, 16)), 4352u) << "a learned class is none to hold";
  EXPECT_EQ(table.FixedFor(4100, 16), added);
  EXPECT_EQ(table.FixedFor(4100, 256), ClassFor(4100, 256));
  table.SetLearned({});
  EXPECT_FALSE(table.IsRetired(added));
  EXPECT_EQ(table.For(4160), added);
  EXPECT_TRUE(table.Add(4224)) << "a retired class is there to be added";
  EXPECT_EQ(table.ObjectBytes(table.For(4200)), 4224u);
  CheckTags(table);
}

}  // namespace
}  // namespace hugepool::internal
