// KvOptions: what kv_bench was asked to do, checked.
//
// Units      bytes, seconds
// Threads    a value; no sharing
// Errors     ParseKvOptions prints what is wrong (option, value, what is allowed, an example) and says how to exit
#ifndef HUGEPOOL_BENCH_KV_OPTIONS_H_
#define HUGEPOOL_BENCH_KV_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/workload.h"

namespace hugepool::bench {

inline constexpr int kExitOk = 0;
inline constexpr int kExitRunFailed = 1;
inline constexpr int kExitBadInput = 2;

// What identifies a database. Stated in its marker file; a reuse with other values is refused.
struct DatabaseShape {
  uint64_t record_count = 5'000'000;
  uint64_t value_bytes = 400;
  uint64_t block_bytes = 4096;
  uint64_t seed = 1;
  std::string compression = "none";

  // Upper estimate of what all data blocks take uncompressed: key, value, and the entry's headers.
  uint64_t DataBytesEstimate() const;
  uint64_t BlockCountEstimate() const;
};

enum class CacheType : uint8_t { kLru, kHyperClock };

struct KvOptions {
  std::string db;
  // In place of a database: a trace to play, and what it needs, filled once it is read.
  std::string replay_path;
  uint64_t replay_live_bytes = 0;
  uint64_t replay_live_count = 0;
  std::string record_path;  // where the first hugepool row's allocations go
  DatabaseShape shape;
  // Shape options named on the command line; the others take an existing database's values.
  std::vector<std::string> named_shape_options;

  const Workload* workload = &Workloads().front();
  CacheType cache_type = CacheType::kLru;
  unsigned thread_count = 1;
  std::string cache_text = "all";  // "all", "30%", "2G"
  std::vector<std::string> allocators;
  unsigned round_count = 5;
  double seconds = 3;
  double turnovers = 0;                // of the cache, by uniform reads, before the warm-up
  double warmup_most_seconds = 20;     // until the cache is steady, but no longer
  double rate = 0;                     // operations a second of all threads; 0: as fast as they go
  double write_rate = 10'000;          // updates a second of a paced writer
  std::vector<std::string> peer_dirs;  // where to look for peers' libraries; empty: the usual ones
  std::string json_path;
  std::string csv_path;
  std::string html_path;
  bool print_huge_pages_needed = false;
  std::string command;  // as typed, for the report

  bool is_replay() const { return !replay_path.empty(); }

  // What does not go together now that the database's shape is known, as one sentence; "" when all does.
  std::string Conflict() const;

  // cache_text against the shape. Needs no database.
  uint64_t CacheBytes() const;
  // Blocks that live at once: all of them, or what the cache holds; plus the index. Writing leaves blocks of files that are
  // gone behind, until the cache is full.
  uint64_t LiveBytesEstimate() const;
  // Enough for the live blocks with 5 % for classes and slabs, and 64 MiB for caches and pages kept ahead.
  uint64_t PoolCapacityBytes() const;
};

struct ParsedOptions {
  std::optional<KvOptions> options;  // nothing: leave with exit_code
  int exit_code = kExitOk;
};
ParsedOptions ParseKvOptions(int argc, char** argv);

const char* ToString(CacheType type);
std::optional<CacheType> ParseCacheType(const std::string& text);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_KV_OPTIONS_H_
