// A real database through LRU and HyperClock caches on every backing: values right, pages where they were asked for,
// every block back at the end.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>

#include <tuple>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPoolBytes = 32 * kMiB;
constexpr int kRecordCount = 30000;  // 12 MB of blocks

class CacheOnPool : public ::testing::TestWithParam<std::tuple<CacheKind, HugePages>> {
 protected:
  CacheKind cache_kind() const { return std::get<0>(GetParam()); }
  HugePages huge_pages() const { return std::get<1>(GetParam()); }

  void SetUp() override {
    const std::string why_not = WhyNot(huge_pages(), kPoolBytes / kHugePageBytes);
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    ASSERT_EQ(database_.Create(), "");
  }

  std::shared_ptr<::rocksdb::MemoryAllocator> MakeAllocator(size_t capacity_bytes) {
    rocksdb::AllocatorOptions options;
    options.capacity_bytes = capacity_bytes;
    options.huge_pages = huge_pages();
    Error error;
    auto allocator = rocksdb::NewMemoryAllocator(options, &error);
    EXPECT_NE(allocator, nullptr) << error.ToString();
    return allocator;
  }

  RealDatabase database_{kRecordCount};
};

TEST_P(CacheOnPool, EvictionChurnReadsRightFromTheRightPages) {
  auto allocator = MakeAllocator(kPoolBytes);
  ASSERT_NE(allocator, nullptr);
  const auto pool = rocksdb::PoolOf(*allocator);
  auto cache = MakeCache(cache_kind(), 4 * kMiB, allocator);  // a third of the data
  ASSERT_EQ(database_.Open(cache), "");
  ASSERT_EQ(database_.ReadAtRandom(4, 20000), "");

  EXPECT_EQ(rocksdb::Fallback(*allocator)->count, 0u);
  EXPECT_GT(pool->Stats().allocated_bytes, 2 * kMiB);
  Error error;
  const auto report = pool->VerifyPlacement(&error);
  ASSERT_TRUE(report.has_value()) << error.ToString();
  EXPECT_EQ(report->MisplacedCount(), 0u);
  const uint64_t all_bytes = report->hugetlb_bytes + report->transparent_bytes + report->small_bytes;
  EXPECT_GT(all_bytes, 0u);
  if (huge_pages() == HugePages::kRequired) {
    EXPECT_EQ(report->hugetlb_bytes, all_bytes);
  }
  if (huge_pages() == HugePages::kOff) {
    EXPECT_EQ(report->small_bytes, all_bytes);
  }
  // On `transparent` the kernel may decline a page; what it declined is counted.
  if (huge_pages() == HugePages::kTransparent) {
    EXPECT_EQ(report->hugetlb_bytes, 0u);
    EXPECT_EQ(report->transparent_bytes, pool->Stats().CommittedBytes(Backing::kTransparentHuge));
  }

  database_.Close();
  cache.reset();
  EXPECT_EQ(pool->Stats().allocated_count, 0u);
  std::string why;
  EXPECT_TRUE(pool->CheckInvariants(&why)) << why;
}

INSTANTIATE_TEST_SUITE_P(Kinds, CacheOnPool,
                         ::testing::Combine(::testing::Values(CacheKind::kLru, CacheKind::kHyperClock),
                                            ::testing::Values(HugePages::kRequired, HugePages::kTransparent,
                                                              HugePages::kOff)),
                         [](const auto& parameter) {
                           return std::string(std::get<0>(parameter.param) == CacheKind::kLru ? "lru_"
                                                                                              : "hyper_clock_") +
                                  ToString(std::get<1>(parameter.param));
                         });

}  // namespace
}  // namespace hugepool::testing
