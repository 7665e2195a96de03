// Bad input: the message names the value, the mend names what is allowed, and nothing stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;

TEST(PoolBadInput, CreateNamesValueRangeAndMend) {
  const struct {
    const char* what;
    std::function<void(PoolOptions&)> spoil;
    const char* value;
    const char* allowed;
  } table[] = {
      {"capacity 0", [](PoolOptions& o) { o.capacity_bytes = 0; }, "capacity_bytes = 0 ", "2M to 34359738368"},
      {"capacity below a page", [](PoolOptions& o) { o.capacity_bytes = 2 * kMiB - 1; }, "2097151", "2M to"},
      {"over physical memory", [](PoolOptions& o) { o.capacity_bytes = 32 * kGiB + 1; }, "34359738369",
       "2M to 34359738368 (the memory of the usable nodes)"},
      {"over everything", [](PoolOptions& o) { o.capacity_bytes = SIZE_MAX; }, "18446744073709551615", "2M to"},
      {"over one node's memory",
       [](PoolOptions& o) {
         o.placement = Placement::Node(4);
         o.capacity_bytes = 8 * kGiB + 1;
       },
       "8589934593", "the memory of node 4"},
      {"a page size that is none", [](PoolOptions& o) { o.page_bytes = 4 * kMiB; }, "page_bytes = 4194304 ", "2M, 1G"},
      {"less than a page of 1 GiB",
       [](PoolOptions& o) {
         o.page_bytes = kGiantPageBytes;
         o.capacity_bytes = kGiB - 1;
       },
       "1073741823 is out of range for page_bytes = 1G", "1G to 34359738368"},
      {"pages of 1 GiB without hugetlb",
       [](PoolOptions& o) {
         o.page_bytes = kGiantPageBytes;
         o.huge_pages = HugePages::kTransparent;
       },
       "page_bytes = 1G has no meaning with huge_pages = transparent", "required, preferred"},
      {"node 99", [](PoolOptions& o) { o.placement = Placement::Node(99); }, "node(99)", "0, 1, 4, 7"},
      {"node -1", [](PoolOptions& o) { o.placement = Placement::Node(-1); }, "node(-1)", "0, 1, 4, 7"},
      {"a dense index instead of the id", [](PoolOptions& o) { o.placement = Placement::Node(2); }, "node(2)",
       "0, 1, 4"},
      {"too large a cache", [](PoolOptions& o) { o.cache_bytes_per_cpu = kGiB + 1; }, "1073741825",
       "0 (no caching) to 1G"},
      {"too long a decay", [](PoolOptions& o) { o.decay_seconds = 3601; }, "3601", "0 to 3600"},
      {"too long a wait", [](PoolOptions& o) { o.wait_for_huge_pages_seconds = 3601; }, "3601", "0 to 3600"},
      {"too long a name", [](PoolOptions& o) { o.name.assign(65, 'x'); }, "65 characters", "at most 64"},
      {"a name that Parse cannot read", [](PoolOptions& o) { o.name = "a;b"; }, "'a;b'", "no ';'"},
      {"a name that Parse would trim", [](PoolOptions& o) { o.name = " a"; }, "' a'", "no space"},
  };
  for (const auto& row : table) {
    SimulatedOs os(EachNode(4, 1024 * kMiB));
    PoolOptions options;
    row.spoil(options);
    Error error;
    EXPECT_EQ(internal::CreatePool(options, os, FourNodes(), &error), nullptr) << row.what;
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << row.what;
    EXPECT_EQ(error.operation, "Pool::Create");
    EXPECT_THAT(error.message, HasSubstr(row.value)) << row.what;
    EXPECT_THAT(error.mend, HasSubstr(row.allowed)) << row.what;
    EXPECT_EQ(os.mapping_count(), 0u) << row.what;
    EXPECT_EQ(os.call_count(Call::kReserve), 0u) << row.what;
    EXPECT_EQ(internal::CreatePool(options, os, FourNodes(), nullptr), nullptr) << row.what;
  }
}

TEST(PoolBadInput, TheLimitsThemselvesAreAllowed) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  PoolOptions options;
  options.capacity_bytes = 2 * kMiB;
  options.cache_bytes_per_cpu = 0;
  options.name.assign(64, 'x');
  EXPECT_NE(MakePool(options, os, FourNodes()), nullptr);
  options.capacity_bytes = 32 * kGiB;
  options.wait_for_huge_pages_seconds = 3600;
  EXPECT_NE(MakePool(options, os, FourNodes()), nullptr);
  options.capacity_bytes = 2 * kMiB + 1;
  EXPECT_EQ(MakePool(options, os, FourNodes())->options().capacity_bytes, 4 * kMiB);
}

TEST(PoolBadInput, NodesOutsideOfTheCpusetAreNamed) {
  Error error;
  const auto topology = internal::Topology::Make({{.node_id = 0, .cpus = {0}, .memory_bytes = kGiB},
                                                  {.node_id = 1, .cpus = {1}, .memory_bytes = kGiB, .allowed = false},
                                                  {.node_id = 2, .cpus = {2}}},
                                                 {}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  SimulatedOs os({{0, 4, kGiB}});
  for (const int node_id : {1, 2}) {
    PoolOptions options;
    options.placement = Placement::Node(node_id);
    EXPECT_EQ(internal::CreatePool(options, os, *topology, &error), nullptr);
    EXPECT_THAT(error.message, HasSubstr("node(" + std::to_string(node_id) + ")"));
    EXPECT_EQ(error.mend, "Usable nodes: 0.");
  }
}

TEST(PoolBadInput, SlabCacheNamesValueRangeAndMend) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  PoolOptions options;
  options.capacity_bytes = 16 * kMiB;
  const auto pool = MakePool(options, os, OneNode());
  const struct {
    size_t object_bytes;
    size_t alignment_bytes;
    const char* value;
    const char* allowed;
  } table[] = {
      {0, 16, "object_bytes = 0 ", "1 to 256K"},
      {internal::kMaxSlabBytes + 1, 16, "object_bytes = 262145 ", "1 to 256K; larger blocks come from Pool::Allocate"},
      {64, 0, "alignment_bytes = 0 ", "powers of two from 1 to 4096"},
      {64, 3, "alignment_bytes = 3 ", "powers of two from 1 to 4096"},
      {64, 8192, "alignment_bytes = 8192 ", "powers of two from 1 to 4096"},
  };
  for (const auto& row : table) {
    Error error;
    EXPECT_FALSE(SlabCache::Create(pool, row.object_bytes, &error, row.alignment_bytes));
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.message, HasSubstr(row.value));
    EXPECT_THAT(error.mend, HasSubstr(row.allowed));
    EXPECT_FALSE(SlabCache::Create(pool, row.object_bytes, nullptr, row.alignment_bytes));
  }
  Error error;
  EXPECT_FALSE(SlabCache::Create(nullptr, 64, &error));
  EXPECT_THAT(error.message, HasSubstr("pool is null"));
  EXPECT_TRUE(SlabCache::Create(pool, 1, &error, 1));
  EXPECT_TRUE(SlabCache::Create(pool, internal::kMaxSlabBytes, &error, 4096));
}

}  // namespace
}  // namespace hugepool::testing
