// HoleWatch: when slabs hold more free room than chance explains, as after sizes shifted, or much was freed for good.
//
// Units      bytes
// Owner      the PoolCore
// Threads    one at a time, which the owner sees to
// Errors     none
// Cost       a few instructions
#ifndef HUGEPOOL_SLAB_HOLE_WATCH_H_
#define HUGEPOOL_SLAB_HOLE_WATCH_H_

#include <cstdint>

#include "slab/live_memory.h"

namespace hugepool::internal {

class HoleWatch {
 public:
  // What was used within the last peak_ns is expected to be used again.
  explicit HoleWatch(uint64_t peak_ns) : peak_ns_(peak_ns) {}

  // How much of what is committed is not used and was not lately, where that is much, and what is used does not grow into
  // it; else 0. now_ns: of a clock that never goes back.
  uint64_t Look(const LiveMemory& live, uint64_t now_ns);
  // So much of that drains from now on; nothing, where what lives there fits nowhere else. Either takes its time.
  void NoteDraining(uint64_t draining_bytes);

 private:
  uint64_t pause_count_ = 0;      // looks that see no holes
  uint64_t seen_used_bytes_ = 0;  // at the last look
  // The most that was used since peak_start_ns_, and in the stretch of time before.
  const uint64_t peak_ns_;
  uint64_t peak_start_ns_ = 0;
  uint64_t peak_bytes_ = 0;
  uint64_t last_peak_bytes_ = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_HOLE_WATCH_H_
