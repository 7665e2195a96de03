// A machine that cannot hold the workers is told so before any of them starts.
#include "bench/rounds.h"

#include <gtest/gtest.h>

namespace hugepool::bench {
namespace {

TEST(Rounds, TooLittleMemoryIsRefusedWithTheFigures) {
  KvOptions options;
  options.allocators = {"malloc"};
  options.shape.record_count = 1'000'000;
  Machine machine;
  machine.available_bytes = uint64_t{512} << 20;
  Signals signals;
  const RunOutcome outcome = RunRounds(options, {.shape = options.shape}, machine, &signals);
  EXPECT_TRUE(outcome.rows.empty());
  EXPECT_NE(outcome.refusal.find("--records=1000000"), std::string::npos) << outcome.refusal;
  EXPECT_NE(outcome.refusal.find("512M are available"), std::string::npos) << outcome.refusal;
  EXPECT_NE(outcome.refusal.find("fewer --records"), std::string::npos) << outcome.refusal;
}

TEST(Rounds, RowsThatThisMachineCannotRunAreSkippedNotDropped) {
  KvOptions options;
  options.allocators = {"jemalloc", "malloc-thp"};
  options.peer_dirs = {"/nonexistent"};
  Machine machine;
  machine.available_bytes = uint64_t{64} << 30;
  machine.thp = "never";
  Signals signals;
  const RunOutcome outcome = RunRounds(options, {.shape = {.record_count = 1}}, machine, &signals);
  ASSERT_EQ(outcome.rows.size(), 2u);
  for (const RowResult& row : outcome.rows) {
    EXPECT_EQ(row.status, RowStatus::kSkipped);
    EXPECT_FALSE(row.reason.empty());
  }
  EXPECT_NE(outcome.rows[1].reason.find("echo madvise"), std::string::npos) << outcome.rows[1].reason;
}

}  // namespace
}  // namespace hugepool::bench
