#include "bench/compare_options.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>
#include <hugepool/version.h>
#include <regex.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>

#include "bench/kv_options.h"

namespace hugepool::bench {
namespace {

ParsedCompareOptions Refuse(const std::string& option, const std::string& value, const std::string& allowed,
                            const std::string& example) {
  fmt::print(stderr, "bench_compare: {}={}: allowed is {}. For example: {}={}\n", option, value, allowed, option,
             example);
  return {std::nullopt, kExitBadInput};
}

// What the command line says, still as text.
struct Words {
  std::string rows = "default", rounds = "5", long_rounds = "3", min_time = "0.3", timeout = "600", peer_dirs;
  // Passed to pool_bench as they are: it knows what is allowed.
  std::array<std::string, 5> passed;
};
constexpr std::array<const char*, 5> kPassed = {"--capacity", "--live_bytes", "--growth_bytes", "--turnovers",
                                                "--threads"};

// Beside this program.
std::string DefaultPoolBench() {
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "pool_bench").string();
}

void Describe(CLI::App* app, CompareOptions* options, Words* words) {
  app->description(
      "Runs pool_bench for every allocator, one process for each row, benchmark and round, in rotating order, and\n"
      "prints medians, spreads and ratios (medians of the ratios inside each round). bench/compare builds all that\n"
      "it needs and then starts it.\n"
      "Exit code: 0 done, 1 a run failed, 2 bad input.");
  app->name("bench_compare");
  app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app->set_version_flag("--version", std::string("bench_compare " HUGEPOOL_VERSION_STRING));
  app->add_option("--rows", words->rows, "default, all, or a list with commas: " + CompareRowNames())
      ->capture_default_str();
  app->add_option("--filter", options->filter, "Regular expression of the benchmarks, such as ^pair/4160")
      ->capture_default_str()
      ->type_name("REGEX");
  app->add_option("--rounds", words->rounds, "Rounds of each row")->capture_default_str()->type_name("N");
  app->add_option("--long_rounds", words->long_rounds,
                  "The same of growth and footprint, which are long and sway little")
      ->capture_default_str()
      ->type_name("N");
  app->add_option("--min_time", words->min_time, "Seconds that a benchmark measures at least in each round")
      ->capture_default_str()
      ->type_name("SECONDS");
  app->add_option("--timeout", words->timeout, "Seconds after which a process is ended, and its row failed")
      ->capture_default_str()
      ->type_name("SECONDS");
  app->add_option("--capacity", words->passed[0], "These five go to pool_bench: see its --help")->type_name("BYTES");
  app->add_option("--live_bytes", words->passed[1], "")->type_name("BYTES");
  app->add_option("--growth_bytes", words->passed[2], "")->type_name("BYTES");
  app->add_option("--turnovers", words->passed[3], "")->type_name("N");
  app->add_option("--threads", words->passed[4], "")->type_name("N,N,...");
  app->add_option("--pool_bench", options->pool_bench, "The program that measures")
      ->capture_default_str()
      ->type_name("FILE");
  app->add_option("--peer_dirs", words->peer_dirs,
                  "Where the peers' libraries lie (with ':'), in place of the system's");
  app->add_option("--json", options->json_path, "Write all results to this file")->type_name("FILE");
  app->add_option("--html", options->html_path, "Write a page with charts to this file")->type_name("FILE");
  app->add_option("--svg", options->svg_path, "Write the charts as one picture to this file")->type_name("FILE");
}

std::string FilterProblem(const std::string& filter) {
  regex_t compiled;
  const int code = regcomp(&compiled, filter.c_str(), REG_EXTENDED | REG_NOSUB);
  if (code == 0) {
    regfree(&compiled);
    return "";
  }
  char text[128];
  regerror(code, &compiled, text, sizeof text);
  return text;
}

// Each row once, in the order of the catalog. The name that is none, or "".
std::string ParseRows(const std::string& text, std::vector<const CompareRow*>* rows) {
  std::vector<std::string> names = CLI::detail::split(text, ',');
  for (const std::string& name : names) {
    if (name != "default" && name != "all" && FindCompareRow(name) == nullptr) return name.empty() ? "(nothing)" : name;
  }
  const auto named = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const CompareRow& row : CompareRows()) {
    if (named(row.name) || named("all") || (named("default") && row.by_default)) rows->push_back(&row);
  }
  return "";
}

struct Number {
  const char* option;
  const std::string& text;
  double least;
  double most;
  bool whole;
  const char* example;
  double value = 0;
};

bool Read(Number* number) {
  char* end = nullptr;
  number->value = std::strtod(number->text.c_str(), &end);
  const bool is_number = !number->text.empty() && *end == '\0';
  const bool in_range = number->value >= number->least && number->value <= number->most;  // false for nan
  return is_number && in_range && (!number->whole || number->value == static_cast<unsigned>(number->value));
}

ParsedCompareOptions Check(const CLI::App& app, CompareOptions options, const Words& words) {
  Number numbers[] = {{"--rounds", words.rounds, 1, 1000, true, "5"},
                      {"--long_rounds", words.long_rounds, 1, 1000, true, "3"},
                      {"--min_time", words.min_time, 0.001, 3600, false, "0.3"},
                      {"--timeout", words.timeout, 1, 86400, false, "600"}};
  for (Number& number : numbers) {
    if (Read(&number)) continue;
    return Refuse(number.option, number.text,
                  fmt::format("a {}number, {} to {}", number.whole ? "whole " : "", number.least, number.most),
                  number.example);
  }
  options.round_count = static_cast<unsigned>(numbers[0].value);
  options.long_round_count = static_cast<unsigned>(numbers[1].value);
  options.min_time_seconds = numbers[2].value;
  options.timeout_seconds = numbers[3].value;

  const std::string wrong_row = ParseRows(words.rows, &options.rows);
  if (!wrong_row.empty()) {
    return Refuse("--rows", wrong_row, "default, all, or some of " + CompareRowNames(),
                  "malloc,jemalloc,hugepool-pool");
  }
  const std::string problem = FilterProblem(options.filter);
  if (!problem.empty()) {
    return Refuse("--filter", options.filter, fmt::format("an extended regular expression ({})", problem), "^pair/");
  }
  if (access(options.pool_bench.c_str(), X_OK) != 0) {
    return Refuse("--pool_bench", options.pool_bench, "the path of a program; bench/compare builds it",
                  "build/release/pool_bench");
  }
  for (size_t i = 0; i < kPassed.size(); ++i) {
    if (app.count(kPassed[i]) > 0) options.pass_along.push_back(std::string(kPassed[i]) + "=" + words.passed[i]);
  }
  if (app.count("--peer_dirs") > 0) options.peer_dirs = CLI::detail::split(words.peer_dirs, ':');
  return {options, kExitOk};
}

}  // namespace

unsigned CompareOptions::RoundsOf(const std::string& benchmark) const {
  const bool is_long = benchmark.starts_with("growth/") || benchmark.starts_with("footprint/");
  return is_long ? long_round_count : round_count;
}

ParsedCompareOptions ParseCompareOptions(int argc, char** argv) {
  CompareOptions options;
  options.pool_bench = DefaultPoolBench();
  for (int i = 0; i < argc; ++i) options.command += (i == 0 ? "" : " ") + std::string(argv[i]);
  Words words;
  CLI::App app;
  Describe(&app, &options, &words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return {std::nullopt, app.exit(error)};
    fmt::print(stderr, "bench_compare: {}. Options: bench_compare --help\n", error.what());
    return {std::nullopt, kExitBadInput};
  }
  return Check(app, options, words);
}

}  // namespace hugepool::bench
