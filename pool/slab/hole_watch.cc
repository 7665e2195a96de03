#include "slab/hole_watch.h"

#include <algorithm>
#include <utility>

namespace hugepool::internal {
namespace {

// Of what is used, that part more may be committed before it counts as holes: the numbers of blocks of each size go up and
// down. And so much whatever is used: the page populated ahead, and one that is being filled.
constexpr uint64_t kHolePart = 256;
constexpr uint64_t kMostHoleBytes = 2 * kHugePageBytes;
// What is used grows when it is this part more than at the last look.
constexpr uint64_t kGrowthPart = 1024;
// Looks to wait after some began to drain, and when there was nothing that could.
constexpr uint64_t kPauseToDrain = 4;
constexpr uint64_t kPauseForRoom = 16;

}  // namespace

uint64_t HoleWatch::Look(const LiveMemory& live, uint64_t now_ns) {
  if (now_ns - peak_start_ns_ >= peak_ns_) {
    last_peak_bytes_ = std::exchange(peak_bytes_, 0);
    peak_start_ns_ = now_ns;
  }
  peak_bytes_ = std::max(peak_bytes_, live.used_bytes);
  const uint64_t needed_bytes = std::max(peak_bytes_, last_peak_bytes_) + live.other_bytes;
  const bool grows = live.used_bytes > seen_used_bytes_ + seen_used_bytes_ / kGrowthPart;
  const bool holes = live.committed_bytes > needed_bytes + needed_bytes / kHolePart + kMostHoleBytes;
  const bool pauses = pause_count_ != 0;
  seen_used_bytes_ = live.used_bytes;
  if (pauses) --pause_count_;
  return holes && !grows && !pauses ? live.committed_bytes - needed_bytes : 0;
}

void HoleWatch::NoteDraining(uint64_t draining_bytes) {
  pause_count_ = draining_bytes != 0 ? kPauseToDrain : kPauseForRoom;
}

}  // namespace hugepool::internal
