// One block cache over all nodes, or one for each: on which node the blocks lie that a reader finds, counted on two nodes with CPUs.
// docs/rocksdb.md, "Several nodes", advises by this.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "numa_guest/machine.h"
#include "scratch_dir.h"

namespace hugepool::guest {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr int kRecordCount = 16'000;
constexpr int kReadCount = 10'000;  // by each reader

std::string KeyOf(int record) {
  char key[16];
  std::snprintf(key, sizeof key, "r%07d", record);
  return key;
}

struct Counts {
  uint64_t own_count = 0;  // reads whose value lies on the reader's node
  uint64_t other_count = 0;
  uint64_t handed_over_block_count = 0;  // freed on another node than their own
  double OtherShare() const {
    return static_cast<double>(other_count) / static_cast<double>(std::max<uint64_t>(1, own_count + other_count));
  }
};

class RocksdbNodes : public ::testing::Test {
 protected:
  void SetUp() override {
    std::unique_ptr<::rocksdb::DB> db = Open(nullptr, /*read_only=*/false);
    for (int record = 0; record < kRecordCount; ++record) {
      ASSERT_TRUE(db->Put({}, KeyOf(record), std::string(400, static_cast<char>('a' + record % 26))).ok());
    }
    ASSERT_TRUE(db->Flush({}).ok());
  }

  std::unique_ptr<::rocksdb::DB> Open(std::shared_ptr<::rocksdb::Cache> cache, bool read_only) {
    ::rocksdb::BlockBasedTableOptions table;
    table.block_cache = std::move(cache);
    table.no_block_cache = table.block_cache == nullptr;
    ::rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = ::rocksdb::kNoCompression;
    options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
    ::rocksdb::DB* opened = nullptr;
    const ::rocksdb::Status status = read_only ? ::rocksdb::DB::OpenForReadOnly(options, dir_ / "db", &opened)
                                               : ::rocksdb::DB::Open(options, dir_ / "db", &opened);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<::rocksdb::DB>(opened);
  }

  static std::shared_ptr<::rocksdb::Cache> Cache(size_t bytes, Placement placement) {
    rocksdb::AllocatorOptions options;
    options.placement = placement;
    options.huge_pages = HugePages::kRequired;
    options.capacity_bytes = 24 * kMiB;
    ::rocksdb::LRUCacheOptions cache;
    cache.capacity = bytes;
    Error error;
    auto made = rocksdb::NewLRUCache(cache, options, &error);
    EXPECT_NE(made, nullptr) << error.ToString();
    return made;
  }

  // Records of that rest modulo `step`, by a thread on that node.
  static void Read(::rocksdb::DB* db, const Pool& pool, int node_id, int rest, int step, Counts* counts) {
    PinToNode(node_id);
    std::mt19937 words(static_cast<unsigned>(node_id));
    ::rocksdb::PinnableSlice value;
    for (int i = 0; i < kReadCount; ++i) {
      const int record = static_cast<int>(words() % static_cast<unsigned>(kRecordCount / step)) * step + rest;
      ASSERT_TRUE(db->Get({}, db->DefaultColumnFamily(), KeyOf(record), &value).ok()) << record;
      ASSERT_EQ(value.data()[0], 'a' + record % 26);
      ASSERT_TRUE(pool.Owns(value.data()));
      ++(pool.NodeOf(value.data()) == node_id ? counts->own_count : counts->other_count);
      value.Reset();
    }
  }

  // One reader on each node with CPUs, each with its own of the databases (or all with the one) and its part of the records.
  static Counts ReadOnEachNode(const std::vector<std::unique_ptr<::rocksdb::DB>>& dbs,
                               const std::vector<Pool*>& pools) {
    const std::vector<int> nodes = ThisMachine().CpuNodes();
    std::vector<Counts> counts(nodes.size());
    std::vector<std::thread> readers;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const size_t own = dbs.size() == 1 ? 0 : i;
      const int step = dbs.size() == 1 ? 1 : static_cast<int>(nodes.size());
      const int rest = dbs.size() == 1 ? 0 : static_cast<int>(i);
      readers.emplace_back(
          [&, i, own, step, rest] { Read(dbs[own].get(), *pools[own], nodes[i], rest, step, &counts[i]); });
    }
    for (std::thread& reader : readers) reader.join();
    Counts sum;
    for (const Counts& one : counts) {
      sum.own_count += one.own_count;
      sum.other_count += one.other_count;
    }
    for (const Pool* pool : pools) {
      for (const NodeStats& node : pool->Stats().nodes) sum.handed_over_block_count += node.handed_over_block_count;
    }
    return sum;
  }

  static void Print(const char* what, const Counts& counts) {
    std::printf("%s: %.1f %% of %zu reads found their value on another node; %zu blocks were handed over\n", what,
                100 * counts.OtherShare(), static_cast<size_t>(counts.own_count + counts.other_count),
                static_cast<size_t>(counts.handed_over_block_count));
  }

  const ::hugepool::testing::ScratchDir dir_;
};

TEST_F(RocksdbNodes, InOneCacheHalfOfTheHitsLieOnTheOtherNode) {
  const auto cache = Cache(4 * kMiB, Placement::Local());
  std::vector<std::unique_ptr<::rocksdb::DB>> dbs;
  dbs.push_back(Open(cache, true));
  const auto pool = rocksdb::PoolOf(*cache->memory_allocator());
  const Counts counts = ReadOnEachNode(dbs, {pool.get()});
  Print("one cache, local", counts);
  // Half of what was found in the cache was loaded by the other reader; what a reader had to load lies on its own node.
  EXPECT_GT(counts.OtherShare(), 0.15);
  EXPECT_LT(counts.OtherShare(), 0.5);
  EXPECT_GT(counts.handed_over_block_count, 500u) << "evicted by the reader on the other node";
}

TEST_F(RocksdbNodes, InterleavedItLiesOnEveryNode) {
  const auto cache = Cache(4 * kMiB, Placement::Interleave());
  std::vector<std::unique_ptr<::rocksdb::DB>> dbs;
  dbs.push_back(Open(cache, true));
  const auto pool = rocksdb::PoolOf(*cache->memory_allocator());
  const Counts counts = ReadOnEachNode(dbs, {pool.get()});
  Print("one cache, interleave", counts);
  const double expected = 1 - 1.0 / static_cast<double>(ThisMachine().MemoryNodes().size());
  EXPECT_NEAR(counts.OtherShare(), expected, 0.15);
}

TEST_F(RocksdbNodes, WithACacheForEachNodeEveryBlockIsAtHome) {
  std::vector<std::shared_ptr<::rocksdb::Cache>> caches;
  std::vector<std::unique_ptr<::rocksdb::DB>> dbs;
  std::vector<std::shared_ptr<Pool>> held;
  std::vector<Pool*> pools;
  for (const int node_id : ThisMachine().CpuNodes()) {
    caches.push_back(Cache(2 * kMiB, Placement::Node(node_id)));
    dbs.push_back(Open(caches.back(), true));
    held.push_back(rocksdb::PoolOf(*caches.back()->memory_allocator()));
    pools.push_back(held.back().get());
  }
  const Counts counts = ReadOnEachNode(dbs, pools);
  Print("a cache for each node", counts);
  EXPECT_EQ(counts.other_count, 0u);
  EXPECT_EQ(counts.handed_over_block_count, 0u);
}

}  // namespace
}  // namespace hugepool::guest
