// Bad input of pool_bench: exit 2, and a sentence that names the option, its value, what is allowed and what to do.
#include <gtest/gtest.h>

#include "bench/pool_bench/programs.h"
#include "bench/program.h"

namespace hugepool::testing {
namespace {

struct BadOption {
  const char* argument;
  const char* says;  // besides the argument itself
};

class PoolBenchBadOption : public ::testing::TestWithParam<BadOption> {};

TEST_P(PoolBenchBadOption, IsRefusedByNameValueAndRange) {
  const Outcome outcome = RunProgram(kPoolBench, {"--subject=pool", GetParam().argument});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find(GetParam().argument), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find(GetParam().says), std::string::npos) << outcome.error;
  EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(
    Options, PoolBenchBadOption,
    ::testing::Values(BadOption{"--subject=dlmalloc", "slab_cache"},
                      BadOption{"--huge_pages=some", "best, required, preferred, transparent or off"},
                      BadOption{"--capacity=1M", "64M to 16T"},
                      BadOption{"--capacity=much", "For example: --capacity="},
                      BadOption{"--live_bytes=0", "1M to 16T"}, BadOption{"--growth_bytes=-1", "1M to 16T"},
                      BadOption{"--turnovers=-1", "0 to 1000000"}, BadOption{"--turnovers=nan", "0 to 1000000"},
                      BadOption{"--turnovers=5x", "For example: --turnovers=50"}, BadOption{"--threads=0", "1 to 1024"},
                      BadOption{"--threads=1,x", "1 to 1024"}, BadOption{"--threads=2000", "1 to 1024"},
                      BadOption{"--no_such_option", "pool_bench --help"}));

TEST(PoolBenchBadInput, PagesOfAnAllocatorThatChoosesItsOwnAreRefused) {
  const Outcome outcome = RunProgram(kPoolBench, {"--subject=malloc", "--huge_pages=off"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("the subject malloc"), std::string::npos) << outcome.error;
}

TEST(PoolBenchBadInput, HelpNamesEveryOptionAndGoogleBenchmarksFlags) {
  const Outcome outcome = RunProgram(kPoolBench, {"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* option : {"--subject", "--huge_pages", "--capacity", "--live_bytes", "--growth_bytes", "--turnovers",
                             "--threads", "--collapse", "--benchmark_filter", "--benchmark_min_time"}) {
    EXPECT_NE(outcome.output.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace hugepool::testing
