// The long random walk: 10^7 operations, up to 2 GiB live.
#include <gtest/gtest.h>

#include "pool/four_nodes.h"
#include "pool/random_walk.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

TEST(PoolWalkLong, TenMillionOperationsAgreeWithTheModel) {
  PoolOptions options;
  options.capacity_bytes = 3 * kGiB;
  WalkPlan plan;
  plan.seed = Seed();
  plan.live_limit_bytes = 2 * kGiB;
  plan.operation_count = 10'000'000;
  if (const char* given = std::getenv("HUGEPOOL_WALK_OPERATIONS")) {
    plan.operation_count = std::strtoull(given, nullptr, 10);
  }
  plan.operations_between_checks = 50'000;
  Error error;
  const auto pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  const WalkResult result = RandomWalk(*pool, plan);
  EXPECT_EQ(result.wrong, "");
  EXPECT_LT(result.refusal_count * 100, result.allocation_count);
  WriteFigures("pool_walk_long", {{"seed", static_cast<double>(plan.seed)},
                                  {"operations", static_cast<double>(result.operation_count)},
                                  {"allocations", static_cast<double>(result.allocation_count)},
                                  {"refusals", static_cast<double>(result.refusal_count)},
                                  {"handed_over", static_cast<double>(result.handed_over_count)},
                                  {"checks", static_cast<double>(result.check_count)},
                                  {"peak_live_bytes", static_cast<double>(result.peak_live_bytes)},
                                  {"peak_blocks", static_cast<double>(result.peak_block_count)},
                                  {"seconds", result.seconds}});
}

}  // namespace
}  // namespace hugepool::testing
