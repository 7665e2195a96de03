#include "arena/metadata_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <new>

namespace hugepool::internal {
namespace {
constexpr size_t kSmallPageBytes = 4096;
}  // namespace

MetadataMemory::~MetadataMemory() {
  for (const Mapping& mapping : mappings_) {
    if (mapping.unmapped) (void)os_.Unmap(mapping.address, mapping.bytes);
  }
}

void* MetadataMemory::Refused(int refused, size_t bytes, int node_id, Error* error) const {
  *error = Error{.code = ErrorCode::kNoMemory,
                 .operation = "mmap",
                 .errno_value = refused,
                 .node_id = node_id,
                 .bytes = bytes,
                 .message = "the pool's metadata cannot be mapped",
                 .mend =
                     "Raise RLIMIT_AS (ulimit -v) or, under vm.overcommit_memory=2, vm.overcommit_ratio; or lower "
                     "capacity_bytes."};
  return nullptr;
}

void* MetadataMemory::Map(size_t bytes, int node_id, Error* error) {
  bytes = (bytes + kSmallPageBytes - 1) / kSmallPageBytes * kSmallPageBytes;
  void* address = nullptr;
  const int refused = os_.MapSmall(bytes, &address);
  if (refused != 0) return Refused(refused, bytes, node_id, error);
  try {
    MutexLock lock(mutex_);
    mappings_.push_back({.address = address, .bytes = bytes, .counted = true, .unmapped = true});
  } catch (const std::bad_alloc&) {
    (void)os_.Unmap(address, bytes);
    return Refused(ENOMEM, bytes, node_id, error);
  }
  if (node_id >= 0) PreferNode(address, bytes, node_id);
  return address;
}

void* MetadataMemory::Reserve(size_t bytes, Error* error) {
  void* address = nullptr;
  int refused = os_.Reserve(bytes, &address);
  if (refused != 0) return Refused(refused, bytes, -1, error);
  {
    MutexLock lock(mutex_);
    mappings_.push_back({.address = address, .bytes = bytes, .counted = false, .unmapped = true});
  }
  refused = os_.AllowReading(address, bytes);
  return refused == 0 ? address : Refused(refused, bytes, -1, error);
}

int MetadataMemory::Open(void* address, size_t bytes, int node_id) {
  if (const int refused = os_.AllowAccess(address, bytes); refused != 0) return refused;
  try {
    MutexLock lock(mutex_);
    mappings_.push_back({.address = address, .bytes = bytes, .counted = true, .unmapped = false});
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
  (void)os_.Advise(address, bytes, MADV_NOHUGEPAGE);
  if (node_id >= 0) PreferNode(address, bytes, node_id);
  return 0;
}

void MetadataMemory::PreferNode(void* address, size_t bytes, int node_id) {
  const uintptr_t first = (reinterpret_cast<uintptr_t>(address) + kSmallPageBytes - 1) & ~(kSmallPageBytes - 1);
  const uintptr_t last = (reinterpret_cast<uintptr_t>(address) + bytes) & ~(kSmallPageBytes - 1);
  if (first >= last) return;
  if (os_.PreferNode(reinterpret_cast<void*>(first), last - first, node_id) != 0) {
    refused_bind_count_.fetch_add(1, std::memory_order_relaxed);
  }
}

uint64_t MetadataMemory::ResidentBytes() const {
  std::vector<Mapping> mappings;
  {
    MutexLock lock(mutex_);
    mappings = mappings_;
  }
  uint64_t resident_bytes = 0;
  for (const Mapping& mapping : mappings) {
    if (mapping.counted) resident_bytes += os_.ResidentBytes(mapping.address, mapping.bytes);
  }
  return resident_bytes;
}

}  // namespace hugepool::internal
