#include "arena/metadata_memory.h"

#include <cstdint>

namespace hugepool::internal {
namespace {
constexpr size_t kSmallPageBytes = 4096;
}  // namespace

MetadataMemory::~MetadataMemory() {
  for (const Mapping& mapping : mappings_) (void)os_.Unmap(mapping.address, mapping.bytes);
}

void* MetadataMemory::Map(size_t bytes, int node_id, Error* error) {
  bytes = (bytes + kSmallPageBytes - 1) / kSmallPageBytes * kSmallPageBytes;
  void* address = nullptr;
  const int refused = os_.MapSmall(bytes, &address);
  if (refused != 0) {
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
  mappings_.push_back({address, bytes});
  if (node_id >= 0) PreferNode(address, bytes, node_id);
  return address;
}

void MetadataMemory::PreferNode(void* address, size_t bytes, int node_id) {
  const uintptr_t first = (reinterpret_cast<uintptr_t>(address) + kSmallPageBytes - 1) & ~(kSmallPageBytes - 1);
  const uintptr_t last = (reinterpret_cast<uintptr_t>(address) + bytes) & ~(kSmallPageBytes - 1);
  if (first >= last) return;
  if (os_.PreferNode(reinterpret_cast<void*>(first), last - first, node_id) != 0) ++refused_bind_count_;
}

uint64_t MetadataMemory::ResidentBytes() const {
  uint64_t resident_bytes = 0;
  for (const Mapping& mapping : mappings_) resident_bytes += os_.ResidentBytes(mapping.address, mapping.bytes);
  return resident_bytes;
}

}  // namespace hugepool::internal
