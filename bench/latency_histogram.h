// LatencyHistogram: counts of durations in buckets that are at most 1/64 of their value wide.
//
// Shape      durations below 64 ns one by one; above, 64 buckets for each doubling
// Units      nanoseconds
// Threads    one owner; Add() of two histograms merges them
// Invariant  count() = sum of the buckets
// Cost       Record: one shift, one addition; a quantile walks all buckets
#ifndef HUGEPOOL_BENCH_LATENCY_HISTOGRAM_H_
#define HUGEPOOL_BENCH_LATENCY_HISTOGRAM_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace hugepool::bench {

// The shares at which a latency curve is drawn.
inline constexpr double kCurveShares[] = {0.1,  0.25,  0.5,   0.75,  0.9,    0.95,  0.98,
                                          0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999};

class LatencyHistogram {
 public:
  void Record(uint64_t duration_ns) { ++buckets_[BucketOf(duration_ns)]; }
  void Add(const LatencyHistogram& other);

  uint64_t count() const;
  // The middle of the bucket that holds the sample of that share (0 to 1) of all; 0 when nothing was recorded.
  double QuantileNs(double share) const;

 private:
  static constexpr unsigned kSubBits = 6;
  static constexpr size_t kBucketCount = (size_t{64 - kSubBits} + 1) << kSubBits;

  static size_t BucketOf(uint64_t duration_ns) {
    const unsigned width = static_cast<unsigned>(std::bit_width(duration_ns));
    if (width <= kSubBits) return duration_ns;
    const unsigned shift = width - kSubBits - 1;
    return (size_t{shift} << kSubBits) + (duration_ns >> shift);
  }
  static double MiddleOf(size_t bucket);

  std::array<uint64_t, kBucketCount> buckets_{};
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_LATENCY_HISTOGRAM_H_
