// What a pool that learns takes for 1 GiB of blocks of a spread of sizes, replaced fifty times over, before and after the
// sizes shift.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"
#include "pool/learned_classes.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

constexpr uint64_t kLiveBytes = kGiB;
constexpr uint64_t kTurnovers = 50;

struct Spread {
  const char* name;
  size_t least;
  size_t width;
  size_t shift;
  double most_share;
  double most_share_after;
};

class LearnedLong : public ::testing::TestWithParam<Spread> {};
TEST_P(LearnedLong, TakesLittleMoreThanThePayloadAlsoAsTheSizesShift) {
  const Spread& spread = GetParam();
  PoolOptions options;
  options.capacity_bytes = 3 * kLiveBytes;
  options.huge_pages = HugePages::kTransparent;
  options.learn_size_classes = true;
  Error error;
  const std::shared_ptr<Pool> pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  ReplacedBlocks blocks(pool, Seed());
  const auto run = [&](size_t least) {
    blocks.Run(least, least + spread.width, kLiveBytes, kTurnovers * kLiveBytes);
    EXPECT_EQ(Complaint(*pool), "");
    return blocks.Share();
  };
  const double before = run(spread.least);
  const double after = run(spread.least + spread.shift);
  WriteFigures(std::string("learned_classes_") + spread.name,
               {{"footprint_to_payload", before},
                {"footprint_to_payload_after_shift", after},
                {"learned_classes", static_cast<double>(pool->Stats().learned_class_count)}});
  EXPECT_LE(before, spread.most_share);
  EXPECT_LE(after, spread.most_share_after);
}
INSTANTIATE_TEST_SUITE_P(Spreads, LearnedLong,
                         ::testing::Values(Spread{"narrow", 4096, 255, 904, 1.035, 1.045},
                                           Spread{"wide", 3789, 4710, 1000, 1.055, 1.08}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace hugepool::testing
