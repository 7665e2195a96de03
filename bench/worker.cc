#include "bench/worker.h"

#include <fmt/format.h>
#include <hugepool/pool.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/allocator_catalog.h"
#include "bench/clients.h"
#include "bench/collapse.h"
#include "bench/counting_allocator.h"
#include "bench/database.h"
#include "bench/kv_options.h"
#include "bench/process_memory.h"
#include "bench/record_source.h"
#include "bench/size_trace.h"
#include "bench/warm_up.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// A predecessor that was just ended gives its huge pages back after a moment.
constexpr uint32_t kWaitForHugePagesSeconds = 5;
constexpr unsigned kWarmUpRound = 1'000'000;  // from here on rounds choose what no measured one does

json ToJson(const PageKinds& pages) {
  return {{"hugetlb_bytes", pages.hugetlb_bytes},
          {"transparent_bytes", pages.transparent_bytes},
          {"small_bytes", pages.small_bytes}};
}

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Worker {
 public:
  // Each answers its command; "failed" and "skipped" end the worker.
  json Fill(const json& command);
  json Replay(const json& command);
  json Round(const json& command);

 private:
  // Nothing when the row's library is loaded and its allocator made; else the reply.
  std::optional<json> Prepare(const json& command);
  bool MakeAllocator(const json& command, Error* error);
  void TakeBaseline();
  json PlayRound(double seconds);
  std::string Open(const json& command);
  void Churn(double turnovers, uint64_t cache_bytes);
  RoundResult Operate(unsigned round, double seconds, const std::function<void()>& tick,
                      const std::function<void()>& tail);
  json WarmUpFor(double most_seconds);
  json ReplyOf(const RoundResult& result, const json& memory) const;
  std::shared_ptr<::rocksdb::Cache> MakeCache(const json& command) const;
  void Collapse();
  void Sample();
  json Memory();
  uint64_t ProcessBytes() const;
  json Failed(const std::string& reason) const { return {{"event", "failed"}, {"reason", reason}}; }

  const AllocatorRow* row_ = nullptr;
  std::shared_ptr<Pool> pool_;  // of hugepool rows
  std::shared_ptr<CountingAllocator> allocator_;
  std::shared_ptr<::rocksdb::Cache> cache_;
  std::unique_ptr<RecordSource> source_;
  std::unique_ptr<::rocksdb::DB> db_;
  std::unique_ptr<Clients> clients_;
  bool writes_ = false;
  std::optional<SizeTrace> trace_;  // in place of the five above
  std::unique_ptr<SizePlayer> player_;

  // Before the cache filled; footprints are what came on top.
  uint64_t baseline_process_bytes_ = 0;
  uint64_t baseline_table_bytes_ = 0;
  uint64_t baseline_payload_bytes_ = 0;

  double running_seconds_ = 0;  // sum of the rounds so far
  Clock::time_point round_start_;
  json samples_ = json::array();
};

// False, and *error filled, where the machine lacks what the row's pool needs.
bool Worker::MakeAllocator(const json& command, Error* error) {
  std::shared_ptr<::rocksdb::MemoryAllocator> inner = NewMallocAllocator();
  if (row_->is_hugepool()) {
    rocksdb::AllocatorOptions options;  // as a user of RocksDB has them
    options.capacity_bytes = command.at("pool_bytes");
    options.huge_pages = *row_->pool;
    options.wait_for_huge_pages_seconds = kWaitForHugePagesSeconds;
    options.name = row_->name;
    options.record_sizes = command.value("record_sizes", "");
    inner = rocksdb::NewMemoryAllocator(options, error);
    if (inner == nullptr) return false;
    pool_ = rocksdb::PoolOf(*inner);
  }
  allocator_ = std::make_shared<CountingAllocator>(std::move(inner), command.at("block_count").get<size_t>());
  return true;
}

std::shared_ptr<::rocksdb::Cache> Worker::MakeCache(const json& command) const {
  const size_t cache_bytes = command.at("cache_bytes");
  if (ParseCacheType(command.at("cache_type")) == CacheType::kHyperClock) {
    ::rocksdb::HyperClockCacheOptions options(cache_bytes, command.at("block_bytes").get<size_t>());
    options.memory_allocator = allocator_;
    return options.MakeSharedCache();
  }
  ::rocksdb::LRUCacheOptions options;
  options.capacity = cache_bytes;
  options.memory_allocator = allocator_;
  return ::rocksdb::NewLRUCache(options);
}

std::optional<json> Worker::Prepare(const json& command) {
  row_ = FindAllocator(command.at("allocator"));
  if (row_ == nullptr) return Failed("unknown allocator");
  const std::string loaded = LoadedMalloc();
  const bool loaded_as_asked = row_->library.empty()
                                   ? loaded.find("/libc") != std::string::npos
                                   : loaded.find(row_->library.substr(0, row_->library.find('.'))) != std::string::npos;
  if (!loaded_as_asked) {
    return Failed(fmt::format("asked for {}, but maps show {}", row_->Settings(), loaded));
  }
  Error error;
  if (MakeAllocator(command, &error)) return std::nullopt;
  return json{{"event", "skipped"}, {"reason", error.ToString()}};
}

void Worker::TakeBaseline() {
  baseline_process_bytes_ = ReadFootprintBytes();
  baseline_table_bytes_ = allocator_->table().table_bytes();
  baseline_payload_bytes_ = allocator_->table().payload_bytes();
}

// In place of a database: one pass over the trace, so that the pool has learned its sizes and memory is there.
json Worker::Replay(const json& command) {
  if (std::optional<json> reply = Prepare(command)) return *reply;
  std::string problem;
  trace_ = ReadSizeTrace(command.at("trace"), &problem);
  if (!trace_) return Failed(problem);
  player_ = std::make_unique<SizePlayer>(*trace_, allocator_.get());
  TakeBaseline();
  const auto start = Clock::now();
  problem = player_->Play();
  if (!problem.empty()) return Failed(problem);
  const double fill_seconds = SecondsSince(start);
  player_->FreeRest();
  problem = player_->PlayToPeak();
  if (!problem.empty()) return Failed(problem);
  if (row_->collapse) Collapse();
  const json memory = Memory();
  player_->FreeRest();
  return {{"event", "filled"},
          {"loaded", LoadedMalloc()},
          {"fill_seconds", fill_seconds},
          {"warm_up", {{"seconds", 0}, {"is_steady", true}}},
          {"memory", memory}};
}

json Worker::PlayRound(double seconds) {
  samples_ = json::array();
  round_start_ = Clock::now();
  player_->TakeLatency();
  const uint64_t verified_before = player_->verified_count();
  double play_seconds = 0;
  uint64_t pass_count = 0;
  std::string problem;
  for (; play_seconds < seconds && problem.empty(); ++pass_count) {
    const auto start = Clock::now();
    problem = player_->Play();
    play_seconds += SecondsSince(start);
    player_->FreeRest();
  }
  RoundResult result;
  result.latency = player_->TakeLatency();
  // Memory where the trace has most live, in a pass of its own: looking takes time.
  if (problem.empty()) problem = player_->PlayToPeak();
  if (!problem.empty()) return Failed(problem);
  Sample();
  const json memory = Memory();
  player_->FreeRest();
  running_seconds_ += SecondsSince(round_start_);
  const uint64_t operation_count = pass_count * trace_->events.size();
  result.operation_count = operation_count;
  result.verified_count = player_->verified_count() - verified_before;
  result.operations_per_second = static_cast<double>(operation_count) / std::max(play_seconds, 1e-9);
  return ReplyOf(result, memory);
}

json Worker::Fill(const json& command) {
  if (std::optional<json> reply = Prepare(command)) return *reply;
  cache_ = MakeCache(command);
  const std::string problem = Open(command);
  if (!problem.empty()) return Failed(problem);
  TakeBaseline();
  const auto start = Clock::now();
  clients_->Fill(command.at("stride"));
  const double fill_seconds = SecondsSince(start);
  Churn(command.at("turnovers"), command.at("cache_bytes"));
  const json warm_up = WarmUpFor(command.at("warmup_most_seconds"));
  if (!clients_->Problem().empty()) return Failed(clients_->Problem());
  if (row_->collapse) Collapse();
  return {{"event", "filled"},
          {"loaded", LoadedMalloc()},
          {"fill_seconds", fill_seconds},
          {"warm_up", warm_up},
          {"memory", Memory()}};
}

// "" when the clients stand ready.
std::string Worker::Open(const json& command) {
  const DatabaseShape shape = {.record_count = command.at("records"),
                               .value_bytes = command.at("value_bytes"),
                               .block_bytes = command.at("block_bytes"),
                               .seed = command.at("seed"),
                               .compression = command.at("compression")};
  const Workload* workload = FindWorkload(command.at("workload"));
  if (workload == nullptr) return "unknown workload";
  writes_ = workload->writes();
  std::string problem;
  db_ = OpenDatabase(command.at("db"), shape, writes_ ? Access::kWrite : Access::kRead, cache_, &problem);
  if (db_ == nullptr) return problem;
  source_ = std::make_unique<RecordSource>(shape.seed, shape.value_bytes, shape.record_count);
  clients_ = std::make_unique<Clients>(db_.get(), source_.get(),
                                       ClientLoad{.workload = workload,
                                                  .thread_count = command.at("threads"),
                                                  .seed = shape.seed,
                                                  .rate = command.at("rate"),
                                                  .write_rate = command.at("write_rate")});
  return "";
}

void Worker::Churn(double turnovers, uint64_t cache_bytes) {
  if (turnovers <= 0) return;
  const BlockTable& table = allocator_->table();
  const double enough_bytes =
      static_cast<double>(table.inserted_bytes()) + turnovers * static_cast<double>(cache_bytes);
  clients_->Churn([&] { return static_cast<double>(table.inserted_bytes()) >= enough_bytes; });
}

// Flushes and compactions run within the rounds only: between them it is another worker's turn.
RoundResult Worker::Operate(unsigned round, double seconds, const std::function<void()>& tick,
                            const std::function<void()>& tail) {
  if (writes_) db_->ContinueBackgroundWork().PermitUncheckedError();
  RoundResult result = clients_->Round(round, seconds, tick, tail);
  if (writes_) db_->PauseBackgroundWork().PermitUncheckedError();
  return result;
}

json Worker::WarmUpFor(double most_seconds) {
  WarmUp warm_up;
  bool is_steady = false;
  double seconds = 0;
  for (unsigned slice = 0; !is_steady && seconds + WarmUp::kSliceSeconds <= most_seconds; ++slice) {
    const RoundResult result = Operate(
        kWarmUpRound + slice, WarmUp::kSliceSeconds, [] {}, [] {});
    seconds += WarmUp::kSliceSeconds;
    if (!clients_->Problem().empty()) break;
    const double lookups = static_cast<double>(result.hit_count + result.miss_count);
    is_steady = warm_up.Add({.operations_per_second = result.operations_per_second,
                             .hit_ratio = static_cast<double>(result.hit_count) / std::max(1.0, lookups),
                             .payload_bytes = static_cast<double>(allocator_->table().payload_bytes())});
  }
  return {{"seconds", seconds}, {"is_steady", is_steady}};
}

// Huge pages under every mapping that holds a cached block.
void Worker::Collapse() {
  std::vector<Mapping> mappings = ReadMappings();
  allocator_->table().ForEachBlock([&](uintptr_t address) {
    if (Mapping* mapping = Find(&mappings, address)) mapping->holds_block = true;
  });
  CollapseMarked(mappings);
}

uint64_t Worker::ProcessBytes() const {
  const uint64_t table_growth_bytes = allocator_->table().table_bytes() - baseline_table_bytes_;
  const uint64_t now_bytes = ReadFootprintBytes();
  return now_bytes - std::min(now_bytes, baseline_process_bytes_ + table_growth_bytes);
}

void Worker::Sample() {
  json sample = {{"seconds", running_seconds_ + SecondsSince(round_start_)},
                 {"process_bytes", ProcessBytes()},
                 {"payload_bytes", allocator_->table().payload_bytes()}};
  if (pool_ != nullptr) sample["pool_bytes"] = pool_->Stats().FootprintBytes();
  samples_.push_back(std::move(sample));
}

json Worker::Memory() {
  const BlockTable& table = allocator_->table();
  json memory = {
      {"payload_bytes", table.payload_bytes()},
      {"filled_payload_bytes", table.payload_bytes() - std::min(table.payload_bytes(), baseline_payload_bytes_)},
      {"block_count", table.block_count()},
      {"process_bytes", ProcessBytes()},
      {"cache_usage_bytes", cache_ == nullptr ? 0 : cache_->GetUsage()}};
  std::vector<Mapping> mappings = ReadMappings();
  table.ForEachBlock([&](uintptr_t address) {
    if (Mapping* mapping = Find(&mappings, address)) mapping->holds_block = true;
  });
  PageKinds behind_blocks;
  for (const Mapping& mapping : mappings) {
    if (mapping.holds_block) behind_blocks.Add(mapping.pages);
  }
  memory["pages_behind_blocks"] = ToJson(behind_blocks);
  memory["pages_of_process"] = ToJson(ReadPages());
  if (pool_ == nullptr) return memory;

  memory["pool_bytes"] = pool_->Stats().FootprintBytes();
  memory["pool_stats"] = pool_->Stats().ToText();
  Error error;
  if (const auto report = pool_->VerifyPlacement(&error)) {
    memory["pages_of_pool"] = ToJson({report->hugetlb_bytes, report->transparent_bytes, report->small_bytes});
    memory["misplaced_count"] = report->MisplacedCount();
  } else {
    memory["placement_unknown"] = error.ToString();
  }
  const rocksdb::FallbackStats fallback = *rocksdb::Fallback(*allocator_);
  memory["fallback_count"] = fallback.count;
  memory["fallback_live_count"] = fallback.live_count;
  memory["fallback_live_bytes"] = fallback.live_bytes;
  return memory;
}

json Worker::ReplyOf(const RoundResult& result, const json& memory) const {
  json curve = json::array();
  for (const double share : kCurveShares) curve.push_back(result.latency.QuantileNs(share));
  return {{"event", "round"},
          {"operation_count", result.operation_count},
          {"verified_count", result.verified_count},
          {"operations_per_second", result.operations_per_second},
          {"paced_writes_per_second", result.paced_writes_per_second},
          {"hit_count", result.hit_count},
          {"miss_count", result.miss_count},
          {"p50_ns", result.latency.QuantileNs(0.5)},
          {"p99_ns", result.latency.QuantileNs(0.99)},
          {"p999_ns", result.latency.QuantileNs(0.999)},
          {"latency_curve_ns", curve},
          {"samples", samples_},
          {"memory", memory}};
}

json Worker::Round(const json& command) {
  const double seconds = command.at("seconds");
  if (player_ != nullptr) return PlayRound(seconds);
  if (clients_ == nullptr) return Failed("round before fill");
  json memory;
  samples_ = json::array();
  round_start_ = Clock::now();
  const RoundResult result = Operate(
      command.at("round"), seconds, [this] { Sample(); }, [&] { memory = Memory(); });
  running_seconds_ += seconds;
  if (!clients_->Problem().empty()) return Failed(clients_->Problem());
  return ReplyOf(result, memory);
}

// Reads up to the next newline. False at the end of the stream.
bool ReadLine(int fd, std::string* line) {
  line->clear();
  char letter = 0;
  while (read(fd, &letter, 1) == 1) {
    if (letter == '\n') return true;
    line->push_back(letter);
  }
  return false;
}

bool WriteLine(int fd, const json& message) {
  const std::string line = message.dump() + "\n";
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = write(fd, line.data() + written, line.size() - written);
    if (count <= 0) return false;
    written += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

int WorkerMain() {
  // Destroyed before the reply to "finish": a shutdown that crashes is a failed worker.
  auto worker = std::make_unique<Worker>();
  std::string line;
  while (ReadLine(kCommandFd, &line)) {
    const json command = json::parse(line, nullptr, /*allow_exceptions=*/false);
    const std::string name = command.is_object() ? command.value("command", "") : "";
    json reply;
    if (name == "fill") {
      reply = worker->Fill(command);
    } else if (name == "replay") {
      reply = worker->Replay(command);
    } else if (name == "round") {
      reply = worker->Round(command);
    } else if (name == "finish") {
      worker.reset();
      return WriteLine(kReplyFd, {{"event", "finished"}}) ? kExitOk : kExitRunFailed;
    } else {
      reply = {{"event", "failed"}, {"reason", "unknown command: " + line}};
    }
    if (!WriteLine(kReplyFd, reply)) return kExitRunFailed;
    if (reply["event"] == "failed") return kExitRunFailed;
    if (reply["event"] == "skipped") return kExitOk;
  }
  return kExitRunFailed;
}

}  // namespace hugepool::bench
