#include "bench/ballast.h"

#include <sys/mman.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "bench/machine.h"
#include "bench/process_memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace hugepool::bench {
namespace {

constexpr size_t kSmallPageBytes = 4096;
constexpr size_t kScatteredOrders = 4;  // 4 to 32 KiB: what a TLB entry may cover besides a whole huge page

}  // namespace

uint64_t ScatteredBytes(std::string_view buddyinfo) {
  // "Node 0, zone   Normal  22866   4252 …": free pieces of 1, 2, 4, … pages.
  uint64_t bytes = 0;
  std::istringstream lines{std::string(buddyinfo)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string node, number, zone, name;
    if (!(words >> node >> number >> zone >> name)) continue;
    for (size_t order = 0; order < kScatteredOrders; ++order) {
      uint64_t count = 0;
      if (words >> count) bytes += count * (kSmallPageBytes << order);
    }
  }
  return bytes;
}

void Ballast::Take() {
  CompactMemory();
  const uint64_t scattered_bytes = ScatteredBytes(ReadTextFile("/proc/buddyinfo"));
  const size_t bytes = std::min(scattered_bytes, limit_bytes_ - held_bytes_) / kSmallPageBytes * kSmallPageBytes;
  if (bytes == 0) return;
  void* const mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return;
  madvise(mapping, bytes, MADV_NOHUGEPAGE);
  madvise(mapping, bytes, MADV_DONTFORK);
  if (madvise(mapping, bytes, MADV_POPULATE_WRITE) != 0) {
    munmap(mapping, bytes);
    return;
  }
  mappings_.emplace_back(mapping, bytes);
  held_bytes_ += bytes;
}

Ballast::~Ballast() {
  for (const auto& [mapping, bytes] : mappings_) munmap(mapping, bytes);
}

}  // namespace hugepool::bench
