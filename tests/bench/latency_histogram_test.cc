// Quantiles within a bucket's width of the exact ones.
#include "bench/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace hugepool::bench {
namespace {

TEST(LatencyHistogram, QuantilesAreWithinOnePercentOfSortedSamples) {
  LatencyHistogram histogram;
  std::mt19937_64 words(3);
  std::lognormal_distribution<double> durations(8, 1.5);
  std::vector<double> samples;
  for (int i = 0; i < 100000; ++i) {
    samples.push_back(std::floor(durations(words)));
    histogram.Record(static_cast<uint64_t>(samples.back()));
  }
  std::sort(samples.begin(), samples.end());
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double exact = samples[static_cast<size_t>(std::ceil(share * 100000)) - 1];
    EXPECT_NEAR(histogram.QuantileNs(share), exact, exact / 100 + 1) << share;
  }
  EXPECT_EQ(histogram.count(), 100000u);
}

TEST(LatencyHistogram, EndsOfTheRange) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.QuantileNs(0.5), 0);
  histogram.Record(0);
  EXPECT_EQ(histogram.QuantileNs(0.5), 0);
  histogram.Record(UINT64_MAX);
  EXPECT_NEAR(histogram.QuantileNs(1), 0x1p64, 0x1p64 / 64);
  EXPECT_EQ(histogram.count(), 2u);
}

TEST(LatencyHistogram, MergesByAdding) {
  LatencyHistogram low, high;
  for (int i = 0; i < 90; ++i) low.Record(10);
  for (int i = 0; i < 10; ++i) high.Record(1000);
  low.Add(high);
  EXPECT_EQ(low.count(), 100u);
  EXPECT_EQ(low.QuantileNs(0.9), 10);
  EXPECT_NEAR(low.QuantileNs(0.91), 1000, 10);
}

}  // namespace
}  // namespace hugepool::bench
