// Short real runs: every subject through every loop that it can run, contents compared before each free.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "bench/pool_bench/programs.h"
#include "bench/program.h"

namespace hugepool::testing {
namespace {

using nlohmann::json;

const std::vector<std::string> kSmall = {"--live_bytes=8M",        "--growth_bytes=16M", "--turnovers=2",
                                         "--capacity=256M",        "--threads=1,2,4",    "--benchmark_min_time=0.001",
                                         "--benchmark_format=json"};

Outcome RunSmall(const char* program, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kSmall.begin(), kSmall.end());
  return RunProgram(program, arguments);
}

// Of a run in JSON.
std::vector<json> Benchmarks(const Outcome& outcome) {
  const json document = json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("benchmarks")) return {};
  return document["benchmarks"];
}

void ExpectSound(const Outcome& outcome) {
  EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
  const std::vector<json> benchmarks = Benchmarks(outcome);
  EXPECT_FALSE(benchmarks.empty()) << outcome.output;
  for (const json& each : benchmarks) {
    EXPECT_FALSE(each.value("error_occurred", false)) << each.dump();
    EXPECT_TRUE(each.contains("items_per_second") || each.contains("footprint_ratio")) << each.dump();
  }
}

class EverySubject : public ::testing::TestWithParam<const char*> {
 protected:
  std::string subject() const { return std::string("--subject=") + GetParam(); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    std::istringstream lines(RunSmall(kPoolBench, {subject(), "--benchmark_list_tests"}).output);
    for (std::string line; std::getline(lines, line);) names.push_back(line);
    return names;
  }
};

TEST_P(EverySubject, RunsItsLoopsAndItsBlocksKeepTheirContents) {
  ExpectSound(RunSmall(kPoolBenchVerified,
                       {subject(), "--benchmark_filter=^(pair|eight|random|batch/1000/|replace|ring|larson)"}));
}

TEST_P(EverySubject, RunsGrowthAndFootprintInProcessesOfTheirOwn) {
  size_t count = 0;
  for (const std::string& name : Names()) {
    if (name.rfind("growth/", 0) != 0 && name.rfind("footprint/", 0) != 0) continue;
    ++count;
    const Outcome outcome = RunSmall(kPoolBenchVerified, {subject(), "--benchmark_filter=^" + name + "$"});
    ExpectSound(outcome);
    for (const json& each : Benchmarks(outcome)) {
      if (!each.contains("footprint_ratio")) continue;
      EXPECT_GT(each["footprint_ratio"], 0.95) << each.dump();
      EXPECT_LT(each["footprint_ratio"], 4) << each.dump();
    }
  }
  EXPECT_GE(count, 1u);
}

TEST_P(EverySubject, HasTheLoopsThatSuitIt) {
  const std::vector<std::string> names = Names();
  const std::set<std::string> all(names.begin(), names.end());
  EXPECT_EQ(all.size(), names.size()) << "no name twice";
  const std::string subject_name = GetParam();
  const bool one_thread = subject_name == "boost-pool" || subject_name == "pmr-unsynchronized";
  const bool one_size = subject_name == "boost-pool" || subject_name == "array" || subject_name == "slab_cache" ||
                        subject_name == "local_pool";
  const auto has = [&](const std::string& name) { return all.count(name) > 0; };
  for (const char* size : {"64", "256", "1024", "4160", "16448", "32768"}) {
    EXPECT_TRUE(has(std::string("pair/") + size + "/manual_time/threads:1")) << size;
    EXPECT_TRUE(has(std::string("eight/") + size + "/manual_time/threads:1")) << size;
  }
  EXPECT_EQ(has("pair/64/manual_time/threads:4"), !one_thread);
  EXPECT_EQ(has("random_classes/manual_time/threads:1"), !one_size);
  EXPECT_EQ(has("larson/manual_time/threads:2"), !one_thread && !one_size);
  EXPECT_EQ(has("ring/64/manual_time/threads:2"), !one_thread && subject_name != "local_pool");
  EXPECT_FALSE(has("ring/64/manual_time/threads:1")) << "a ring has two ends";
  EXPECT_TRUE(has("replace/4160/manual_time/threads:1"));
  EXPECT_TRUE(has("footprint/one_size/iterations:1/manual_time"));
  EXPECT_EQ(has("footprint/spread_256/iterations:1/manual_time"), !one_size);
  const bool is_hugepool =
      subject_name.find("pool") == 0 || subject_name == "slab_cache" || subject_name == "local_pool";
  EXPECT_EQ(has("growth/16M/populated/iterations:1/manual_time"), is_hugepool);
}

INSTANTIATE_TEST_SUITE_P(Subjects, EverySubject,
                         ::testing::Values("malloc", "pool", "pool-sized", "pool-learning", "slab_cache", "local_pool",
                                           "boost-pool", "pmr-unsynchronized", "pmr-synchronized", "array"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(PoolBench, PoolSaysWhatStandsBehindIt) {
  const Outcome outcome = RunSmall(kPoolBench, {"--subject=pool", "--huge_pages=off", "--benchmark_filter=^pair/64/"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  for (const json& each : Benchmarks(outcome)) {
    EXPECT_EQ(each["hugetlb_share"], 0);
    EXPECT_EQ(each["thp_share"], 0);
  }
}

TEST(PoolBench, SecondFootprintOfAProcessIsAnErrorThatNamesTheMend) {
  const Outcome outcome = RunSmall(kPoolBench, {"--subject=malloc", "--benchmark_filter=^footprint/"});
  EXPECT_EQ(outcome.exit_code, 1);
  const std::vector<json> benchmarks = Benchmarks(outcome);
  ASSERT_EQ(benchmarks.size(), 3u);
  EXPECT_FALSE(benchmarks[0].value("error_occurred", false));
  EXPECT_NE(benchmarks[1].value("error_message", "").find("--benchmark_filter"), std::string::npos);
}

TEST(PoolBench, CollapseNeedsNoMoreThanTheFlag) {
  ExpectSound(RunSmall(kPoolBench, {"--subject=malloc", "--collapse", "--benchmark_filter=^replace/4160"}));
}

}  // namespace
}  // namespace hugepool::testing
