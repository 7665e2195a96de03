// BlockTable: the size that was asked for, of every live block, kept outside of the blocks.
//
// RocksDB does not state a block's size when it frees it, and what an allocator says about its own blocks is what the
// benchmark must not believe. The table is the same for every allocator under test and is touched by Allocate and
// Deallocate only, never by a read that the cache serves.
//
// Shape      64 shards by hash of the address; each an open-addressing table with linear probing, deletion by shifting
//            back, doubled at 3/4 full; in mappings of its own (4 KiB pages, populated), so that it never mixes with
//            the memory that is measured
// Units      bytes as requested; table_bytes() is the size of the mappings
// Threads    any thread; one mutex per shard
// Invariant  payload_bytes() = sum of the sizes in the table; block_count() = entries
// Errors     a block inserted twice, an erased block that is not there, no memory: ends the process with a message
// Cost       one lock, one or two cache lines
#ifndef HUGEPOOL_BENCH_BLOCK_TABLE_H_
#define HUGEPOOL_BENCH_BLOCK_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace hugepool::bench {

class BlockTable {
 public:
  // Room for so many blocks before a shard has to grow.
  explicit BlockTable(size_t expected_block_count);
  ~BlockTable();
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  void Insert(const void* block, size_t bytes);
  size_t Erase(const void* block);

  uint64_t payload_bytes() const;
  uint64_t block_count() const;
  uint64_t inserted_bytes() const;  // since the table was made
  uint64_t table_bytes() const;

  // Calls visit(address) for each live block, shard by shard under its lock; allocates nothing.
  template <typename Visit>
  void ForEachBlock(Visit visit) const {
    for (const Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      for (size_t i = 0; i < shard.entry_limit; ++i) {
        if (shard.entries[i].address != 0) visit(shard.entries[i].address);
      }
    }
  }

 private:
  struct Entry {
    uintptr_t address = 0;  // 0: empty
    size_t bytes = 0;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    Entry* entries = nullptr;  // a power of two of them
    size_t entry_limit = 0;
    size_t used_count = 0;
    uint64_t payload_bytes = 0;
    uint64_t inserted_bytes = 0;
  };

  // Of one figure over the shards, each under its lock.
  template <typename Figure>
  uint64_t Sum(Figure figure) const {
    uint64_t sum = 0;
    for (const Shard& shard : shards_) {
      std::lock_guard lock(shard.mutex);
      sum += figure(shard);
    }
    return sum;
  }
  static constexpr unsigned kShardBits = 6;

  static uint64_t HashOf(uintptr_t address);
  Shard& ShardOf(uint64_t hash) { return shards_[hash >> (64 - kShardBits)]; }
  static size_t FindSlot(const Shard& shard, uintptr_t address);
  static void Grow(Shard* shard);

  std::array<Shard, size_t{1} << kShardBits> shards_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_BLOCK_TABLE_H_
