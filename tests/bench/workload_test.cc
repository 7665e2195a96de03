// Workloads are what they are called.
#include "bench/workload.h"

#include <gtest/gtest.h>

#include <numeric>

namespace hugepool::bench {
namespace {

TEST(Workloads, PercentagesAddUp) {
  for (const Workload& workload : Workloads()) {
    EXPECT_EQ(std::accumulate(workload.percent.begin(), workload.percent.end(), 0u), 100u) << workload.name;
    EXPECT_EQ(FindWorkload(workload.name), &workload);
  }
  EXPECT_EQ(FindWorkload("ycsb-g"), nullptr);
}

// As YCSB's workload files have them: readproportion, updateproportion, insertproportion, scanproportion,
// readmodifywriteproportion, requestdistribution.
TEST(Workloads, YcsbsHaveItsProportionsAndDistributions) {
  struct Published {
    const char* name;
    unsigned read, update, insert, scan, read_modify_write;
    Distribution distribution;
  };
  for (const Published& published : {Published{"ycsb-a", 50, 50, 0, 0, 0, Distribution::kScrambledZipf},
                                     {"ycsb-b", 95, 5, 0, 0, 0, Distribution::kScrambledZipf},
                                     {"ycsb-c", 100, 0, 0, 0, 0, Distribution::kScrambledZipf},
                                     {"ycsb-d", 95, 0, 5, 0, 0, Distribution::kLatest},
                                     {"ycsb-e", 0, 0, 5, 95, 0, Distribution::kScrambledZipf},
                                     {"ycsb-f", 50, 0, 0, 0, 50, Distribution::kScrambledZipf}}) {
    const Workload* workload = FindWorkload(published.name);
    ASSERT_NE(workload, nullptr) << published.name;
    const auto percent = [&](Operation operation) { return workload->percent[static_cast<size_t>(operation)]; };
    EXPECT_EQ(percent(Operation::kGet), published.read) << published.name;
    EXPECT_EQ(percent(Operation::kUpdate), published.update) << published.name;
    EXPECT_EQ(percent(Operation::kInsert), published.insert) << published.name;
    EXPECT_EQ(percent(Operation::kScan), published.scan) << published.name;
    EXPECT_EQ(percent(Operation::kReadModifyWrite), published.read_modify_write) << published.name;
    EXPECT_EQ(workload->distribution, published.distribution) << published.name;
    EXPECT_EQ(workload->writes(), std::string(published.name) != "ycsb-c") << published.name;
  }
  EXPECT_EQ(FindWorkload("ycsb-e")->scan_least, 1u);
  EXPECT_EQ(FindWorkload("ycsb-e")->scan_most, 100u);
  EXPECT_TRUE(FindWorkload("readwhilewriting")->writes());
  EXPECT_FALSE(FindWorkload("seekrandom")->writes());
}

}  // namespace
}  // namespace hugepool::bench
