// Stamp: a pattern that tells whose a block is, written into it and found again.
//
// Shape      up to 4 KiB every byte; above, 64 B at both ends and 8 B at the start of each 4 KiB
// Units      bytes; ids are chosen by the caller, one per block
#ifndef HUGEPOOL_TESTS_POOL_STAMP_H_
#define HUGEPOOL_TESTS_POOL_STAMP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hugepool::testing {
namespace stamp_detail {

inline constexpr size_t kWholeBytes = 4096;
inline constexpr size_t kEndBytes = 64;

// Eight bytes of the pattern of `id`, at a multiple of eight.
inline uint64_t Word(uint64_t id, size_t offset) {
  uint64_t word = (id + offset / 8) * 0x9e3779b97f4a7c15;
  word ^= word >> 29;
  word *= 0xbf58476d1ce4e5b9;
  return word ^ word >> 32;
}

// Calls each(offset, length, word) for the pieces of [first, last); words start on multiples of eight.
template <typename Each>
bool ForPieces(size_t first, size_t last, uint64_t id, Each each) {
  while (first < last) {
    const size_t start = first % 8;
    const size_t length = std::min(8 - start, last - first);
    if (!each(first, length, Word(id, first - start) >> (8 * start))) return false;
    first += length;
  }
  return true;
}

template <typename Each>
bool ForStamped(size_t bytes, uint64_t id, Each each) {
  if (bytes <= kWholeBytes) return ForPieces(0, bytes, id, each);
  if (!ForPieces(0, kEndBytes, id, each)) return false;
  for (size_t page = kWholeBytes; page + 8 <= bytes; page += kWholeBytes) {
    if (!each(page, 8, Word(id, page))) return false;
  }
  return ForPieces(bytes - kEndBytes, bytes, id, each);
}

}  // namespace stamp_detail

inline void Stamp(void* block, size_t bytes, uint64_t id) {
  stamp_detail::ForStamped(bytes, id, [block](size_t offset, size_t length, uint64_t word) {
    std::memcpy(static_cast<char*>(block) + offset, &word, length);
    return true;
  });
}

inline bool HasStamp(const void* block, size_t bytes, uint64_t id) {
  return stamp_detail::ForStamped(bytes, id, [block](size_t offset, size_t length, uint64_t word) {
    return std::memcmp(static_cast<const char*>(block) + offset, &word, length) == 0;
  });
}

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_STAMP_H_
