#include "bench/latency_histogram.h"

#include <cmath>
#include <numeric>

namespace hugepool::bench {

void LatencyHistogram::Add(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBucketCount; ++i) buckets_[i] += other.buckets_[i];
}

uint64_t LatencyHistogram::count() const { return std::accumulate(buckets_.begin(), buckets_.end(), uint64_t{0}); }

double LatencyHistogram::MiddleOf(size_t bucket) {
  // Widths 1 in the first two stretches of 64, then doubling.
  const size_t stretch = bucket >> kSubBits;
  if (stretch < 2) return static_cast<double>(bucket);
  const unsigned shift = static_cast<unsigned>(stretch - 1);
  const double low = std::ldexp(static_cast<double>(bucket - (size_t{shift} << kSubBits)), static_cast<int>(shift));
  return low + std::ldexp(0.5, static_cast<int>(shift));
}

double LatencyHistogram::QuantileNs(double share) const {
  const uint64_t total = count();
  if (total == 0) return 0;
  const uint64_t wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(total)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBucketCount; ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen != 0) return MiddleOf(i);
  }
  return MiddleOf(kBucketCount - 1);
}

}  // namespace hugepool::bench
