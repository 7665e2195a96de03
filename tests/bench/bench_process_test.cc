// However a process of pool_bench ends, the comparer gets a result or a reason.
#include "bench/bench_process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

namespace hugepool::bench {
namespace {

ProcessOutcome Shell(const std::string& script, double timeout_seconds = 20) {
  Signals signals;
  return RunBenchProcess({"/bin/sh", "-c", script}, {"PATH=/usr/bin:/bin"}, timeout_seconds, &signals);
}

BenchRun Read(const std::string& output, int exit_code = 0) {
  ProcessOutcome outcome;
  outcome.exit_code = exit_code;
  outcome.output = output;
  outcome.error = "what it said";
  return ReadBenchRun(outcome, "pair/64");
}

TEST(BenchProcess, OutputErrorAndExitCodeAreKeptApart) {
  const ProcessOutcome outcome = Shell("echo result; echo trouble >&2; exit 3");
  EXPECT_EQ(outcome.problem, "");
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.output, "result\n");
  EXPECT_EQ(outcome.error, "trouble\n");
}

TEST(BenchProcess, MuchOutputOnBothSidesDoesNotBlock) {
  const ProcessOutcome outcome = Shell("head -c 1000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero >&2");
  EXPECT_EQ(outcome.output.size(), 1'000'000u);
  EXPECT_EQ(outcome.error.size(), 1'000'000u);
}

TEST(BenchProcess, DeathBySignalIsNamedWithTheLastWords) {
  const ProcessOutcome outcome = Shell("echo double free >&2; kill -ABRT $$");
  EXPECT_NE(outcome.problem.find("SIGABRT"), std::string::npos) << outcome.problem;
  EXPECT_NE(outcome.problem.find("double free"), std::string::npos) << outcome.problem;
  EXPECT_EQ(ReadBenchRun(outcome, "pair/64").problem, outcome.problem);
}

TEST(BenchProcess, ProcessThatDoesNotEndIsEnded) {
  const ProcessOutcome outcome = Shell("exec sleep 600", 0.2);
  EXPECT_NE(outcome.problem.find("not done after 0.2 s"), std::string::npos) << outcome.problem;
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST(BenchProcess, ProgramThatDoesNotExistIsNamed) {
  Signals signals;
  const ProcessOutcome outcome = RunBenchProcess({"/nonexistent/pool_bench"}, {}, 20, &signals);
  EXPECT_NE(outcome.problem.find("/nonexistent/pool_bench cannot be started"), std::string::npos) << outcome.problem;
}

TEST(BenchRun, FiguresOfTheBenchmarkAreRead) {
  const BenchRun run = Read(
      R"({"context": {"malloc": "/lib/libc.so.6"}, "benchmarks": [{"name": "other", "items_per_second": 1},
          {"name": "pair/64", "items_per_second": 5e7, "thp_share": 1, "time_unit": "ns"}]})");
  EXPECT_EQ(run.problem, "");
  EXPECT_EQ(run.figures.at("items_per_second"), 5e7);
  EXPECT_EQ(run.figures.at("thp_share"), 1);
  EXPECT_FALSE(run.figures.count("time_unit"));
  EXPECT_EQ(run.malloc, "/lib/libc.so.6");
}

TEST(BenchRun, WhateverElseIsInTheOutputIsAReason) {
  for (const char* output : {"", "no JSON", "{\"benchmarks\": [", "[]", "{}", "{\"benchmarks\": 3}"}) {
    const BenchRun run = Read(output);
    EXPECT_NE(run.problem.find("without a JSON result"), std::string::npos) << output;
    EXPECT_NE(run.problem.find("what it said"), std::string::npos) << output;
    EXPECT_TRUE(run.figures.empty());
  }
  EXPECT_NE(Read(R"({"benchmarks": []})").problem.find("pair/64"), std::string::npos);
  EXPECT_NE(Read(R"({"benchmarks": [3, null, {"name": "pair/64"}]})").problem.find("pair/64"), std::string::npos);
  EXPECT_EQ(
      Read(R"({"benchmarks": [{"name": "pair/64", "error_occurred": true, "error_message": "blocks overlap"}]})", 1)
          .problem,
      "blocks overlap");
  EXPECT_NE(Read(R"({"benchmarks": [{"name": "pair/64", "items_per_second": 1}]})", 1).problem.find("exit code 1"),
            std::string::npos);
}

}  // namespace
}  // namespace hugepool::bench
