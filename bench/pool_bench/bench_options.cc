#include "bench/pool_bench/bench_options.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>
#include <hugepool/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "bench/pool_bench/subject_catalog.h"
#include "bench/process_memory.h"

namespace hugepool::bench {
namespace {

constexpr int kMostThreads = 1024;

ParsedBenchOptions Refuse(const std::string& option, const std::string& value, const std::string& allowed,
                          const std::string& example) {
  fmt::print(stderr, "pool_bench: {}={}: allowed is {}. For example: {}={}\n", option, value, allowed, option, example);
  return {std::nullopt, kBenchExitBadInput};
}

// What the command line says, still as text.
struct Words {
  std::string capacity = "1280M", live_bytes = "1G", growth_bytes = "4G", turnovers = "50", threads;
};

struct SizeText {
  const char* option;
  std::string text;
  uint64_t least;
  const char* example;
  uint64_t* target;
};

std::string Join(const std::vector<int>& counts) {
  std::string text;
  for (const int count : counts) text += fmt::format("{}{}", text.empty() ? "" : ",", count);
  return text;
}

void Describe(CLI::App* app, BenchOptions* options, Words* words) {
  words->threads = Join(DefaultThreadCounts(std::thread::hardware_concurrency()));
  app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app->set_version_flag("--version", std::string("pool_bench " HUGEPOOL_VERSION_STRING));
  app->add_option("--subject", options->subject, "What is measured: " + SubjectNames())->type_name("NAME");
  app->add_option("--huge_pages", options->huge_pages,
                  "Pages of a pool or of the array: required (reserved 2 MiB pages), preferred, transparent, off; "
                  "best is required where enough are free, else transparent")
      ->capture_default_str();
  app->add_option("--capacity", words->capacity, "Capacity of a pool")->capture_default_str()->type_name("BYTES");
  app->add_option("--live_bytes", words->live_bytes,
                  "Bytes alive in replace and footprint; batches that keep more alive are left out")
      ->capture_default_str()
      ->type_name("BYTES");
  app->add_option("--growth_bytes", words->growth_bytes, "Bytes used for the first time in growth")
      ->capture_default_str()
      ->type_name("BYTES");
  app->add_option("--turnovers", words->turnovers, "Bytes replaced in footprint, for each live byte")
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--threads", words->threads, "Counts of threads, with commas")->capture_default_str();
  app->add_flag("--collapse", options->collapse,
                "Put huge pages under the blocks of replace once all are there (MADV_COLLAPSE)");
}

void MakeApp(CLI::App* app) {
  app->description(
      "Measures one allocator, the subject, in this process: pairs, batches in several orders, random sizes, a\n"
      "producer and a consumer, larson, a gigabyte of blocks replaced at random, growth, footprint. A peer that\n"
      "serves malloc is preloaded: LD_PRELOAD=libjemalloc.so.2 pool_bench --subject=malloc. bench/compare runs\n"
      "all of them. Google Benchmark's flags choose among the benchmarks: --benchmark_filter=REGEX,\n"
      "--benchmark_list_tests, --benchmark_min_time=SECONDS, --benchmark_format=json; growth and footprint want\n"
      "a process of their own. Exit code: 0 done, 1 a benchmark failed, 2 bad input.");
  app->name("pool_bench");
}

std::string ParseThreads(const std::string& text, std::vector<int>* counts) {
  for (const std::string& word : CLI::detail::split(text, ',')) {
    const auto count = ParseBytes(word, nullptr);
    if (!count || *count < 1 || *count > kMostThreads) return word;
    counts->push_back(static_cast<int>(*count));
  }
  std::sort(counts->begin(), counts->end());
  counts->erase(std::unique(counts->begin(), counts->end()), counts->end());
  return "";
}

// Of the text form of HugePages; nothing for "best" and for what is none.
std::optional<HugePages> ParseHugePages(const std::string& text) {
  for (const HugePages each : {HugePages::kRequired, HugePages::kPreferred, HugePages::kTransparent, HugePages::kOff}) {
    if (text == ToString(each)) return each;
  }
  return std::nullopt;
}

ParsedBenchOptions Check(const CLI::App& app, BenchOptions options, const Words& words) {
  if (!FindSubject(options.subject)) return Refuse("--subject", options.subject, "one of " + SubjectNames(), "malloc");
  if (options.huge_pages != "best" && !ParseHugePages(options.huge_pages)) {
    return Refuse("--huge_pages", options.huge_pages, "best, required, preferred, transparent or off", "transparent");
  }
  if (app.count("--huge_pages") > 0 && !FindSubject(options.subject)->has_pages) {
    return Refuse("--huge_pages", options.huge_pages,
                  fmt::format("nothing for the subject {}: its pages are chosen by the allocator's own variables",
                              options.subject),
                  "transparent --subject=pool");
  }
  const SizeText sizes[] = {
      {"--capacity", words.capacity, uint64_t{64} << 20, "1280M", &options.capacity_bytes},
      {"--live_bytes", words.live_bytes, uint64_t{1} << 20, "1G", &options.live_bytes},
      {"--growth_bytes", words.growth_bytes, uint64_t{1} << 20, "4G", &options.growth_bytes},
  };
  for (const SizeText& size : sizes) {
    const auto bytes = ParseBytes(size.text, nullptr);
    if (!bytes || *bytes < size.least || *bytes > uint64_t{1} << 44) {
      return Refuse(size.option, size.text, fmt::format("a size, {} to 16T", FormatBytes(size.least)), size.example);
    }
    *size.target = *bytes;
  }
  char* end = nullptr;
  options.turnovers = std::strtod(words.turnovers.c_str(), &end);
  if (words.turnovers.empty() || *end != '\0' || !(options.turnovers >= 0 && options.turnovers <= 1e6)) {
    return Refuse("--turnovers", words.turnovers, "a number, 0 to 1000000", "50");
  }
  const std::string wrong_count = ParseThreads(words.threads, &options.thread_counts);
  if (!wrong_count.empty() || options.thread_counts.empty()) {
    return Refuse("--threads", words.threads, fmt::format("whole numbers, 1 to {}, with commas", kMostThreads),
                  "1,2,8");
  }
  return {options, kBenchExitOk};
}

}  // namespace

SubjectOptions BenchOptions::PoolOf(uint64_t pool_bytes) const {
  SubjectOptions made;
  made.capacity_bytes = pool_bytes;
  if (const auto named = ParseHugePages(huge_pages)) {
    made.huge_pages = *named;
    return made;
  }
  const uint64_t free_pages =
      std::strtoull(ReadTextFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").c_str(), nullptr, 10);
  const bool fits = free_pages * kHugePageBytes >= pool_bytes;
  made.huge_pages = fits ? HugePages::kRequired : HugePages::kTransparent;
  return made;
}

std::vector<int> DefaultThreadCounts(unsigned cpu_count) {
  const int cpus = static_cast<int>(std::max(1u, cpu_count));
  std::vector<int> counts = {1, 2, cpus, 4 * cpus};
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

ParsedBenchOptions ParseBenchOptions(int argc, char** argv) {
  BenchOptions options;
  Words words;
  CLI::App app;
  MakeApp(&app);
  Describe(&app, &options, &words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return {std::nullopt, app.exit(error)};
    fmt::print(stderr, "pool_bench: {}. Options: pool_bench --help\n", error.what());
    return {std::nullopt, kBenchExitBadInput};
  }
  return Check(app, options, words);
}

}  // namespace hugepool::bench
