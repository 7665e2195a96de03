// pool_bench: one allocator, measured by many loops in one process.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <hugepool/version.h>

#include <string_view>

#include "bench/pool_bench/bench_options.h"
#include "bench/pool_bench/failure.h"
#include "bench/pool_bench/subject_catalog.h"
#include "bench/process_memory.h"

namespace hugepool::bench {
namespace {

bool Holds(int argc, char** argv, std::string_view argument) {
  for (int i = 1; i < argc; ++i) {
    if (argument == argv[i]) return true;
  }
  return false;
}

int Main(int argc, char** argv) {
  // Google Benchmark answers --help before it would leave our options in place.
  const bool asked_for_help = Holds(argc, argv, "--help");
  if (!asked_for_help) benchmark::Initialize(&argc, argv);
  const ParsedBenchOptions parsed = ParseBenchOptions(argc, argv);
  if (asked_for_help) {
    fmt::print("\nFlags of ");
    benchmark::PrintDefaultHelp();
  }
  if (!parsed.options) return parsed.exit_code;

  const BenchOptions& options = *parsed.options;
  benchmark::AddCustomContext("subject", options.subject);
  benchmark::AddCustomContext("huge_pages", options.huge_pages);
  benchmark::AddCustomContext("malloc", LoadedMalloc());
  benchmark::AddCustomContext("hugepool", HUGEPOOL_VERSION_STRING);
  FindSubject(options.subject)->register_loops(options);
  benchmark::RunSpecifiedBenchmarks();
  // With them go pools and live blocks, while what they need is still there.
  benchmark::ClearRegisteredBenchmarks();
  benchmark::Shutdown();
  return AnyFailed() ? kBenchExitFailed : kBenchExitOk;
}

}  // namespace
}  // namespace hugepool::bench

int main(int argc, char** argv) { return hugepool::bench::Main(argc, argv); }
