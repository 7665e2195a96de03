// WarmUp: tells from slices of a run when a cache has found its steady state.
//
// Shape      two windows of kWindow slices each. Steady once the later window's means differ from the earlier one's by no
//            more than: 1 % of the cached bytes, one point of the hit ratio, and 3 % of the speed or half of what the
//            speed sways by inside a window, whatever is more (a shared machine never holds still)
// Units      operations a second, shares, bytes
// Threads    one owner
#ifndef HUGEPOOL_BENCH_WARM_UP_H_
#define HUGEPOOL_BENCH_WARM_UP_H_

#include <cstddef>
#include <vector>

namespace hugepool::bench {

class WarmUp {
 public:
  struct Slice {
    double operations_per_second = 0;
    double hit_ratio = 0;
    double payload_bytes = 0;
  };
  // True once steady.
  bool Add(const Slice& slice);

  static constexpr size_t kWindow = 4;
  static constexpr double kSliceSeconds = 0.25;

 private:
  std::vector<Slice> slices_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_WARM_UP_H_
