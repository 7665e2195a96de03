// SizeClass: spacing, alignment, waste and look-up, for every size there is.
#include "slab/size_classes.h"

#include <gtest/gtest.h>

namespace hugepool::internal {
namespace {

TEST(SizeClasses, EverySizeGetsTheSmallestClassThatHoldsIt) {
  for (size_t bytes = 1; bytes <= kMaxSlabBytes; ++bytes) {
    const size_t index = ToSize(ClassFor(bytes));
    ASSERT_LT(index, kClassCount);
    ASSERT_GE(ObjectBytes(ToSizeClass(index)), bytes);
    if (index != 0) {
      ASSERT_LT(ObjectBytes(ToSizeClass(index - 1)), bytes);
    }
  }
}

TEST(SizeClasses, AreSpacedAsPromised) {
  EXPECT_EQ(ObjectBytes(ToSizeClass(0)), 16u);
  EXPECT_EQ(ObjectBytes(ToSizeClass(kClassCount - 1)), kMaxSlabBytes);
  for (size_t i = 1; i < kClassCount; ++i) {
    const size_t below = ObjectBytes(ToSizeClass(i - 1));
    const size_t here = ObjectBytes(ToSizeClass(i));
    ASSERT_GT(here, below);
    if (here <= 128) {
      EXPECT_EQ(here - below, 16u);
    } else if (here <= 1024 || here > kMaxTableBytes) {
      // The worst block is one byte more than the class below.
      EXPECT_LE((here - below - 1) * 8, here) << here;
    } else {
      EXPECT_LE((here - below - 1) * 16, here) << here;
    }
  }
}

TEST(SizeClasses, BlocksFromOneKibibyteStartOnACacheLine) {
  for (const SizeClassInfos& infos : kSizeClasses) {
    const SizeClassInfo& info = infos[static_cast<size_t>(SlabKind::kNormal)];
    EXPECT_EQ(info.object_bytes % kMinAlignmentBytes, 0u);
    if (info.object_bytes >= kCacheLineFromBytes) {
      EXPECT_EQ(info.object_bytes % kCacheLineBytes, 0u);
    }
  }
}

TEST(SizeClasses, SlabsWasteLittleAtTheirTail) {
  for (const SizeClassInfos& infos : kSizeClasses) {
    const SizeClassInfo& info = infos[static_cast<size_t>(SlabKind::kNormal)];
    const auto waste = [&info](size_t order) {
      const size_t slab_bytes = kSlotBytes << order;
      const size_t count = std::min(slab_bytes / info.object_bytes, kMaxObjectsPerSlab);
      return count == 0 ? 1.0
                        : static_cast<double>(slab_bytes - count * info.object_bytes) / static_cast<double>(slab_bytes);
    };
    const size_t order = info.slab_order;
    ASSERT_LE(order, 5u);
    EXPECT_EQ(info.slot_count(), size_t{1} << order);
    EXPECT_EQ(info.object_count, std::min((kSlotBytes << order) / info.object_bytes, kMaxObjectsPerSlab));
    const auto few = [&info](size_t shorter) {
      return (kSlotBytes << shorter) / info.object_bytes < kMinObjectsPerSlab;
    };
    EXPECT_TRUE(!few(order) || order == 5);
    if (waste(order) <= 1.0 / 256) {
      for (size_t shorter = 0; shorter < order; ++shorter) {
        EXPECT_TRUE(few(shorter) || waste(shorter) > 1.0 / 256) << info.object_bytes;
      }
    } else {
      for (size_t other = 0; other <= 5; ++other) {
        EXPECT_TRUE(few(other) || waste(other) >= waste(order)) << info.object_bytes;
      }
    }
  }
}

TEST(SizeClasses, AShortSlabIsNoLongerThanAnother) {
  for (const SizeClassInfos& infos : kSizeClasses) {
    EXPECT_LE(infos[static_cast<size_t>(SlabKind::kShort)].slot_count(),
              infos[static_cast<size_t>(SlabKind::kNormal)].slot_count());
  }
}

TEST(SizeClasses, TheReciprocalDividesExactly) {
  for (const SizeClassInfos& infos : kSizeClasses) {
    const SizeClassInfo& info = infos[static_cast<size_t>(SlabKind::kNormal)];
    for (size_t object = 0; object < info.object_count; ++object) {
      const size_t first = object * info.object_bytes;
      ASSERT_EQ(info.IndexOf(first), object) << info.object_bytes;
      ASSERT_EQ(info.IndexOf(first + info.object_bytes - 1), object) << info.object_bytes;
      ASSERT_EQ(info.IndexOf(first + 1), object) << info.object_bytes;
    }
    ASSERT_EQ(info.IndexOf(kHugePageBytes - 1), (kHugePageBytes - 1) / info.object_bytes);
  }
}

TEST(SizeClasses, AlignedBlocksGetTheSmallestClassThatIsAMultiple) {
  for (size_t alignment_bytes = 1; alignment_bytes <= kMaxAlignmentBytes; alignment_bytes *= 2) {
    for (size_t bytes = 1; bytes <= kMaxSlabBytes; bytes += bytes < 5000 ? 1 : 997) {
      const SizeClassInfo& info = InfoOf(ClassFor(bytes, alignment_bytes));
      ASSERT_GE(info.object_bytes, bytes);
      ASSERT_EQ(info.object_bytes % alignment_bytes, 0u);
      for (const SizeClassInfos& others : kSizeClasses) {
        const SizeClassInfo& other = others[0];
        if (other.object_bytes >= bytes && other.object_bytes % alignment_bytes == 0) {
          ASSERT_GE(other.object_bytes, info.object_bytes) << bytes << " aligned to " << alignment_bytes;
        }
      }
    }
  }
}

TEST(SizeClasses, TagsTellClassesAndRunsApart) {
  for (size_t i = 0; i < kClassCount; ++i) {
    const SlotTag tag = TagOf(ToSizeClass(i));
    EXPECT_NE(tag, kFree);
    EXPECT_LT(tag, kDraining);
    EXPECT_EQ(ToSize(ClassOfTag(tag)), i);
  }
}

}  // namespace
}  // namespace hugepool::internal
