// SizeLearner: which exact size classes the sizes asked for are worth.
//
// Shape      a histogram in steps of 16 B to 32 KiB: for each step, how many blocks left depots and slabs for requests of
//            such sizes. Fixed classes cut it into ranges; a range may be cut further, into at most four parts, by learned
//            classes.
// Units      blocks; bytes
// Owner      the PoolCore
// Threads    any may sample: relaxed atomics, which publish nothing, and a plan that misses one is no worse. One at a time
//            may plan.
// Invariant  after a plan a range remembers no more blocks than live in it: older requests count less and less
// Errors     none: nothing is allocated, and where no id is left a size is served by the next larger class
// Cost       Sample: two additions for each batch that leaves depots or slabs, none on the fast path. Plan: microseconds,
//            once for each eighth of the live bytes that left anew.
#ifndef HUGEPOOL_SLAB_SIZE_LEARNER_H_
#define HUGEPOOL_SLAB_SIZE_LEARNER_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "slab/class_table.h"
#include "slab/live_memory.h"

namespace hugepool::internal {

class SizeLearner {
 public:
  explicit SizeLearner(ClassTable& classes) : classes_(classes) {}

  // `count` blocks left the depots or slabs for a request of `bytes` (1 to kMaxSlabBytes). True: it is time for a plan.
  // Any thread.
  bool Sample(size_t bytes, size_t count);
  // Learns the classes that save more than they cost, and retires those that no longer do. Fixed classes that learned
  // ones have replaced are dormant from now on, until somebody needs one. One thread at a time, which the owner sees to.
  void Plan(const LiveMemory& live);

 private:
  static constexpr size_t kPartCount = 4;
  static constexpr uint64_t kMinPlanBytes = uint64_t{16} << 20;

  // The sizes above low_bytes up to high_bytes, of two neighbouring fixed classes. Bit i of a mask: a class of
  // low_bytes + (i + 1) × step_bytes.
  struct Range {
    size_t low_bytes = 0;
    size_t high_bytes = 0;
    size_t step_bytes = 0;
    std::array<size_t, kPartCount> slab_bytes{};  // of a class for each part
    double high_count = 0;                        // blocks of that class that live
    std::array<double, kPartCount> counts{};      // blocks of each part that live, or soon will
    unsigned learned = 0;                         // mask: what is there
    unsigned wanted = 0;                          // mask: the cheapest
    double saved_bytes = 0;                       // by that, against no learned class
    size_t BytesOf(size_t part) const { return std::min(low_bytes + (part + 1) * step_bytes, high_bytes); }
    size_t PartCount() const { return (high_bytes - low_bytes + step_bytes - 1) / step_bytes; }
  };

  static Range RangeOf(size_t low_bytes, const SizeClassInfo& high);
  // False: nothing of the range was asked for and lives. coming_share: blocks that will live for each one sampled since
  // the last plan, should all that is asked for go on like that.
  bool Measure(Range& range, const LiveMemory& live, double coming_share);
  static double CostBytes(const Range& range, unsigned mask, size_t node_count);
  static void Choose(Range& range, size_t node_count);
  void MakeDormant(const Range& range);

  ClassTable& classes_;
  std::array<std::atomic<uint64_t>, kTableEntryCount> sampled_counts_{};  // since the last plan, by (bytes + 15) / 16
  std::atomic<uint64_t> sampled_bytes_{0};                                // since the last plan
  std::atomic<uint64_t> due_bytes_{kMinPlanBytes};                        // it is time for one from here on
  // Of who plans.
  std::array<double, kTableEntryCount> remembered_counts_{};  // as sampled_counts_
  uint64_t planned_used_bytes_ = 0;                           // used at the last plan
  std::array<Range, kClassCount + kAddedClassLimit> ranges_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SIZE_LEARNER_H_
