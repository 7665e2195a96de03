// The preloaded library under programs that know nothing of it: Debian's db_bench on LRU and HyperClock caches, a program with RocksDB
// linked in, and one without RocksDB.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kDbBench = "/usr/bin/db_bench";

// A program with this library preloaded; what it says comes into one text.
class Program {
 public:
  // settings: "NAME=value".
  Program(std::vector<std::string> arguments, const std::vector<std::string>& settings) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      setenv("LD_PRELOAD", HUGEPOOL_PRELOAD_LIBRARY, 1);
      for (std::string setting : settings) {
        const size_t equals = setting.find('=');
        setenv(setting.substr(0, equals).c_str(), setting.c_str() + equals + 1, 1);
      }
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(126);
    }
    close(ends[1]);
    output_end_ = ends[0];
  }
  ~Program() { close(output_end_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Until the text is in what it said, or it has ended.
  void WaitFor(const std::string& text) {
    while (output_.find(text) == std::string::npos && ReadMore()) {
    }
  }
  // Its exit code; 128 + the number of the signal that ended it.
  int Wait() {
    while (ReadMore()) {
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& output() const { return output_; }
  pid_t pid() const { return pid_; }

 private:
  bool ReadMore() {
    char buffer[4096];
    const ssize_t count = read(output_end_, buffer, sizeof buffer);
    if (count <= 0) return false;
    output_.append(buffer, static_cast<size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  int output_end_ = -1;
  std::string output_;
};

class Preload : public ::testing::Test {
 protected:
  Preload() { report_ = folder_ + "/report.json"; }

  nlohmann::json Report() const { return nlohmann::json::parse(FileText(report_), nullptr, false); }

  const ScratchDir scratch_;
  const std::string& folder_ = scratch_.path();
  std::string report_;
};

struct Load {
  const char* name;
  const char* benchmark;
  const char* cache_type;
  const char* huge_pages;
};

class StockDbBench : public Preload, public ::testing::WithParamInterface<Load> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kDbBench)) GTEST_SKIP() << kDbBench << " is missing (Debian package rocksdb-tools)";
    if (std::string(GetParam().huge_pages) == "required") {
      const std::string why_not = WhyNoHugetlb(100);
      if (!why_not.empty()) GTEST_SKIP() << why_not;
    }
  }
  std::vector<std::string> Arguments(const std::string& benchmarks) const {
    return {kDbBench,
            "--benchmarks=" + benchmarks,
            "--db=" + folder_ + "/db",
            "--num=200000",
            "--value_size=400",
            "--compression_type=none",
            "--cache_size=33554432",
            std::string("--cache_type=") + GetParam().cache_type,
            "--threads=2",
            "--statistics"};
  }
};

// No flag of its own names an allocator. What it reads into its cache comes from the pool, and nothing else does.
TEST_P(StockDbBench, ReadsThroughThePool) {
  Program fill(Arguments("fillrandom,compact"), {"HUGEPOOL_OPTIONS=huge_pages=off"});
  ASSERT_EQ(fill.Wait(), 0) << fill.output();
  std::vector<std::string> arguments = Arguments(std::string(GetParam().benchmark) + ",stats");
  arguments.insert(arguments.end(), {"--use_existing_db=1", "--duration=3"});
  Program program(arguments, {std::string("HUGEPOOL_OPTIONS=decay_seconds=0; huge_pages=") + GetParam().huge_pages,
                              "HUGEPOOL_REPORT_FILE=" + report_, "HUGEPOOL_STRICT=1"});
  // From outside, while it reads: the kernel's word for the pages.
  uint64_t hugetlb_kib = 0;
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::istringstream smaps(FileText("/proc/" + std::to_string(program.pid()) + "/smaps_rollup"));
    for (std::string line; std::getline(smaps, line);) {
      if (line.starts_with("Private_Hugetlb:") || line.starts_with("Shared_Hugetlb:")) {
        hugetlb_kib = std::max<uint64_t>(hugetlb_kib, std::stoull(line.substr(line.find(':') + 1)));
      }
    }
  }
  ASSERT_EQ(program.Wait(), 0) << program.output();
  std::smatch found;
  ASSERT_TRUE(std::regex_search(program.output(), found, std::regex("rocksdb.block.cache.data.miss COUNT : (\\d+)")));
  const uint64_t miss_count = std::stoull(found[1]);
  EXPECT_GT(miss_count, 10000u) << program.output();
  const nlohmann::json report = Report();
  ASSERT_TRUE(report.is_object()) << FileText(report_);
  EXPECT_GE(report["allocation_count"].get<uint64_t>(), miss_count);
  EXPECT_EQ(report["problem"], "");
  EXPECT_EQ(report["program"], std::filesystem::canonical(kDbBench).string());
  EXPECT_THAT(program.output(), Not(HasSubstr("hugepool:"))) << "it has nothing to complain of";
  if (std::string(GetParam().huge_pages) == "required") {
    EXPECT_GT(hugetlb_kib, 20u << 10) << "of 32 MiB that the cache fills";
  } else {
    EXPECT_EQ(hugetlb_kib, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Loads, StockDbBench,
                         ::testing::Values(Load{"lru_readrandom", "readrandom", "lru_cache", "required"},
                                           Load{"lru_readwhilewriting", "readwhilewriting", "lru_cache", "off"},
                                           Load{"hyper_clock_readrandom", "readrandom", "hyper_clock_cache", "off"},
                                           Load{"hyper_clock_readwhilewriting", "readwhilewriting", "hyper_clock_cache",
                                                "required"}),
                         [](const auto& load) { return std::string(load.param.name); });

TEST_F(Preload, ASignalWritesTheReportWhileTheProgramGoesOn) {
  Program program({PRELOAD_PROGRAM, folder_ + "/db", "wait"},
                  {"HUGEPOOL_OPTIONS=huge_pages=off; name=waiting", "HUGEPOOL_REPORT_FILE=" + report_});
  program.WaitFor("reading\n");
  ASSERT_EQ(kill(program.pid(), SIGUSR1), 0);
  while (!std::filesystem::exists(report_)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const nlohmann::json report = Report();
  EXPECT_EQ(report["process"], program.pid());
  EXPECT_GT(report["allocation_count"].get<uint64_t>(), 0u);
  const auto& pools = report["pools"];
  EXPECT_TRUE(std::any_of(pools.begin(), pools.end(), [](const auto& pool) {
    return pool["name"] == "waiting" && pool["allocated_count"].template get<uint64_t>() > 0;
  })) << report.dump();
  ASSERT_EQ(kill(program.pid(), SIGTERM), 0);
  EXPECT_EQ(program.Wait(), 128 + SIGTERM);
}

TEST_F(Preload, ASignalThatTheProgramWantsItselfIsLeftToIt) {
  Program program({PRELOAD_PROGRAM, folder_ + "/db", "wait_with_handler"},
                  {"HUGEPOOL_OPTIONS=huge_pages=off", "HUGEPOOL_REPORT_FILE=" + report_});
  program.WaitFor("reading\n");
  ASSERT_EQ(kill(program.pid(), SIGUSR1), 0);
  EXPECT_EQ(program.Wait(), 0) << "its own handler ends it";
  EXPECT_THAT(program.output(), HasSubstr("own handler"));
}

// One pool for all caches where its capacity is named, else one for each.
TEST_F(Preload, ANamedCapacityIsThatOfOnePoolForAll) {
  for (const bool is_named : {true, false}) {
    Program program({PRELOAD_PROGRAM, folder_ + "/db" + std::to_string(is_named), "two_caches"},
                    {std::string("HUGEPOOL_OPTIONS=huge_pages=off") + (is_named ? "; capacity=64M" : ""),
                     "HUGEPOOL_REPORT_FILE=" + report_});
    ASSERT_EQ(program.Wait(), 0) << program.output();
    const nlohmann::json report = Report();
    if (is_named) {
      ASSERT_EQ(report["pools"].size(), 1u);
      EXPECT_EQ(report["pools"][0]["capacity_bytes"], 64 << 20);
    } else {
      EXPECT_GE(report["pools"].size(), 2u);
    }
  }
}

TEST_F(Preload, BadOptionsLeaveTheCacheOnMallocAndSayWhy) {
  for (const bool is_strict : {false, true}) {
    Program program({PRELOAD_PROGRAM, folder_ + "/db" + std::to_string(is_strict), "read"},
                    {"HUGEPOOL_OPTIONS=capacity=3X", std::string("HUGEPOOL_STRICT=") + (is_strict ? "1" : "0")});
    EXPECT_EQ(program.Wait(), is_strict ? 3 : 0);
    EXPECT_THAT(program.output(), AllOf(HasSubstr("'3X'"), HasSubstr("stays on malloc"), HasSubstr("values are right"),
                                        HasSubstr("no block came from a pool")));
  }
}

TEST_F(Preload, RocksdbLinkedInIsDetectedAndNamed) {
#ifndef PRELOAD_STATIC_PROGRAM
  GTEST_SKIP() << "librocksdb.a is not to be had";
#else
  Program program({PRELOAD_STATIC_PROGRAM, folder_ + "/db", "read"}, {"HUGEPOOL_STRICT=1"});
  EXPECT_EQ(program.Wait(), 3);
  EXPECT_THAT(program.output(), AllOf(HasSubstr("values are right"), HasSubstr(PRELOAD_STATIC_PROGRAM),
                                      HasSubstr("RocksDB linked in statically")));
#endif
}

TEST_F(Preload, AProgramWithoutRocksdbIsToldSoAndNothingElse) {
  Program program({"/bin/bash", "-c", "echo hello"}, {});
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.output(), AllOf(HasSubstr("hello\n"), HasSubstr("does not use RocksDB")));
  Program strict({"/bin/bash", "-c", "echo hello"}, {"HUGEPOOL_STRICT=1"});
  EXPECT_EQ(strict.Wait(), 3);
  EXPECT_THAT(strict.output(), HasSubstr("hello\n"));
}

// A child that only forks is no program of its own.
TEST_F(Preload, AForkedChildSaysNothing) {
  Program program({PRELOAD_PROGRAM, folder_ + "/db", "fork"}, {"HUGEPOOL_STRICT=1", "HUGEPOOL_OPTIONS=huge_pages=off"});
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.output(), AllOf(HasSubstr("child ended with 0"), Not(HasSubstr("hugepool:"))));
}

}  // namespace
}  // namespace hugepool::testing
