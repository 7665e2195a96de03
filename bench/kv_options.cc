#include "bench/kv_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hugepool/pool_options.h>
#include <hugepool/types.h>
#include <hugepool/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "bench/allocator_catalog.h"
#include "bench/record_source.h"

namespace hugepool::bench {
namespace {

constexpr uint64_t kMinCacheBytes = uint64_t{1} << 20;

// One sentence on standard error: option, value, what is allowed, and what to type.
ParsedOptions Refuse(const std::string& option, const std::string& value, const std::string& allowed,
                     const std::string& example) {
  fmt::print(stderr, "kv_bench: {}={}: allowed is {}. For example: {}={}\n", option, value, allowed, option, example);
  return {std::nullopt, kExitBadInput};
}

struct Range {
  const char* option;
  double value;
  double least;
  double most;
  const char* example;
};

// Numbers arrive as text, so that "1e6", "-3" and "abc" get the same kind of answer.
struct NumberText {
  const char* option;
  std::string text;
  uint64_t least;
  uint64_t most;
  const char* example;
  uint64_t* target;
};

std::optional<double> Percent(const std::string& text) {
  if (text.size() < 2 || text.back() != '%') return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() - 1 || !(value > 0) || value > 1000) return std::nullopt;
  return value;
}

std::string Plain(uint64_t value) { return fmt::format("{}", value); }

}  // namespace

uint64_t DatabaseShape::DataBytesEstimate() const {
  // Entry: three lengths, key without its shared prefix, RocksDB's 8-byte trailer, value. Measured 416 B for 16 + 400.
  const uint64_t entry_bytes = kKeyBytes + value_bytes + 8;
  const uint64_t block_overhead = 64;  // restart array, trailer
  return record_count * entry_bytes + BlockCountEstimate() * block_overhead;
}

uint64_t DatabaseShape::BlockCountEstimate() const {
  const uint64_t per_block = std::max<uint64_t>(1, block_bytes * 9 / 10 / (kKeyBytes + value_bytes + 3));
  return record_count / per_block + 1;
}

uint64_t KvOptions::CacheBytes() const {
  if (is_replay()) return replay_live_bytes;
  const uint64_t data_bytes = shape.DataBytesEstimate();
  // Handles are charged to the cache as well (about 150 B a block), and its shards do not fill evenly.
  if (cache_text == "all") return data_bytes * 5 / 4 + shape.BlockCountEstimate() * 256 + (uint64_t{64} << 20);
  if (const auto percent = Percent(cache_text)) {
    return std::max(kMinCacheBytes, static_cast<uint64_t>(static_cast<double>(data_bytes) * *percent / 100));
  }
  return ParseBytes(cache_text, nullptr).value_or(0);
}

uint64_t KvOptions::LiveBytesEstimate() const {
  if (is_replay()) return replay_live_bytes;
  const uint64_t index_bytes = shape.BlockCountEstimate() * 40;
  return (workload->writes() ? CacheBytes() : std::min(shape.DataBytesEstimate(), CacheBytes())) + index_bytes;
}

uint64_t KvOptions::PoolCapacityBytes() const {
  // The sizes of a trace may be all over the place: a class may round them up by an eighth.
  const uint64_t bytes = LiveBytesEstimate() * (is_replay() ? 125 : 105) / 100 + (uint64_t{64} << 20);
  return (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
}

std::string KvOptions::Conflict() const {
  if (turnovers > 0 && CacheBytes() >= shape.DataBytesEstimate()) {
    return fmt::format(
        "--turnovers={}: with --cache_bytes={} all data fits and nothing is evicted. For example: --turnovers={} "
        "--cache_bytes=30%",
        turnovers, cache_text, turnovers);
  }
  if (workload->writes() && shape.value_bytes < kVersionedBytes) {
    return fmt::format(
        "--workload={}: it writes, and values need {} B or more to tell one version from another; the database's have "
        "{}. "
        "For example: --value_bytes=400 and another --db",
        workload->name, kVersionedBytes, shape.value_bytes);
  }
  return "";
}

const char* ToString(CacheType type) { return type == CacheType::kLru ? "lru" : "hyper_clock"; }

std::optional<CacheType> ParseCacheType(const std::string& text) {
  if (text == "lru") return CacheType::kLru;
  if (text == "hyper_clock") return CacheType::kHyperClock;
  return std::nullopt;
}

ParsedOptions ParseKvOptions(int argc, char** argv) {
  KvOptions options;
  std::string records = "5000000", value_bytes = "400", block_bytes = "4096", seed = "1";
  std::string workload = "readrandom", cache_type = "lru", rounds = "5", allocators = "all", peer_dirs;
  std::string threads = Plain(std::max(1u, std::thread::hardware_concurrency()));

  CLI::App app{
      "Works on a RocksDB database through block caches on different allocators: one worker process for each "
      "allocator,\n"
      "exactly one running at a time, round by round in rotating order; every value read is checked. Workloads that\n"
      "write do so on a checkpoint of the database for each worker, which is removed at the end.\n"
      "Exit code: 0 done, 1 a run failed (a wrong value, a worker that died), 2 bad input.",
      "kv_bench"};
  // The last of a repeated option counts, so that a script's defaults can be overruled at its end.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", std::string("kv_bench " HUGEPOOL_VERSION_STRING));
  app.add_option("--db", options.db, "Directory of the database; made on first use")->type_name("DIR");
  app.add_option("--records", records, "Records (16 B keys)")->capture_default_str()->type_name("N");
  app.add_option("--value_bytes", value_bytes, "Size of each value")->capture_default_str()->type_name("BYTES");
  app.add_option("--block_bytes", block_bytes, "RocksDB's block_size")->capture_default_str()->type_name("BYTES");
  app.add_option("--seed", seed, "From which keys, values and reads are made")->capture_default_str()->type_name("N");
  app.add_option("--compression", options.shape.compression, "none, lz4, snappy, zlib or zstd")->capture_default_str();
  std::string workloads = "What the clients do:";
  for (const Workload& one : Workloads()) workloads += "\n" + one.name + ": " + one.description;
  app.add_option("--workload", workload, workloads)->capture_default_str();
  app.add_option("--threads", threads, "Threads of clients")->capture_default_str()->type_name("N");
  app.add_option("--cache_bytes", options.cache_text, "Block cache: a size (2G), a share of the data (30%), or all")
      ->capture_default_str();
  app.add_option("--cache_type", cache_type, "lru or hyper_clock")->capture_default_str();
  app.add_option("--allocators", allocators, "all, or a list with commas: " + AllocatorNames())->capture_default_str();
  app.add_option("--rounds", rounds, "Rounds of each allocator")->capture_default_str()->type_name("N");
  app.add_option("--seconds", options.seconds, "Length of one round")->capture_default_str();
  app.add_option("--turnovers", options.turnovers,
                 "Turn the cache over so many times by uniform reads before the warm-up")
      ->capture_default_str();
  app.add_option("--warmup_most_seconds", options.warmup_most_seconds,
                 "The warm-up ends when speed, hits and cached bytes are steady, or after so long; 0: none")
      ->capture_default_str();
  app.add_option("--rate", options.rate,
                 "Open loop: operations a second of all threads, at moments drawn beforehand; latency counts from the\n"
                 "moment at which an operation was due. 0: as fast as they go")
      ->capture_default_str();
  app.add_option("--write_rate", options.write_rate, "Updates a second of the writer of readwhilewriting")
      ->capture_default_str();
  app.add_option("--record_sizes", options.record_path,
                 "Record the block cache's allocations of the first hugepool row into this file; costs that row speed")
      ->type_name("FILE");
  app.add_option(
         "--replay_sizes", options.replay_path,
         "Play a recorded file (of --record_sizes, or of an engine of yours: the allocator's option record_sizes)\n"
         "on every allocator, in place of a database")
      ->type_name("FILE");
  app.add_option("--peer_dirs", peer_dirs, "Where the peers' libraries lie (with ':'), in place of the system's");
  app.add_option("--json", options.json_path, "Write all results to this file")->type_name("FILE");
  app.add_option("--csv", options.csv_path, "Write one line for each round of each allocator to this file")
      ->type_name("FILE");
  app.add_option("--html", options.html_path, "Write a page with charts to this file")->type_name("FILE");
  app.add_flag("--huge_pages_needed", options.print_huge_pages_needed,
               "Print how many free 2 MiB huge pages one hugepool-hugetlb worker needs with these options, and leave");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;
    if (asked) return {std::nullopt, app.exit(error)};
    fmt::print(stderr, "kv_bench: {}. Options: kv_bench --help\n", error.what());
    return {std::nullopt, kExitBadInput};
  }

  if (options.db.empty() == options.replay_path.empty()) {
    fmt::print(
        stderr, "kv_bench: {}. For example: --db=build/db\n",
        options.db.empty() ? "neither --db nor --replay_sizes is given" : "--db and --replay_sizes exclude each other");
    return {std::nullopt, kExitBadInput};
  }

  uint64_t thread_count = 0, round_count = 0;
  const NumberText numbers[] = {
      {"--records", records, 1, uint64_t{1} << 32, "5000000", &options.shape.record_count},
      {"--value_bytes", value_bytes, 1, uint64_t{1} << 20, "400", &options.shape.value_bytes},
      {"--block_bytes", block_bytes, 1024, uint64_t{1} << 24, "4096", &options.shape.block_bytes},
      {"--seed", seed, 0, UINT64_MAX, "1", &options.shape.seed},
      {"--threads", threads, 1, 1024, "2", &thread_count},
      {"--rounds", rounds, 1, 10000, "5", &round_count},
  };
  for (const NumberText& number : numbers) {
    const auto value = ParseBytes(number.text, nullptr);
    if (!value || *value < number.least || *value > number.most) {
      return Refuse(number.option, number.text, fmt::format("a whole number, {} to {}", number.least, number.most),
                    number.example);
    }
    *number.target = *value;
    if (app.count(number.option) > 0) options.named_shape_options.push_back(number.option);
  }
  options.thread_count = static_cast<unsigned>(thread_count);
  options.round_count = static_cast<unsigned>(round_count);
  const Range ranges[] = {
      {"--seconds", options.seconds, 0.05, 86400, "3"},
      {"--warmup_most_seconds", options.warmup_most_seconds, 0, 86400, "20"},
      {"--turnovers", options.turnovers, 0, 1000, "5"},
      {"--rate", options.rate, 0, 1e8, "100000"},
      {"--write_rate", options.write_rate, 1, 1e8, "10000"},
  };
  for (const Range& range : ranges) {
    if (!(range.value >= range.least && range.value <= range.most)) {
      return Refuse(range.option, fmt::format("{}", range.value),
                    fmt::format("a number, {} to {}", range.least, range.most), range.example);
    }
  }

  const std::set<std::string> compressions = {"none", "lz4", "snappy", "zlib", "zstd"};
  if (compressions.count(options.shape.compression) == 0) {
    return Refuse("--compression", options.shape.compression, fmt::format("one of {}", fmt::join(compressions, ", ")),
                  "none");
  }
  if (app.count("--compression") > 0) options.named_shape_options.push_back("--compression");
  options.workload = FindWorkload(workload);
  if (options.workload == nullptr) return Refuse("--workload", workload, "one of " + WorkloadNames(), "readrandom");
  const auto parsed_type = ParseCacheType(cache_type);
  if (!parsed_type) return Refuse("--cache_type", cache_type, "lru or hyper_clock", "lru");
  options.cache_type = *parsed_type;
  const bool cache_is_relative = options.cache_text == "all" || Percent(options.cache_text);
  if (!cache_is_relative && ParseBytes(options.cache_text, nullptr).value_or(0) < kMinCacheBytes) {
    return Refuse("--cache_bytes", options.cache_text, "a size from 1M on, a share of the data such as 30%, or all",
                  "all");
  }
  for (const std::string& name : CLI::detail::split(allocators, ',')) {
    if (name == "all") {
      for (const AllocatorRow& row : AllocatorCatalog()) options.allocators.push_back(row.name);
    } else if (FindAllocator(name) != nullptr) {
      options.allocators.push_back(name);
    } else {
      return Refuse("--allocators", name, "all, or some of " + AllocatorNames(), "malloc,jemalloc,hugepool-thp");
    }
  }
  // Each once; the baseline first.
  std::vector<std::string> each_once;
  for (const std::string& name : options.allocators) {
    if (std::find(each_once.begin(), each_once.end(), name) == each_once.end()) each_once.push_back(name);
  }
  std::stable_partition(each_once.begin(), each_once.end(), [](const std::string& name) { return name == kBaseline; });
  options.allocators = each_once;
  const auto is_hugepool = [](const std::string& name) { return FindAllocator(name)->is_hugepool(); };
  if (!options.record_path.empty() && std::none_of(each_once.begin(), each_once.end(), is_hugepool)) {
    return Refuse("--allocators", allocators, "with --record_sizes a list with a row of hugepool in it",
                  "hugepool-small");
  }
  if (app.count("--peer_dirs") > 0) options.peer_dirs = CLI::detail::split(peer_dirs, ':');
  for (int i = 0; i < argc; ++i) options.command += (i == 0 ? "" : " ") + std::string(argv[i]);
  return {options, kExitOk};
}

}  // namespace hugepool::bench
