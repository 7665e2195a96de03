// Serving: what the preloaded library knows of this process: the allocators that it made, the calls that it saw, and what went wrong.
//
// Shape      one for the process, made when the library is loaded. The adapter is loaded, from beside this library, when the first cache
//            is made, so that programs without RocksDB get nothing of it.
// Owner      itself; never destroyed, for caches may outlive every destructor
// Threads    any; guarded by mutex_
// Invariant  one allocator for all caches where HUGEPOOL_OPTIONS names a capacity, else one for each cache; one of a cache that is
//            gone is used again for the next of its size
// Errors     no allocator, and Problem() says why; the first time on standard error
#ifndef HUGEPOOL_ROCKSDB_PRELOAD_SERVING_H_
#define HUGEPOOL_ROCKSDB_PRELOAD_SERVING_H_

#include <rocksdb/memory_allocator.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hugepool_rocksdb.h"

namespace hugepool::preload {

class Serving {
 public:
  static Serving& Get();

  // RocksDB's own function behind ours; ends the process where there is none, which called it.
  template <typename Function>
  static Function RealCall(const char* symbol) {
    return reinterpret_cast<Function>(FindReal(symbol));
  }

  // nullptr: none is to be had. cache_bytes 0: not known.
  std::shared_ptr<::rocksdb::MemoryAllocator> AllocatorFor(size_t cache_bytes);

  // At the process's end: writes the report and, where nothing was served, says why.
  void Finish();
  // As JSON to HUGEPOOL_REPORT_FILE, where that is set.
  void WriteReport();

 private:
  struct Served {
    rocksdb_memory_allocator_t* allocator = nullptr;
    size_t cache_bytes = 0;
  };
  // What is used of the adapter's C face.
  struct Adapter {
    decltype(&hugepool_rocksdb_memory_allocator_create_for_cache) create = nullptr;
    decltype(&hugepool_rocksdb_memory_allocator_allocation_count) count = nullptr;
    decltype(&hugepool_rocksdb_memory_allocator_stats) stats = nullptr;
  };

  Serving();
  static void* FindReal(const char* symbol);
  bool LoadAdapter();
  void Complain(const std::string& problem);
  std::string Report();
  uint64_t AllocationCount() const;
  std::string WhyNothing() const;

  const pid_t process_;  // a forked child says nothing at its end
  const std::string options_;
  const std::string report_file_;
  const bool strict_;
  std::mutex mutex_;
  Adapter adapter_;
  std::vector<Served> served_;
  uint64_t cache_count_ = 0;
  std::string problem_;  // the first
  std::atomic<bool> finished_{false};
};

}  // namespace hugepool::preload

#endif  // HUGEPOOL_ROCKSDB_PRELOAD_SERVING_H_
