// PoolOptions: everything that Pool::Create may be told.
//
// Threads    a value; no sharing
// Errors     Parse and Pool::Create name the option, the value, the allowed range and the mend
#ifndef HUGEPOOL_POOL_OPTIONS_H_
#define HUGEPOOL_POOL_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/types.h"

namespace hugepool {

struct PoolOptions {
  // Most memory that the pool's pages may take, over all nodes; metadata (< 0.5 %) comes on top.
  // page_bytes to the machine's physical memory; rounded up to page_bytes.
  size_t capacity_bytes = size_t{1} << 30;

  HugePages huge_pages = HugePages::kPreferred;

  // Size of the reserved (hugetlb) pages: kHugePageBytes or kGiantPageBytes. A page of 1 GiB is populated whole when
  // its first byte is needed (0.04–5 s) and given back when its last one is free; the rungs below stay at 2 MiB and
  // 4 KiB. 1 GiB goes with `required` and `preferred` only.
  size_t page_bytes = kHugePageBytes;

  Placement placement = Placement::Local();
  PopulateAtStart populate_at_start = PopulateAtStart::kNone;

  // How long Create waits for as many free huge pages as the capacity needs, before it goes on with what is there
  // (or, with `required`, fails). A predecessor that was killed gives its pages back only after seconds.
  // 0 to 3,600; without effect for `transparent` and `off`.
  uint32_t wait_for_huge_pages_seconds = 0;

  // Pages that stood empty for so long are given back to the system, a few at a time, by whoever next takes memory from
  // their node or gives some back, or by Pool::Tend: no thread wakes up for it unless a PoolWatch is asked for. What is in use again before costs no new population.
  // So that pages come empty, those with least in use are left to empty where much more is populated than used.
  // Free blocks that lay on a pile for so long are sorted into their slabs.
  // 0 (nothing of this, but for Trim) to 3,600. Without effect with populate_at_start = all, which asks for the pages to be there.
  uint32_t decay_seconds = 10;

  // How the per-CPU caches work; PoolStats::cache_mode says what came of it.
  CpuCacheMode cpu_cache = CpuCacheMode::kAuto;

  // Most bytes of free blocks that the caches of one CPU may hold back; the depots of a node may hold as much again.
  // 0 (no caching, as cpu_cache = off) to 1 GiB.
  size_t cache_bytes_per_cpu = size_t{2} << 20;

  // Whether the pool learns exact size classes from the sizes asked for, to 32 KiB, where one of its own would round up
  // by more than that costs: at most 32 at a time, 86 different ones while it lives. Sizes asked for through Pool count; a
  // SlabCache keeps the class that it has. Costs nothing while a cache has a block; a plan takes microseconds, or as
  // long as emptying the caches where a class is given up, and is made once for each eighth of the live bytes that left the slabs
  // anew, at most.
  bool learn_size_classes = false;

  // Shown in statistics and error reports. At most 64 characters, no ';', no space at either end.
  std::string name = "hugepool";

  // Reads "capacity=8G; huge_pages=required; page=1G; placement=node(1)". Names are those of the fields, without
  // `_bytes`; sizes take K, M, G, T (powers of 1,024). What is not named keeps its default. Unknown names are an error.
  // Returns nothing and fills *error (when not null) on bad input. Cost: linear in the text.
  HUGEPOOL_EXPORT static std::optional<PoolOptions> Parse(std::string_view text, Error* error);

  // The text from which Parse makes these options again.
  HUGEPOOL_EXPORT std::string ToString() const;

  // The same one by one, for a program with a list of options of its own. Set: false, with *error (when not null) filled and
  // nothing changed, for what Parse refuses. Get: as ToString writes it; "" for an option that is not known. Names: all
  // that there are, in ToString's order.
  HUGEPOOL_EXPORT bool Set(std::string_view option, std::string_view text, Error* error);
  HUGEPOOL_EXPORT std::string Get(std::string_view option) const;
  HUGEPOOL_EXPORT static std::vector<std::string_view> Names();
};

// "64M" → 67108864. A whole number, then nothing or one of K, M, G, T (either case; "KiB"/"KB" spellings too).
// Fills *error and returns nothing for anything else, and for what does not fit into 64 bits.
HUGEPOOL_EXPORT std::optional<uint64_t> ParseBytes(std::string_view text, Error* error);

// "8G", "1536M", "4097": the shortest text from which ParseBytes makes the same number.
HUGEPOOL_EXPORT std::string FormatBytes(uint64_t bytes);

// "local", "local_strict", "interleave", "node(3)".
HUGEPOOL_EXPORT std::string ToString(const Placement& placement);

}  // namespace hugepool

#endif  // HUGEPOOL_POOL_OPTIONS_H_
