// Bad input of bench_compare: exit 2, and a sentence that names the option, its value, what is allowed and what to do.
#include <gtest/gtest.h>

#include "bench/pool_bench/programs.h"
#include "bench/program.h"

namespace hugepool::testing {
namespace {

struct BadOption {
  const char* argument;
  const char* says;  // besides the argument itself
};

class BenchCompareBadOption : public ::testing::TestWithParam<BadOption> {};

TEST_P(BenchCompareBadOption, IsRefusedByNameValueAndRange) {
  const Outcome outcome = RunProgram(kBenchCompare, {"--rows=malloc", "--filter=^pair/64/", GetParam().argument});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find(GetParam().argument), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find(GetParam().says), std::string::npos) << outcome.error;
  EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(
    Options, BenchCompareBadOption,
    ::testing::Values(BadOption{"--rounds=0", "1 to 1000"}, BadOption{"--rounds=1.5", "a whole number"},
                      BadOption{"--rounds=many", "For example: --rounds=5"},
                      BadOption{"--long_rounds=1001", "1 to 1000"}, BadOption{"--min_time=0", "0.001 to 3600"},
                      BadOption{"--min_time=nan", "0.001 to 3600"}, BadOption{"--timeout=0", "1 to 86400"},
                      BadOption{"--rows=dlmalloc", "hugepool-slab_cache"},
                      BadOption{"--filter=(", "regular expression"},
                      BadOption{"--filter=^nothing_like_it", "matches no benchmark"},
                      BadOption{"--pool_bench=/nonexistent/pool_bench", "bench/compare builds it"},
                      BadOption{"--json=/nonexistent/out.json", "cannot be written"},
                      BadOption{"--threads=0", "1 to 1024"},       // pool_bench's own answer
                      BadOption{"--live_bytes=few", "1M to 16T"},  // the same
                      BadOption{"--no_such_option", "bench_compare --help"}));

TEST(BenchCompareBadInput, PictureThatCannotBeWrittenIsNamed) {
  const Outcome outcome = RunProgram(kBenchCompare, {"--rows=malloc", "--filter=^pair/64/", "--rounds=1", "--threads=1",
                                                     "--min_time=0.001", "--svg=/dev/full"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find("--svg=/dev/full: cannot be written"), std::string::npos) << outcome.error;
}

TEST(BenchCompareBadInput, HelpNamesEveryOption) {
  const Outcome outcome = RunProgram(kBenchCompare, {"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* option :
       {"--rows", "--filter", "--rounds", "--long_rounds", "--min_time", "--timeout", "--capacity", "--live_bytes",
        "--growth_bytes", "--turnovers", "--threads", "--pool_bench", "--peer_dirs", "--json", "--html", "--svg"}) {
    EXPECT_NE(outcome.output.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace hugepool::testing
