// Wave: the allocators whose workers fit into memory at the same time.
//
// Every worker keeps its cache filled while the others run, so that rounds can rotate. Where not all fit beside each
// other, they run in several waves, and each wave has a baseline of its own: ratios never cross waves.
//
// Units      bytes; huge pages of 2 MiB
// Threads    values
#ifndef HUGEPOOL_BENCH_WAVE_H_
#define HUGEPOOL_BENCH_WAVE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bench/allocator_catalog.h"

namespace hugepool::bench {

struct MemoryNeed {
  uint64_t live_bytes = 0;       // blocks of one full cache
  uint64_t pool_bytes = 0;       // capacity of one pool
  uint64_t file_bytes = 0;       // of the database, wanted in the page cache
  uint64_t available_bytes = 0;  // MemAvailable
  uint64_t free_huge_pages = 0;  // 2 MiB
};

// What one worker takes beside hugetlb, with the fragmentation of the worst peer measured (1.32) and the process
// itself.
uint64_t WorkerBytes(const AllocatorRow& row, const MemoryNeed& need);

// Rows in the order given, each in the first wave where it fits; the baseline, when it is in the list, in every wave. A
// row that fits nowhere gets a wave of its own; one that lacks huge pages even alone joins the last wave, where its
// worker reports what is short.
std::vector<std::vector<const AllocatorRow*>> PlanWaves(const std::vector<const AllocatorRow*>& rows,
                                                        const MemoryNeed& need);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_WAVE_H_
