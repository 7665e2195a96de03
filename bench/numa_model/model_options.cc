#include "bench/numa_model/model_options.h"

#include <fmt/format.h>
#include <hugepool/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

namespace hugepool::bench {
namespace {

constexpr size_t kMostCpus = 2048;

ParsedModelOptions Refuse(const std::string& option, const std::string& value, const std::string& allowed,
                          const std::string& example) {
  fmt::print(stderr, "numa_model: {}={}: allowed is {}. For example: {}={}\n", option, value, allowed, option, example);
  return {std::nullopt, kModelExitBadInput};
}

// What the command line says, still as text.
struct Words {
  std::string nodes = "2,4,8", cpus_per_node = "64", l3_cpus = "8", rates = "500k,2M", hit_ratio = "0.9",
              remote_share = "shared", object_bytes = "4K", cache_bytes = "2M",
              designs = "depot_per_node,depot_per_group,unbatched,one_lock", misses = "1000", seed = "1";
  std::array<std::string, kCostFields.size()> costs;
};

// A number, or one with K, M or G behind it: powers of `step`. Not a number: NaN.
double ReadNumber(const std::string& text, double step) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return NAN;
  const std::string unit = end;
  if (unit.empty()) return number;
  if (unit == "k" || unit == "K") return number * step;
  if (unit == "M") return number * step * step;
  if (unit == "G") return number * step * step * step;
  return NAN;
}

struct Number {
  const char* option;
  const std::string& text;
  double least;
  double most;
  bool whole;
  double step;  // of K, M and G
  const char* allowed;
  const char* example;
};

bool Read(const Number& number, double* value) {
  *value = ReadNumber(number.text, number.step);
  // False for NaN.
  return *value >= number.least && *value <= number.most && (!number.whole || *value == std::floor(*value));
}

void Describe(CLI::App* app, ModelOptions* options, Words* words) {
  app->name("numa_model");
  app->description(
      "A model, not a measurement: simulates the pool's per-CPU caches, depots and slabs on machines of several nodes\n"
      "under the load of a block cache, and prints what the depots' locks and the lines between nodes cost. The costs\n"
      "of the steps are inputs; --measure measures those that this machine can show, with the pool's own code.\n"
      "The same options give the same table. Exit code: 0 done, 1 the model lost or doubled a block, 2 bad input.");
  app->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app->set_version_flag("--version", std::string("numa_model " HUGEPOOL_VERSION_STRING));
  app->add_flag("--measure", options->measure, "Measure the costs of this machine, print them as options, and end");
  const auto add = [&](const char* name, std::string* text, const char* unit, const char* meaning) {
    app->add_option(name, *text, meaning)->capture_default_str()->type_name(unit);
  };
  add("--nodes", &words->nodes, "N,N,...", "Machines, by their nodes");
  add("--cpus_per_node", &words->cpus_per_node, "N", "CPUs of a node");
  add("--l3_cpus", &words->l3_cpus, "N", "CPUs that share an L3 cache");
  add("--rate", &words->rates, "N,N,...", "Lookups a second of each CPU");
  add("--hit_ratio", &words->hit_ratio, "SHARE", "Lookups that find their block");
  add("--remote_share", &words->remote_share, "SHARE",
      "Evicted blocks whose home is another node; shared: one cache for all nodes, so (nodes - 1) / nodes");
  add("--object_bytes", &words->object_bytes, "BYTES", "Size of a block");
  add("--cache_bytes", &words->cache_bytes, "BYTES", "The pool's cache_bytes_per_cpu");
  add("--designs", &words->designs, "NAME,NAME,...",
      "depot_per_group: the pool, a depot for each L3 cache; depot_per_node: the pool where no CPU says with whom it "
      "shares one; unbatched: a block of another node goes home at once; one_lock: one lock for all depots of the "
      "machine");
  add("--misses", &words->misses, "N",
      "Misses of each CPU that are counted, if it never waited; before them every outbox was full twice");
  add("--seed", &words->seed, "N", "Of the random numbers");
  add("--json", &options->json_path, "FILE", "Write all figures to this file");
  for (size_t i = 0; i < kCostFields.size(); ++i) {
    words->costs[i] = fmt::format("{}", options->costs.*kCostFields[i].value);
    app->add_option(fmt::format("--{}", kCostFields[i].name), words->costs[i],
                    fmt::format("{} ({})", kCostFields[i].meaning, kCostFields[i].measured ? "measured" : "assumed"))
        ->capture_default_str()
        ->type_name("N");
  }
}

std::optional<Design> DesignOf(const std::string& name, const Load& load) {
  if (name == "depot_per_node") return Design{.depot_cpus = load.cpus_per_node};
  if (name == "depot_per_group") return Design{.depot_cpus = load.l3_cpus};
  if (name == "unbatched") return Design{.depot_cpus = load.cpus_per_node, .batched = false};
  if (name == "one_lock") return Design{.depot_cpus = load.cpus_per_node, .one_lock = true};
  return std::nullopt;
}

ParsedModelOptions CheckCosts(const Words& words, ModelOptions options) {
  for (size_t i = 0; i < kCostFields.size(); ++i) {
    const CostField& field = kCostFields[i];
    const Number number{field.name, words.costs[i], field.least, field.most, false, 1000, "", ""};
    if (!Read(number, &(options.costs.*field.value))) {
      return Refuse(fmt::format("--{}", field.name), words.costs[i],
                    fmt::format("a number, {} to {}", field.least, field.most),
                    fmt::format("{}", Costs().*field.value));
    }
  }
  return {options};
}

ParsedModelOptions Check(ModelOptions options, const Words& words) {
  double cpus, l3_cpus, object_bytes, cache_bytes, misses, seed;
  const std::pair<Number, double*> numbers[] = {
      {{"--cpus_per_node", words.cpus_per_node, 1, 1024, true, 1000, "a whole number, 1 to 1024", "64"}, &cpus},
      {{"--l3_cpus", words.l3_cpus, 1, 1024, true, 1000, "a whole number, 1 to 1024", "8"}, &l3_cpus},
      {{"--hit_ratio", words.hit_ratio, 0, 0.9999, false, 1000, "a number, 0 to 0.9999", "0.95"},
       &options.load.hit_ratio},
      {{"--object_bytes", words.object_bytes, 16, 262144, true, 1024, "a size, 16 to 256K", "4K"}, &object_bytes},
      {{"--cache_bytes", words.cache_bytes, 65536, 1 << 30, true, 1024, "a size, 64K to 1G", "2M"}, &cache_bytes},
      {{"--misses", words.misses, 100, 1e6, true, 1000, "a whole number, 100 to 1000000", "1000"}, &misses},
      {{"--seed", words.seed, 0, 4294967295, true, 1000, "a whole number, 0 to 4294967295", "1"}, &seed},
  };
  for (const auto& [number, value] : numbers) {
    if (!Read(number, value)) return Refuse(number.option, number.text, number.allowed, number.example);
  }
  options.load.cpus_per_node = static_cast<size_t>(cpus);
  options.load.l3_cpus = static_cast<size_t>(l3_cpus);
  options.load.object_bytes = static_cast<size_t>(object_bytes);
  options.load.cache_bytes = static_cast<size_t>(cache_bytes);
  options.load.misses_per_cpu = static_cast<size_t>(misses);
  options.load.seed = static_cast<uint64_t>(seed);
  if (options.load.cpus_per_node % options.load.l3_cpus != 0) {
    return Refuse("--l3_cpus", words.l3_cpus, fmt::format("a divisor of --cpus_per_node={}", words.cpus_per_node), "1");
  }
  if (options.load.cache_bytes < options.load.object_bytes) {
    return Refuse("--cache_bytes", words.cache_bytes,
                  fmt::format("a size that holds a block of --object_bytes={}", words.object_bytes), "2M");
  }

  for (const std::string& word : CLI::detail::split(words.nodes, ',')) {
    const size_t most = std::min<size_t>(64, kMostCpus / options.load.cpus_per_node);
    double nodes;
    if (!Read({"--nodes", word, 1, static_cast<double>(most), true, 1000, "", ""}, &nodes)) {
      return Refuse(
          "--nodes", word,
          fmt::format("whole numbers, 1 to 64, with commas, with --cpus_per_node={} 1 to {} ({} CPUs at most)",
                      options.load.cpus_per_node, most, kMostCpus),
          "2,4,8");
    }
    options.node_counts.push_back(static_cast<size_t>(nodes));
  }
  for (const std::string& word : CLI::detail::split(words.rates, ',')) {
    double rate;
    if (!Read({"--rate", word, 1, 1e9, false, 1000, "", ""}, &rate)) {
      return Refuse("--rate", word, "numbers, 1 to 1G, with commas", "500k,2M");
    }
    options.lookup_rates.push_back(rate);
  }
  options.shared_cache = words.remote_share == "shared";
  if (!options.shared_cache &&
      !Read({"--remote_share", words.remote_share, 0, 1, false, 1000, "", ""}, &options.load.remote_share)) {
    return Refuse("--remote_share", words.remote_share, "shared, or a number, 0 to 1", "0.05");
  }
  for (const std::string& name : CLI::detail::split(words.designs, ',')) {
    const std::optional<Design> design = DesignOf(name, options.load);
    if (!design) {
      return Refuse("--designs", name, "depot_per_node, depot_per_group, unbatched and one_lock, with commas",
                    "depot_per_node,unbatched");
    }
    options.designs.push_back({name, *design});
  }
  return CheckCosts(words, std::move(options));
}

}  // namespace

Load ModelOptions::LoadOf(size_t node_count, double lookup_rate) const {
  Load one = load;
  one.node_count = node_count;
  one.lookups_per_second = lookup_rate;
  const double nodes = static_cast<double>(node_count);
  if (shared_cache) one.remote_share = (nodes - 1) / nodes;
  return one;
}

ParsedModelOptions ParseModelOptions(int argc, char** argv) {
  ModelOptions options;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    options.command += (i == 0 ? "" : " ") + (i == 0 ? word.substr(word.rfind('/') + 1) : word);
  }
  Words words;
  CLI::App app;
  Describe(&app, &options, &words);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return {std::nullopt, app.exit(error)};
    fmt::print(stderr, "numa_model: {}. Options: numa_model --help\n", error.what());
    return {std::nullopt, kModelExitBadInput};
  }
  return Check(std::move(options), words);
}

}  // namespace hugepool::bench
