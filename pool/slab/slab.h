// Slab: the books of one run that is cut into objects of one size class. The objects themselves are never touched.
//
// Shape      a header per 64 KiB slot, out of band; a slab uses the header of its first slot. One bit per object, set
//            when it is free: inline for up to 256 objects, in an external row of the same slot beyond; a summary
//            word has a bit per word of those that is not zero.
// Units      objects count from the slab's start
// Owner      the SlabBin of its node and class, which guards it but for size_class: that is constant as long as the slab
//            lives, so that whoever holds one of its objects may read it
// Invariant  used_count + popcount(free bits) = object_count; summary bit w ⇔ word w is not zero
// Cost       O(1) to take and to put one object
#ifndef HUGEPOOL_SLAB_SLAB_H_
#define HUGEPOOL_SLAB_SLAB_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "slab/size_classes.h"

namespace hugepool::internal {

inline constexpr size_t kInlineWords = 4;
inline constexpr size_t kExternalWords = kMaxObjectsPerSlab / 64;
// One row per slot.
using ExternalRow = std::array<uint64_t, kExternalWords>;

inline constexpr uint32_t kNoSlab = UINT32_MAX;

struct alignas(64) Slab {
  uint32_t next = kNoSlab;  // slots of the window, in the bin's list that `list` names
  uint32_t previous = kNoSlab;
  uint16_t used_count = 0;
  bool live = false;  // the slot is the first of a slab
  uint8_t list = 0;
  SizeClass size_class{};
  SlabKind kind = SlabKind::kShort;
  Backing backing = Backing::kHugetlb;  // of the page that it lies in
  uint64_t summary = 0;
  std::array<uint64_t, kInlineWords> inline_words{};

  uint64_t* Words(ExternalRow& row, const SizeClassInfo& info) {
    return info.object_count <= kInlineWords * 64 ? inline_words.data() : row.data();
  }

  // Every object free.
  void Reset(ExternalRow& row, const SizeClassInfo& info) {
    uint64_t* const words = Words(row, info);
    const size_t word_count = (info.object_count + 63U) / 64;
    for (size_t w = 0; w < word_count; ++w) words[w] = ~uint64_t{0};
    if (info.object_count % 64 != 0) words[word_count - 1] = (uint64_t{1} << info.object_count % 64) - 1;
    summary = word_count == 64 ? ~uint64_t{0} : (uint64_t{1} << word_count) - 1;
    used_count = 0;
    next = previous = kNoSlab;
    live = true;
  }

  // The lowest free object, now used. The slab is not full.
  size_t Take(ExternalRow& row, const SizeClassInfo& info) {
    uint64_t* const words = Words(row, info);
    const size_t w = static_cast<size_t>(std::countr_zero(summary));
    const size_t bit = static_cast<size_t>(std::countr_zero(words[w]));
    words[w] &= words[w] - 1;
    if (words[w] == 0) summary &= ~(uint64_t{1} << w);
    ++used_count;
    return w * 64 + bit;
  }

  bool IsFree(size_t object, ExternalRow& row, const SizeClassInfo& info) {
    return (Words(row, info)[object / 64] >> object % 64 & 1) != 0;
  }

  // The object is used.
  void Put(size_t object, ExternalRow& row, const SizeClassInfo& info) {
    Words(row, info)[object / 64] |= uint64_t{1} << object % 64;
    summary |= uint64_t{1} << object / 64;
    --used_count;
  }

  size_t FreeCount(ExternalRow& row, const SizeClassInfo& info) {
    uint64_t* const words = Words(row, info);
    size_t count = 0;
    for (size_t w = 0; w * 64 < info.object_count; ++w) {
      const size_t in_word = static_cast<size_t>(std::popcount(words[w]));
      if ((in_word != 0) != ((summary >> w & 1) != 0)) return SIZE_MAX;  // the summary lies
      count += in_word;
    }
    return count;
  }
};
static_assert(sizeof(Slab) == 64);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SLAB_H_
