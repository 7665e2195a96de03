// Clients ask for the records that their workload names.
#include "bench/key_chooser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace hugepool::bench {
namespace {

std::vector<uint64_t> CountsOf(Distribution distribution, uint64_t record_count, uint64_t inserted_count,
                               int draw_count) {
  KeyChooser chooser(distribution, record_count, 42);
  std::vector<uint64_t> counts(record_count + inserted_count);
  for (int i = 0; i < draw_count; ++i) ++counts.at(chooser.Next(inserted_count));
  return counts;
}

// The sum of the weights of ranks 1 to limit: the first ones one by one, the others by the integral (Euler and Maclaurin).
double HarmonicSum(double limit) {
  constexpr int kExact = 1000;
  double sum = 0;
  for (int rank = 1; rank < kExact; ++rank) sum += std::pow(rank, -ZipfLaw::kExponent);
  const auto integral = [](double x) { return std::pow(x, 1 - ZipfLaw::kExponent) / (1 - ZipfLaw::kExponent); };
  return sum + integral(limit) - integral(kExact) + std::pow(kExact, -ZipfLaw::kExponent) / 2;
}

constexpr Distribution kAll[] = {Distribution::kUniform, Distribution::kScrambledZipf, Distribution::kLatest};

TEST(KeyChooser, SameSeedSameSequence) {
  for (const Distribution distribution : kAll) {
    KeyChooser first(distribution, 1000, 5), second(distribution, 1000, 5), other(distribution, 1000, 6);
    int equal_count = 0;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t index = first.Next(0);
      ASSERT_EQ(index, second.Next(0));
      equal_count += index == other.Next(0) ? 1 : 0;
    }
    EXPECT_LT(equal_count, 200);
  }
}

TEST(KeyChooser, UniformIsUniform) {
  const auto counts = CountsOf(Distribution::kUniform, 1000, 0, 1'000'000);
  // 1,000 expected each, standard deviation 32: six of them.
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 810u);
  EXPECT_LT(*std::max_element(counts.begin(), counts.end()), 1190u);
}

TEST(ZipfLaw, RanksHaveTheirWeights) {
  constexpr uint64_t kRanks = 100000;
  const ZipfLaw law(kRanks);
  Draws draws(7);
  std::vector<uint64_t> counts(kRanks + 1);
  for (int i = 0; i < 2'000'000; ++i) ++counts.at(law.Rank(&draws));
  EXPECT_EQ(counts[0], 0u);
  for (const uint64_t rank : {1u, 2u, 3u, 10u, 100u, 1000u}) {
    const double expected = 2e6 * std::pow(static_cast<double>(rank), -ZipfLaw::kExponent) / HarmonicSum(kRanks);
    EXPECT_NEAR(static_cast<double>(counts[rank]), expected, 6 * std::sqrt(expected)) << rank;
  }
}

// YCSB publishes the sum of its weights: 26.469 for 10^10 ranks, so its hottest record gets 3.8 % of the requests.
TEST(KeyChooser, ScrambledZipfHasYcsbsHotRecordAndSpreadsTheRest) {
  EXPECT_NEAR(HarmonicSum(1e10), 26.46902820178302, 0.001);
  constexpr uint64_t kRecords = 100000;
  constexpr int kDraws = 2'000'000;
  auto counts = CountsOf(Distribution::kScrambledZipf, kRecords, 0, kDraws);
  const size_t hottest = static_cast<size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  EXPECT_NEAR(static_cast<double>(counts[hottest]) / kDraws, 1 / 26.469, 0.001);
  std::sort(counts.rbegin(), counts.rend());
  // What ranks beyond the records add falls on all alike.
  const double shared = kDraws * (1 - HarmonicSum(kRecords) / 26.469) / kRecords;
  for (const uint64_t rank : {2u, 10u, 100u}) {
    const double expected = kDraws * std::pow(static_cast<double>(rank), -ZipfLaw::kExponent) / 26.469 + shared;
    EXPECT_NEAR(static_cast<double>(counts[rank - 1]), expected, 0.05 * expected + 60) << rank;
  }
}

TEST(KeyChooser, LatestAsksForTheNewestMost) {
  constexpr uint64_t kRecords = 1000, kInserted = 50;
  constexpr int kDraws = 1'000'000;
  const auto counts = CountsOf(Distribution::kLatest, kRecords, kInserted, kDraws);
  const double sum = HarmonicSum(kRecords);
  for (const uint64_t age : {0u, 1u, 9u, 49u}) {
    const double expected = kDraws * std::pow(static_cast<double>(age + 1), -ZipfLaw::kExponent) / sum;
    EXPECT_NEAR(static_cast<double>(counts[kRecords + kInserted - 1 - age]), expected, 6 * std::sqrt(expected)) << age;
  }
  // The newest of the loaded records are not neighbours: they would share a block.
  std::vector<uint64_t> order(kRecords);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return counts[a] > counts[b]; });
  EXPECT_GT(std::max(order[0], order[1]) - std::min(order[0], order[1]), 1u);
}

TEST(ScatteredOrder, EachOnce) {
  for (const uint64_t count : {1u, 2u, 6u, 1000u, 65536u}) {
    const ScatteredOrder order(count, 3);
    std::vector<bool> seen(count);
    for (uint64_t k = 0; k < count; ++k) {
      ASSERT_FALSE(seen.at(order.At(k))) << count;
      seen[order.At(k)] = true;
    }
  }
}

TEST(KeyChooser, OneRecordIsAlwaysThatRecord) {
  for (const Distribution distribution : kAll) {
    KeyChooser chooser(distribution, 1, 1);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(chooser.Next(0), 0u);
  }
}

}  // namespace
}  // namespace hugepool::bench
