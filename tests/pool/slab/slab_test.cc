// Slab: a random walk of every class against a plain list of flags.
#include "slab/slab.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Seed;

TEST(Slab, AgreesWithAListOfFlagsAfterEveryStep) {
  std::mt19937_64 random(Seed());
  for (const SizeClassInfos& infos : kSizeClasses) {
    const SizeClassInfo& info = infos[static_cast<size_t>(SlabKind::kNormal)];
    ExternalRow row{};
    Slab slab;
    slab.Reset(row, info);
    std::vector<bool> used(info.object_count, false);
    size_t used_count = 0;
    ASSERT_TRUE(slab.live);
    ASSERT_EQ(slab.FreeCount(row, info), info.object_count);
    const auto check = [&] {
      ASSERT_EQ(slab.used_count, used_count);
      ASSERT_EQ(slab.FreeCount(row, info), info.object_count - used_count);
      ASSERT_EQ(slab.summary == 0, used_count == info.object_count);
    };
    for (size_t step = 0; step < 3 * size_t{info.object_count} + 50; ++step) {
      const bool fill = step < info.object_count || random() % 2 == 0;
      if (fill && used_count < info.object_count) {
        const size_t object = slab.Take(row, info);
        ASSERT_LT(object, info.object_count);
        ASSERT_FALSE(used[object]) << "object " << object << " of " << info.object_bytes << " bytes given twice";
        // The lowest free one, so that slabs stay dense.
        ASSERT_EQ(static_cast<size_t>(std::find(used.begin(), used.end(), false) - used.begin()), object);
        used[object] = true;
        ++used_count;
      } else if (used_count != 0) {
        size_t object = random() % info.object_count;
        while (!used[object]) object = (object + 1) % info.object_count;
        ASSERT_FALSE(slab.IsFree(object, row, info));
        slab.Put(object, row, info);
        ASSERT_TRUE(slab.IsFree(object, row, info));
        used[object] = false;
        --used_count;
      }
      if (step % 16 == 0 || info.object_count < 300) check();
      if (::testing::Test::HasFatalFailure()) return;
    }
    check();
  }
}

TEST(Slab, ASummaryThatLiesIsFound) {
  const SizeClassInfo& info = InfoOf(ClassFor(64));
  ExternalRow row{};
  Slab slab;
  slab.Reset(row, info);
  slab.summary &= ~uint64_t{1};
  EXPECT_EQ(slab.FreeCount(row, info), SIZE_MAX);
}

}  // namespace
}  // namespace hugepool::internal
