// What RocksDB's C API has behind this name, which it does not show: rocksdb_memory_allocator_destroy deletes it, and
// rocksdb_lru_cache_options_set_memory_allocator copies the pointer from it. The tests do both.
#ifndef HUGEPOOL_ROCKSDB_ADAPTER_C_ALLOCATOR_H_
#define HUGEPOOL_ROCKSDB_ADAPTER_C_ALLOCATOR_H_

#include <rocksdb/memory_allocator.h>

#include <memory>

struct rocksdb_memory_allocator_t {
  std::shared_ptr<::rocksdb::MemoryAllocator> rep;
};

#endif  // HUGEPOOL_ROCKSDB_ADAPTER_C_ALLOCATOR_H_
