// The C face: see hugepool_rocksdb.h.
#include <rocksdb/convenience.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "hugepool_rocksdb.h"
#include "rocksdb_adapter/pool_allocator.h"

// What RocksDB's C API has behind this name, which it does not show. rocksdb_memory_allocator_destroy deletes it, and
// rocksdb_lru_cache_options_set_memory_allocator copies the pointer from it: the tests do both.
struct rocksdb_memory_allocator_t {
  std::shared_ptr<::rocksdb::MemoryAllocator> rep;
};

namespace {

using hugepool::rocksdb::PoolAllocator;

void SetError(const std::string& text, char** errptr) {
  std::free(*errptr);
  *errptr = strdup(text.c_str());
}

}  // namespace

rocksdb_memory_allocator_t* hugepool_rocksdb_memory_allocator_create(const char* options, char** errptr) {
  auto allocator = std::make_shared<PoolAllocator>();
  ::rocksdb::ConfigOptions config;
  config.ignore_unknown_options = false;
  ::rocksdb::Status status = allocator->ConfigureFromString(config, options);
  if (status.ok() && allocator->pool() == nullptr)
    status = allocator->PrepareOptions(config);  // no option, or not prepared
  if (!status.ok()) {
    SetError(status.ToString(), errptr);
    return nullptr;
  }
  return new rocksdb_memory_allocator_t{std::move(allocator)};
}

char* hugepool_rocksdb_memory_allocator_stats(const rocksdb_memory_allocator_t* allocator, const char* format,
                                              char** errptr) {
  const auto pool = hugepool::rocksdb::PoolOf(*allocator->rep);
  if (pool == nullptr) {
    SetError(std::string(allocator->rep->Name()) + " is no allocator of hugepool", errptr);
    return nullptr;
  }
  const std::string_view wanted = format;
  const hugepool::PoolStats stats = pool->Stats();
  if (wanted == "text") return strdup(stats.ToText().c_str());
  if (wanted == "json") return strdup(stats.ToJson().c_str());
  if (wanted == "prometheus") return strdup(stats.ToPrometheus().c_str());
  SetError("format = '" + std::string(wanted) + "' is not known. Allowed: text, json, prometheus.", errptr);
  return nullptr;
}
