// Readers ask for the records that their workload names.
#include "bench/key_chooser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace hugepool::bench {
namespace {

std::vector<uint64_t> CountsOf(Workload workload, uint64_t record_count, int draw_count) {
  KeyChooser chooser(workload, record_count, 42);
  std::vector<uint64_t> counts(record_count);
  for (int i = 0; i < draw_count; ++i) ++counts.at(chooser.Next());
  return counts;
}

TEST(KeyChooser, SameSeedSameSequence) {
  for (const Workload workload : {Workload::kReadRandom, Workload::kReadZipf}) {
    KeyChooser first(workload, 1000, 5), second(workload, 1000, 5), other(workload, 1000, 6);
    int equal_count = 0;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t index = first.Next();
      ASSERT_EQ(index, second.Next());
      equal_count += index == other.Next() ? 1 : 0;
    }
    EXPECT_LT(equal_count, 200);
  }
}

TEST(KeyChooser, ReadrandomIsUniform) {
  const auto counts = CountsOf(Workload::kReadRandom, 1000, 1'000'000);
  // 1,000 expected each, standard deviation 32: six of them.
  EXPECT_GT(*std::min_element(counts.begin(), counts.end()), 810u);
  EXPECT_LT(*std::max_element(counts.begin(), counts.end()), 1190u);
}

TEST(KeyChooser, ReadzipfFollowsZipfsLaw) {
  constexpr uint64_t kRecords = 100000;
  auto counts = CountsOf(Workload::kReadZipf, kRecords, 2'000'000);
  std::sort(counts.rbegin(), counts.rend());
  double harmonic = 0;
  for (uint64_t rank = 1; rank <= kRecords; ++rank) {
    harmonic += std::pow(static_cast<double>(rank), -KeyChooser::kZipfExponent);
  }
  // Ranks that share a place by the hash only add to the counts of the first few: 5 %.
  for (const uint64_t rank : {1u, 2u, 10u, 100u}) {
    const double expected = 2e6 * std::pow(static_cast<double>(rank), -KeyChooser::kZipfExponent) / harmonic;
    EXPECT_NEAR(static_cast<double>(counts[rank - 1]), expected, 0.05 * expected + 60) << rank;
  }
}

TEST(KeyChooser, OneRecordIsAlwaysThatRecord) {
  for (const Workload workload : {Workload::kReadRandom, Workload::kReadZipf}) {
    KeyChooser chooser(workload, 1, 1);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(chooser.Next(), 0u);
  }
}

}  // namespace
}  // namespace hugepool::bench
