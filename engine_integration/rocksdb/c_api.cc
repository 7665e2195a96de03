// The C face: see hugepool_rocksdb.h.
#include <rocksdb/convenience.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "hugepool_rocksdb.h"
#include "rocksdb_adapter/allocator_options.h"
#include "rocksdb_adapter/c_allocator.h"
#include "rocksdb_adapter/pool_allocator.h"

namespace {

using hugepool::rocksdb::PoolAllocator;

void SetError(const std::string& text, char** errptr) {
  std::free(*errptr);
  *errptr = strdup(text.c_str());
}

}  // namespace

rocksdb_memory_allocator_t* hugepool_rocksdb_memory_allocator_create(const char* options, char** errptr) {
  return hugepool_rocksdb_memory_allocator_create_for_cache(0, options, errptr);
}

rocksdb_memory_allocator_t* hugepool_rocksdb_memory_allocator_create_for_cache(size_t cache_bytes, const char* options,
                                                                               char** errptr) {
  auto allocator = std::make_shared<PoolAllocator>();
  ::rocksdb::ConfigOptions config;
  config.ignore_unknown_options = false;
  config.invoke_prepare_options = false;
  ::rocksdb::Status status = allocator->ConfigureFromString(config, options);
  if (status.ok()) {
    hugepool::rocksdb::AllocatorOptions made = *allocator->GetOptions<hugepool::rocksdb::AllocatorOptions>();
    if (made.capacity_bytes == 0 && cache_bytes != 0) {
      made.capacity_bytes = hugepool::rocksdb::CapacityFor(cache_bytes, made);
    }
    hugepool::Error error;
    if (!allocator->MakePool(made, &error)) status = hugepool::rocksdb::ToStatus(error);
  }
  if (!status.ok()) {
    SetError(status.ToString(), errptr);
    return nullptr;
  }
  return new rocksdb_memory_allocator_t{std::move(allocator)};
}

uint64_t hugepool_rocksdb_memory_allocator_allocation_count(const rocksdb_memory_allocator_t* allocator) {
  return hugepool::rocksdb::AllocationCount(*allocator->rep).value_or(0);
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
