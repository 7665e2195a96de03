// AllocatorMode: one way in which our allocator may work below a cache; and a fixture that gives a test each of them.
//
// Shape      the pages that are asked for × with the CPUs' caches or without × the kind of cache
// Owner      the fixture shares allocator and pool with the test's caches and databases, which go before it
// Invariant  at the end of each test every block is back, malloc's too, and the pool's books are right
// Errors     a mode for which this machine has no pages is skipped, and the reason printed
#ifndef HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_ALLOCATOR_MODE_H_
#define HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_ALLOCATOR_MODE_H_

#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {

struct AllocatorMode {
  HugePages huge_pages = HugePages::kOff;
  CpuCacheMode cpu_cache = CpuCacheMode::kAuto;
  CacheKind cache_kind = CacheKind::kLru;
};

inline std::string ToString(const AllocatorMode& mode) {
  return std::string(mode.cache_kind == CacheKind::kLru ? "lru_" : "hyper_clock_") + ToString(mode.huge_pages) +
         (mode.cpu_cache == CpuCacheMode::kOff ? "_uncached" : "");
}
inline void PrintTo(const AllocatorMode& mode, std::ostream* out) { *out << ToString(mode); }
inline std::string NameOfMode(const ::testing::TestParamInfo<AllocatorMode>& info) { return ToString(info.param); }

inline std::vector<AllocatorMode> EveryMode(const std::vector<CacheKind>& cache_kinds = {CacheKind::kLru,
                                                                                         CacheKind::kHyperClock}) {
  std::vector<AllocatorMode> modes;
  for (const CacheKind cache_kind : cache_kinds) {
    for (const HugePages huge_pages :
         {HugePages::kRequired, HugePages::kPreferred, HugePages::kTransparent, HugePages::kOff}) {
      for (const CpuCacheMode cpu_cache : {CpuCacheMode::kAuto, CpuCacheMode::kOff}) {
        modes.push_back({huge_pages, cpu_cache, cache_kind});
      }
    }
  }
  return modes;
}

class InEveryMode : public ::testing::TestWithParam<AllocatorMode> {
 protected:
  explicit InEveryMode(size_t pool_bytes) {
    options_.capacity_bytes = pool_bytes;
    options_.huge_pages = GetParam().huge_pages;
    options_.cpu_cache = GetParam().cpu_cache;
  }
  ~InEveryMode() override {
    if (allocator_ != nullptr) {
      EXPECT_EQ(rocksdb::Fallback(*allocator_)->live_count, 0u) << "something of malloc's was not given back";
    }
    if (pool_ == nullptr) return;
    EXPECT_EQ(pool_->Stats().allocated_count, 0u) << "something was not given back";
    std::string why;
    EXPECT_TRUE(pool_->CheckInvariants(&why)) << why;
  }
  void SetUp() override {
    const std::string why_not = WhyNot(options_.huge_pages, options_.capacity_bytes / kHugePageBytes);
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    Error error;
    allocator_ = rocksdb::NewMemoryAllocator(options_, &error);
    ASSERT_NE(allocator_, nullptr) << error.ToString();
    pool_ = rocksdb::PoolOf(*allocator_);
  }

  CacheKind cache_kind() const { return GetParam().cache_kind; }

  rocksdb::AllocatorOptions options_;  // a test's constructor may say more
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator_;
  std::shared_ptr<Pool> pool_;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_ALLOCATOR_MODE_H_
