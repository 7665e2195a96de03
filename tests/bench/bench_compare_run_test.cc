// Short real comparisons, and those in which something goes wrong.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "bench/pool_bench/programs.h"
#include "bench/program.h"

namespace hugepool::testing {
namespace {

using nlohmann::json;

std::vector<std::string> Arguments(const ScratchDir& dir, const std::vector<std::string>& others) {
  std::vector<std::string> all = {"--json=" + (dir / "out.json"),
                                  "--rounds=3",
                                  "--long_rounds=1",
                                  "--min_time=0.002",
                                  "--live_bytes=8M",
                                  "--capacity=256M",
                                  "--threads=1,2"};
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

const json* FindNamed(const json& list, const char* key, const std::string& name) {
  for (const json& each : list) {
    if (each.at(key) == name) return &each;
  }
  return nullptr;
}

TEST(BenchCompare, ThreeRowsFromEndToEnd) {
  ScratchDir dir;
  const Outcome outcome =
      RunProgram(kBenchCompare,
                 Arguments(dir, {"--rows=malloc,array,hugepool-pool-small", "--filter=^(pair/64|footprint/one_size)/",
                                 "--turnovers=2", "--html=" + (dir / "page.html"), "--svg=" + (dir / "plot.svg")}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& benchmarks = document.at("benchmarks");
  ASSERT_EQ(benchmarks.size(), 3u) << "pair/64 with one and with two threads, and the footprint";
  const json& pair = *FindNamed(benchmarks, "title", "pair/64");
  ASSERT_EQ(pair.at("rows").size(), 3u);
  for (const json& row : pair.at("rows")) {
    EXPECT_EQ(row.at("status"), "ok") << row.dump();
    EXPECT_EQ(row.at("rounds").size(), 3u);
  }
  const json& lines = pair.at("measures").at(0).at("lines");
  for (const json& line : lines) {
    EXPECT_LE(line.at("min"), line.at("median"));
    EXPECT_LE(line.at("median"), line.at("max"));
    EXPECT_GT(line.at("to_malloc"), 0.0);
  }
  EXPECT_EQ(FindNamed(lines, "row", "malloc")->at("to_malloc"), 1.0);
  EXPECT_EQ(FindNamed(pair.at("rows"), "row", "hugepool-pool-small")->at("pages"), "4 KiB");

  const json& footprint = *FindNamed(benchmarks, "title", "footprint/one_size");
  EXPECT_EQ(footprint.at("rows").at(0).at("rounds").size(), 1u) << "--long_rounds";
  const json* pool_ratio = FindNamed(footprint.at("measures"), "key", "pool_ratio");
  ASSERT_NE(pool_ratio, nullptr);
  ASSERT_EQ(pool_ratio->at("lines").size(), 1u);
  EXPECT_GE(pool_ratio->at("lines").at(0).at("median"), 1.0);

  EXPECT_NE(outcome.output.find("÷ best peer"), std::string::npos);
  EXPECT_NE(outcome.output.find("machine: "), std::string::npos);
  EXPECT_NE(FileText(dir / "page.html").find("hugepool-pool-small"), std::string::npos);
  EXPECT_NE(FileText(dir / "plot.svg").find("hugepool-pool-small"), std::string::npos);
}

TEST(BenchCompare, PreloadedPeersReallyServeMalloc) {
  ScratchDir dir;
  const Outcome outcome =
      RunProgram(kBenchCompare, Arguments(dir, {"--rows=malloc,jemalloc,tcmalloc,mimalloc,tbb", "--filter=^pair/64/",
                                                "--threads=1", "--rounds=1"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  for (const json& row : document.at("benchmarks").at(0).at("rows")) {
    const std::string name = row.at("row");
    const std::string loaded = row.at("malloc");
    EXPECT_NE(loaded.find(name == "malloc" ? "libc" : name), std::string::npos) << row.dump();
  }
  for (const json& row : document.at("rows")) {
    if (row.at("status") == "skipped") std::cout << row.at("name") << " skipped: " << row.at("reason") << "\n";
  }
}

TEST(BenchCompare, MissingPeerIsASkippedRowAndItsPackageNamed) {
  ScratchDir dir;
  const Outcome outcome = RunProgram(kBenchCompare, Arguments(dir, {"--rows=malloc,tbb", "--filter=^pair/64/",
                                                                    "--rounds=1", "--peer_dirs=" + (dir / "nothing")}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_NE(outcome.output.find("apt-get install libtbbmalloc2"), std::string::npos) << outcome.output;
  const json document = FileJson(dir / "out.json");
  EXPECT_EQ(FindNamed(document.at("rows"), "name", "tbb")->at("status"), "skipped");
}

// A pool_bench that lists one benchmark, and then does what the script says when it is to run the array.
std::string FakePoolBench(const ScratchDir& dir, const std::string& script) {
  const std::string path = dir / "fake_pool_bench";
  std::ofstream(path)
      << "#!/bin/sh\ncase \"$*\" in\n*--benchmark_list_tests*) echo pair/64 ;;\n*--subject=array*) " << script
      << " ;;\n*) echo '{\"benchmarks\": [{\"name\": \"pair/64\", \"items_per_second\": 1e6}]}' ;;\nesac\n";
  chmod(path.c_str(), 0755);
  return path;
}

struct BadEnd {
  const char* script;
  const char* reason;
};
class BenchCompareBadEnd : public ::testing::TestWithParam<BadEnd> {};

TEST_P(BenchCompareBadEnd, FailsItsRowAndTheOthersGoOn) {
  ScratchDir dir;
  const Outcome outcome = RunProgram(
      kBenchCompare, {"--pool_bench=" + FakePoolBench(dir, GetParam().script), "--rows=malloc,array,hugepool-pool",
                      "--rounds=2", "--timeout=1", "--json=" + (dir / "out.json")});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& rows = document.at("benchmarks").at(0).at("rows");
  const json& array = *FindNamed(rows, "row", "array");
  EXPECT_EQ(array.at("status"), "failed");
  EXPECT_NE(array.at("reason").get<std::string>().find(GetParam().reason), std::string::npos) << array.at("reason");
  EXPECT_NE(outcome.output.find("failed array in pair/64"), std::string::npos) << outcome.output;
  EXPECT_EQ(FindNamed(rows, "row", "malloc")->at("rounds").size(), 2u);
  EXPECT_EQ(FindNamed(rows, "row", "hugepool-pool")->at("rounds").size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(
    Ends, BenchCompareBadEnd,
    ::testing::Values(BadEnd{"kill -SEGV $$", "SIGSEGV"}, BadEnd{"echo '{\"bench'", "without a JSON result"},
                      BadEnd{"exit 4", "exit code 4"}, BadEnd{"exec sleep 100", "not done after 1 s"},
                      BadEnd{"echo '{\"benchmarks\": [{\"name\": \"pair/64\", \"error_occurred\": true, "
                             "\"error_message\": \"lost a block\"}]}'; exit 1",
                             "lost a block"}));

TEST(BenchCompare, RowsTakeTurnsAtGoingFirst) {
  ScratchDir dir;
  const std::string path = dir / "fake_pool_bench";
  const std::string log = dir / "log";
  std::ofstream(path) << "#!/bin/sh\ncase \"$*\" in\n*--benchmark_list_tests*) echo pair/64 ;;\n*) echo \"$1\" >>"
                      << log
                      << "; echo '{\"benchmarks\": [{\"name\": \"pair/64\", \"items_per_second\": 1}]}' ;;\nesac\n";
  chmod(path.c_str(), 0755);
  const Outcome outcome =
      RunProgram(kBenchCompare, {"--pool_bench=" + path, "--rows=malloc,boost-pool,array", "--rounds=3"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_EQ(FileText(log),
            "--subject=malloc\n--subject=boost-pool\n--subject=array\n"
            "--subject=boost-pool\n--subject=array\n--subject=malloc\n"
            "--subject=array\n--subject=malloc\n--subject=boost-pool\n");
}

TEST(BenchCompare, InterruptionLeavesNoProcessAndKeepsWhatIsDone) {
  ScratchDir dir;
  const std::string path = FakePoolBench(dir, "exec sleep 100");
  Program program({"--pool_bench=" + path, "--rows=malloc,array", "--rounds=1", "--json=" + (dir / "out.json")},
                  kBenchCompare);
  ASSERT_TRUE(program.WaitForError("pair/64: 2 rows"));
  while (program.Workers().empty()) usleep(1000);
  kill(program.pid(), SIGTERM);
  EXPECT_EQ(program.Wait(), 128 + SIGTERM);
  EXPECT_NE(program.error().find("interrupted"), std::string::npos);
  EXPECT_EQ(FileJson(dir / "out.json").at("benchmarks").size(), 0u);
}

}  // namespace
}  // namespace hugepool::testing
