#include "bench/counting_allocator.h"

#include <malloc.h>

#include <cstdlib>

namespace hugepool::bench {
namespace {

class MallocAllocator final : public ::rocksdb::MemoryAllocator {
 public:
  const char* Name() const override { return "kv_bench.malloc"; }
  void* Allocate(size_t bytes) override { return std::malloc(bytes); }
  void Deallocate(void* block) override { std::free(block); }
  size_t UsableSize(void* block, size_t) const override { return malloc_usable_size(block); }
};

}  // namespace

std::shared_ptr<::rocksdb::MemoryAllocator> NewMallocAllocator() { return std::make_shared<MallocAllocator>(); }

void* CountingAllocator::Allocate(size_t bytes) {
  void* block = inner_->Allocate(bytes);
  if (block != nullptr) table_.Insert(block, bytes);
  return block;
}

void CountingAllocator::Deallocate(void* block) {
  if (block == nullptr) return;
  // First out of the table: once the inner allocator has it, another thread may be given the same address.
  table_.Erase(block);
  inner_->Deallocate(block);
}

size_t CountingAllocator::UsableSize(void* block, size_t allocation_bytes) const {
  return inner_->UsableSize(block, allocation_bytes);
}

}  // namespace hugepool::bench
