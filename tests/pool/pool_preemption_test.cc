// Nothing is lost, nothing is handed out twice: 10^8 operations under preemption, signals, moves, drains and forks, with
// as many sequences aborted as prove that they were disturbed. pool_preemption_long_test has 10^9.
#include <gtest/gtest.h>

#include "hugepool/pool.h"
#include "pool/preemption_stress.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

class PoolPreemption : public ::testing::TestWithParam<CpuCacheMode> {};

TEST_P(PoolPreemption, NoBlockIsLostOrHandedOutTwice) {
  PreemptionPlan plan;
  plan.mode = GetParam();
  plan.seed = Seed();
  const bool rseq = plan.mode == CpuCacheMode::kRseq;
#ifdef HUGEPOOL_LONG_TEST
  plan.operation_count = rseq ? 1'000'000'000 : 100'000'000;
  plan.abort_count = 1'000'000;
  plan.give_up_after_seconds = 2400;
#else
  plan.operation_count = rseq ? 100'000'000 : 10'000'000;
  plan.abort_count = 10'000;
#endif
  if (kSanitized) plan.operation_count /= 50;
  if (StressSeconds() > 0) {
    plan.operation_count = 0;
    plan.abort_count = 100;
    plan.at_least_seconds = StressSeconds();
  }
  if (rseq) {
    PoolOptions options;
    options.capacity_bytes = kHugePageBytes;
    options.huge_pages = HugePages::kOff;
    options.cpu_cache = CpuCacheMode::kRseq;
    Error error;
    if (Pool::Create(options, &error) == nullptr) GTEST_SKIP() << error.ToString();
  }
  const PreemptionResult result = PreemptionStress(plan);
  EXPECT_EQ(result.wrong, "");
  EXPECT_GE(result.operation_count, plan.operation_count);
  if (rseq) {
    // Else it proved nothing.
    EXPECT_GE(result.abort_count, plan.abort_count);
  }
  EXPECT_EQ(result.fork_count, 5u);
  WriteFigures(std::string("pool_preemption_") + ToString(plan.mode),
               {{"operations", static_cast<double>(result.operation_count)},
                {"aborted_sequences", static_cast<double>(result.abort_count)},
                {"signals", static_cast<double>(result.signal_count)},
                {"moves", static_cast<double>(result.move_count)},
                {"forks", static_cast<double>(result.fork_count)},
                {"trims", static_cast<double>(result.trim_count)},
                {"seconds", result.seconds}});
}

std::string NameOf(const ::testing::TestParamInfo<CpuCacheMode>& info) { return ToString(info.param); }
INSTANTIATE_TEST_SUITE_P(Modes, PoolPreemption,
                         ::testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked, CpuCacheMode::kOff), NameOf);

}  // namespace
}  // namespace hugepool::testing
