// PercpuAbortCount: how often the kernel made a sequence of this process start anew.
//
// Units      sequences, of all pools, since the process began
// Threads    any
#ifndef HUGEPOOL_CACHE_PERCPU_COUNTS_H_
#define HUGEPOOL_CACHE_PERCPU_COUNTS_H_

#include <cstdint>

namespace hugepool::internal {

uint64_t PercpuAbortCount();

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_PERCPU_COUNTS_H_
