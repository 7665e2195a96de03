// numa_model: bad input is refused by name, value and range; the table and the JSON say what they are, and repeat.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/program.h"

namespace hugepool::testing {
namespace {

Outcome RunNumaModel(const std::vector<std::string>& arguments) { return RunProgram(NUMA_MODEL, arguments); }

struct BadOption {
  const char* argument;
  const char* names;  // option and value of the refusal
  const char* says;
};

class NumaModelBadOption : public ::testing::TestWithParam<BadOption> {};

TEST_P(NumaModelBadOption, IsRefusedByNameValueAndRange) {
  const Outcome outcome = RunNumaModel({GetParam().argument});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.error.find(GetParam().names), std::string::npos) << outcome.error;
  EXPECT_NE(outcome.error.find(GetParam().says), std::string::npos) << outcome.error;
  EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(
    Options, NumaModelBadOption,
    ::testing::Values(
        BadOption{"--nodes=0", "--nodes=0", "1 to 32"}, BadOption{"--nodes=2,33", "--nodes=33", "1 to 32"},
        BadOption{"--nodes=two", "--nodes=two", "For example: --nodes=2,4,8"},
        BadOption{"--nodes=2,,4", "--nodes=:", "1 to 32"}, BadOption{"--nodes=", "--nodes", "numa_model --help"},
        BadOption{"--cpus_per_node=0", "--cpus_per_node=0", "1 to 1024"},
        BadOption{"--cpus_per_node=2.5", "--cpus_per_node=2.5", "a whole number"},
        BadOption{"--l3_cpus=7", "--l3_cpus=7", "a divisor of --cpus_per_node=64"},
        BadOption{"--rate=0", "--rate=0", "1 to 1G"}, BadOption{"--rate=1M,x", "--rate=x", "1 to 1G"},
        BadOption{"--rate=inf", "--rate=inf", "1 to 1G"}, BadOption{"--hit_ratio=1", "--hit_ratio=1", "0 to 0.9999"},
        BadOption{"--hit_ratio=95%", "--hit_ratio=95%", "For example: --hit_ratio=0.95"},
        BadOption{"--remote_share=2", "--remote_share=2", "shared, or a number, 0 to 1"},
        BadOption{"--remote_share=nan", "--remote_share=nan", "shared, or a number, 0 to 1"},
        BadOption{"--object_bytes=8", "--object_bytes=8", "16 to 256K"},
        BadOption{"--object_bytes=512K", "--object_bytes=512K", "16 to 256K"},
        BadOption{"--cache_bytes=1K", "--cache_bytes=1K", "64K to 1G"},
        BadOption{"--misses=10", "--misses=10", "100 to 1000000"},
        BadOption{"--seed=-1", "--seed=-1", "0 to 4294967295"},
        BadOption{"--designs=best", "--designs=best", "depot_per_group"},
        BadOption{"--lock_ns=-1", "--lock_ns=-1", "0 to 1000000"},
        BadOption{"--lines_at_once=0", "--lines_at_once=0", "1 to 64"},
        BadOption{"--wake_ns=long", "--wake_ns=long", "For example: --wake_ns="},
        BadOption{"--json=/dev/full", "--json=/dev/full", "Name a file"},
        BadOption{"--no_such_option", "--no_such_option", "numa_model --help"}));

TEST(NumaModel, SaysThatItIsAModelAndWhichCostsAreAssumed) {
  ScratchDir dir;
  const std::vector<std::string> arguments = {"--nodes=1,2", "--cpus_per_node=8", "--rate=2M", "--misses=300",
                                              "--json=" + (dir / "out.json")};
  const Outcome outcome = RunNumaModel(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
  for (const char* text : {"a simulation, no measurement", "measured: lock_ns", "assumed:  line_node_ns",
                           "depot_per_node", "depot_per_group", "unbatched", "one_lock"}) {
    EXPECT_NE(outcome.output.find(text), std::string::npos) << text << "\n" << outcome.output;
  }
  const nlohmann::json document = FileJson(dir / "out.json");
  ASSERT_TRUE(document.is_object());
  EXPECT_EQ(document["is_measurement"], false);
  EXPECT_EQ(document["costs"]["line_remote_ns"]["measured"], false);
  ASSERT_EQ(document["rows"].size(), 8u);
  const nlohmann::json& row = document["rows"][4];
  EXPECT_EQ(row["node_count"], 2);
  EXPECT_EQ(row["design"], "depot_per_node");
  EXPECT_EQ(row["remote_share"], 0.5);
  EXPECT_GT(row["mutex"]["depot_locks"]["acquired_count"], 0);
  EXPECT_GT(row["paper"]["use"], 0.0);

  const std::string first = FileText(dir / "out.json");
  const Outcome again = RunNumaModel(arguments);
  EXPECT_EQ(again.output, outcome.output);
  EXPECT_EQ(FileText(dir / "out.json"), first);
}

TEST(NumaModel, MeasuresWhatThisMachineCanShow) {
  const Outcome outcome = RunNumaModel({"--measure"});
  if (outcome.exit_code == 1) {
    EXPECT_NE(outcome.error.find("numa_model: --measure: "), std::string::npos) << outcome.error;
    GTEST_SKIP() << outcome.error;
  }
  EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
  const size_t line = outcome.output.find("numa_model --lock_ns=");
  ASSERT_NE(line, std::string::npos) << outcome.output;
  // The last line is what it says: options that numa_model takes.
  std::vector<std::string> arguments = {"--nodes=2", "--cpus_per_node=8", "--misses=100"};
  std::string words = outcome.output.substr(line);
  for (size_t at = words.find(" --"); at != std::string::npos;) {
    const size_t next = words.find(" --", at + 1);
    arguments.push_back(words.substr(at + 1, next == std::string::npos ? words.find('\n') - at - 1 : next - at - 1));
    at = next;
  }
  EXPECT_EQ(arguments.size(), 3 + 8u);
  const Outcome run = RunNumaModel(arguments);
  EXPECT_EQ(run.exit_code, 0) << run.error;
}

TEST(NumaModel, HelpNamesEveryOption) {
  const Outcome outcome = RunNumaModel({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* option : {"--measure", "--nodes", "--cpus_per_node", "--l3_cpus", "--rate", "--hit_ratio",
                             "--remote_share", "--object_bytes", "--cache_bytes", "--designs", "--misses", "--seed",
                             "--json", "--lock_ns", "--line_remote_ns"}) {
    EXPECT_NE(outcome.output.find(option), std::string::npos) << option;
  }
}

}  // namespace
}  // namespace hugepool::testing
