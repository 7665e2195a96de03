// CountingAllocator: the one wrapper that stands before every allocator under test, and counts what RocksDB asks for.
//
// Shape      an inner MemoryAllocator (a pool's adapter, or malloc) and a BlockTable
// Units      bytes as requested in Allocate; nothing here asks the inner allocator for a size
// Owner      shares the inner allocator; RocksDB's cache holds the wrapper by shared_ptr
// Threads    any thread
// Invariant  table().payload_bytes() = bytes requested and not yet deallocated
#ifndef HUGEPOOL_BENCH_COUNTING_ALLOCATOR_H_
#define HUGEPOOL_BENCH_COUNTING_ALLOCATOR_H_

#include <rocksdb/memory_allocator.h>

#include <cstddef>
#include <memory>

#include "bench/block_table.h"

namespace hugepool::bench {

// malloc, free and malloc_usable_size, whichever library provides them in this process.
std::shared_ptr<::rocksdb::MemoryAllocator> NewMallocAllocator();

class CountingAllocator final : public ::rocksdb::MemoryAllocator {
 public:
  CountingAllocator(std::shared_ptr<::rocksdb::MemoryAllocator> inner, size_t expected_block_count)
      : inner_(std::move(inner)), table_(expected_block_count) {}

  const char* Name() const override { return "kv_bench.counting"; }
  const ::rocksdb::Customizable* Inner() const override { return inner_.get(); }

  void* Allocate(size_t bytes) override;
  void Deallocate(void* block) override;
  size_t UsableSize(void* block, size_t allocation_bytes) const override;

  const BlockTable& table() const { return table_; }

 private:
  const std::shared_ptr<::rocksdb::MemoryAllocator> inner_;
  BlockTable table_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COUNTING_ALLOCATOR_H_
