// ClassTable: added classes take over just the sizes that they fit better, and nothing else changes.
#include "slab/class_table.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Seed;

// What the fast path reads agrees with what the slow path says.
void CheckLines(const ClassTable& table) {
  for (size_t bytes = 1; bytes <= kMaxTableBytes; ++bytes) {
    const size_t lines = table.lines()[(bytes + kTableStepBytes - 1) / kTableStepBytes];
    ASSERT_EQ(lines, TagOf(table.For(bytes)) * kMagazineLines) << bytes;
  }
}

TEST(ClassTable, BeginsWithTheClassesThatEveryPoolHas) {
  const ClassTable table;
  EXPECT_EQ(table.class_count(), kClassCount);
  for (size_t bytes = 1; bytes <= kMaxSlabBytes; ++bytes) ASSERT_EQ(table.For(bytes), ClassFor(bytes));
  CheckLines(table);
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
  CheckLines(table);
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
  CheckLines(table);
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

}  // namespace
}  // namespace hugepool::internal
