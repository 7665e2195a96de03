// Two databases on one pool, everything at once: every value right, every block back, the footprint flat. Two minutes here, twenty in
// the long tier (HUGEPOOL_STRESS_SECONDS: of each of the two caches).
#include "engine_integration/rocksdb/mixed_stress.h"

#include <gtest/gtest.h>

#include "pool/soak.h"

namespace hugepool::testing {
namespace {

class MixedStress : public ::testing::TestWithParam<CacheKind> {};

TEST_P(MixedStress, EveryValueIsRightAndTheFootprintIsFlat) {
  const double asked_seconds = StressSeconds();
  const double seconds = asked_seconds > 0 ? asked_seconds : kSanitized ? 15 : 60;
  StressFigures figures;
  const HugePages huge_pages = WhyNoThp().empty() ? HugePages::kTransparent : HugePages::kOff;
  const std::string problem = RunMixedStress(GetParam(), huge_pages, seconds, Seed(), &figures);
  std::map<std::string, double> written = figures.operation_counts;
  written["seconds"] = seconds;
  written["verified_values"] = static_cast<double>(figures.verified_count);
  written["first_half_bytes"] = figures.first_half_bytes;
  written["second_half_bytes"] = figures.second_half_bytes;
  WriteFigures(GetParam() == CacheKind::kLru ? "rocksdb_mixed_stress_lru" : "rocksdb_mixed_stress_hyper_clock",
               written);
  EXPECT_EQ(problem, "");
  EXPECT_LE(figures.second_half_bytes, 1.1 * figures.first_half_bytes);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MixedStress, ::testing::Values(CacheKind::kLru, CacheKind::kHyperClock),
                         [](const auto& kind) { return kind.param == CacheKind::kLru ? "lru" : "hyper_clock"; });

}  // namespace
}  // namespace hugepool::testing
