#include "bench/block_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/record_source.h"

namespace hugepool::bench {
namespace {

constexpr size_t kSmallestEntryCount = 256;  // one 4 KiB page

[[noreturn]] void Die(const char* what, const void* address) {
  std::fprintf(stderr, "kv_bench: counting table: %s (address %p): %s\n", what, address, std::strerror(errno));
  std::abort();
}

void* MapPopulated(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("no memory", nullptr);
  // 4 KiB pages keep the resident size equal to the mapped size; a kernel without THP refuses the advice, and needs
  // none.
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  std::memset(memory, 0, bytes);
  return memory;
}

}  // namespace

BlockTable::BlockTable(size_t expected_block_count) {
  const size_t per_shard = expected_block_count / shards_.size() * 3 / 2;
  const size_t entry_count = std::bit_ceil(std::max(kSmallestEntryCount, per_shard));
  for (Shard& shard : shards_) {
    shard.entries = static_cast<Entry*>(MapPopulated(entry_count * sizeof(Entry)));
    shard.entry_limit = entry_count;
  }
}

BlockTable::~BlockTable() {
  for (Shard& shard : shards_) munmap(shard.entries, shard.entry_limit * sizeof(Entry));
}

uint64_t BlockTable::HashOf(uintptr_t address) { return MixBits(address); }

// The slot of the address, or the empty one where it belongs.
size_t BlockTable::FindSlot(const Shard& shard, uintptr_t address) {
  const size_t mask = shard.entry_limit - 1;
  size_t slot = HashOf(address) & mask;
  while (shard.entries[slot].address != 0 && shard.entries[slot].address != address) slot = (slot + 1) & mask;
  return slot;
}

void BlockTable::Grow(Shard* shard) {
  Entry* const old_entries = shard->entries;
  const size_t old_limit = shard->entry_limit;
  shard->entry_limit = old_limit * 2;
  shard->entries = static_cast<Entry*>(MapPopulated(shard->entry_limit * sizeof(Entry)));
  for (size_t i = 0; i < old_limit; ++i) {
    if (old_entries[i].address != 0) shard->entries[FindSlot(*shard, old_entries[i].address)] = old_entries[i];
  }
  munmap(old_entries, old_limit * sizeof(Entry));
}

void BlockTable::Insert(const void* block, size_t bytes) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(block);
  Shard& shard = ShardOf(HashOf(address));
  std::lock_guard lock(shard.mutex);
  if (shard.used_count * 4 >= shard.entry_limit * 3) Grow(&shard);
  Entry& entry = shard.entries[FindSlot(shard, address)];
  if (entry.address != 0) Die("the allocator handed out a block that is in use", block);
  entry = {address, bytes};
  ++shard.used_count;
  shard.payload_bytes += bytes;
  shard.inserted_bytes += bytes;
}

size_t BlockTable::Erase(const void* block) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(block);
  Shard& shard = ShardOf(HashOf(address));
  std::lock_guard lock(shard.mutex);
  size_t hole = FindSlot(shard, address);
  if (shard.entries[hole].address == 0) Die("a block is freed that is not in use", block);
  const size_t bytes = shard.entries[hole].bytes;
  // Entries behind the hole move into it unless their own probe starts after it.
  const size_t mask = shard.entry_limit - 1;
  for (size_t slot = (hole + 1) & mask; shard.entries[slot].address != 0; slot = (slot + 1) & mask) {
    const size_t start = HashOf(shard.entries[slot].address) & mask;
    if (((slot - start) & mask) >= ((slot - hole) & mask)) {
      shard.entries[hole] = shard.entries[slot];
      hole = slot;
    }
  }
  shard.entries[hole] = {};
  --shard.used_count;
  shard.payload_bytes -= bytes;
  return bytes;
}

uint64_t BlockTable::payload_bytes() const {
  return Sum([](const Shard& shard) { return shard.payload_bytes; });
}

uint64_t BlockTable::block_count() const {
  return Sum([](const Shard& shard) { return shard.used_count; });
}

uint64_t BlockTable::inserted_bytes() const {
  return Sum([](const Shard& shard) { return shard.inserted_bytes; });
}

uint64_t BlockTable::table_bytes() const {
  return Sum([](const Shard& shard) { return shard.entry_limit * sizeof(Entry); });
}

}  // namespace hugepool::bench
