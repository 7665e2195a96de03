#include "bench/rounds.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "bench/ballast.h"
#include "bench/database.h"
#include "bench/progress.h"
#include "bench/record_source.h"
#include "bench/wave.h"
#include "bench/worker_process.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;

// One row of one wave while it runs.
struct Runner {
  RowResult* result = nullptr;
  std::unique_ptr<WorkerProcess> process;
  std::string checkpoint;  // name of what it writes to, or ""
  bool alive() const { return process != nullptr; }
};

class Run {
 public:
  Run(const KvOptions& options, const DatabaseFacts& database, const Machine& machine, Signals* signals)
      : options_(options),
        database_(database),
        machine_(machine),
        signals_(signals),
        ballast_(machine.available_bytes / 32) {}
  ~Run() {
    if (!options_.is_replay()) RemoveCheckpoints(options_.db);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  RunOutcome All();

 private:
  MemoryNeed Need() const;
  double FillSecondsEstimate() const;
  json FillCommand(const AllocatorRow& row, const std::string& db) const;
  json ReplayCommand(const AllocatorRow& row) const;
  bool Wave(unsigned wave, const std::vector<const AllocatorRow*>& rows);
  RowResult* AddRow(const AllocatorRow* row, unsigned wave);
  bool Start(Runner* runner);
  bool RunRound(Runner* runner, unsigned round);
  void End(Runner* runner, RowStatus status, const std::string& reason);
  // One command and its reply. False: interrupted. A failure or skip ends the runner.
  bool Ask(Runner* runner, const json& command, json* reply);

  const KvOptions& options_;
  const DatabaseFacts& database_;
  const Machine& machine_;
  Signals* const signals_;
  Ballast ballast_;
  std::unique_ptr<Progress> progress_;
  bool is_recorded_ = false;  // by the first hugepool row
  std::vector<std::unique_ptr<RowResult>> rows_;
};

MemoryNeed Run::Need() const {
  return {.live_bytes = options_.LiveBytesEstimate(),
          .pool_bytes = options_.PoolCapacityBytes(),
          .file_bytes = database_.file_bytes,
          .available_bytes = machine_.available_bytes,
          .free_huge_pages = machine_.free_huge_pages};
}

// What the bar goes by: some 150 MB a second, and a quarter of the longest warm-up.
double Run::FillSecondsEstimate() const {
  const double turned_bytes = options_.turnovers * static_cast<double>(options_.CacheBytes());
  return (static_cast<double>(database_.shape.DataBytesEstimate()) + turned_bytes) / 1.5e8 + 1 +
         options_.warmup_most_seconds / 4;
}

json Run::FillCommand(const AllocatorRow& row, const std::string& db) const {
  // One record of each block: fewer than the smallest block holds.
  const uint64_t per_block = database_.shape.record_count / std::max<uint64_t>(1, database_.block_count);
  const uint64_t stride = std::max<uint64_t>(1, per_block * 3 / 4);
  return {{"command", "fill"},
          {"allocator", row.name},
          {"db", db},
          {"records", database_.shape.record_count},
          {"value_bytes", database_.shape.value_bytes},
          {"block_bytes", database_.shape.block_bytes},
          {"seed", database_.shape.seed},
          {"compression", database_.shape.compression},
          {"block_count", database_.block_count},
          {"stride", stride},
          {"workload", options_.workload->name},
          {"threads", options_.thread_count},
          {"cache_bytes", options_.CacheBytes()},
          {"cache_type", ToString(options_.cache_type)},
          {"pool_bytes", options_.PoolCapacityBytes()},
          {"turnovers", options_.turnovers},
          {"warmup_most_seconds", options_.warmup_most_seconds},
          {"rate", options_.rate},
          {"write_rate", options_.write_rate}};
}

json Run::ReplayCommand(const AllocatorRow& row) const {
  return {{"command", "replay"},
          {"allocator", row.name},
          {"trace", options_.replay_path},
          {"block_count", options_.replay_live_count},
          {"pool_bytes", options_.PoolCapacityBytes()}};
}

bool Run::Ask(Runner* runner, const json& command, json* reply) {
  *reply = runner->process->Ask(command);
  const std::string event = (*reply)["event"];
  if (event == "interrupted") return false;
  if (event == "skipped") End(runner, RowStatus::kSkipped, reply->value("reason", ""));
  if (event == "failed") End(runner, RowStatus::kFailed, reply->value("reason", ""));
  return true;
}

void Run::End(Runner* runner, RowStatus status, const std::string& reason) {
  runner->result->status = status;
  runner->result->reason = reason;
  runner->process.reset();
  progress_->Say(fmt::format("{}: {}: {}", runner->result->row->name, ToString(status), reason));
}

// False: interrupted.
bool Run::Start(Runner* runner) {
  const AllocatorRow& row = *runner->result->row;
  progress_->At("filling " + row.name);
  std::string problem, db = options_.db;
  if (!options_.is_replay() && options_.workload->writes()) {
    runner->checkpoint = fmt::format("{}-{}", row.name, runner->result->wave);
    db = MakeCheckpoint(options_.db, database_.shape, runner->checkpoint, &problem);
  }
  ballast_.Take();
  const std::string library_path = row.library.empty() ? "" : FindLibrary(row, options_.peer_dirs);
  if (problem.empty()) runner->process = WorkerProcess::Start(row, library_path, signals_, &problem);
  if (!runner->alive()) {
    End(runner, RowStatus::kFailed, problem);
    return true;
  }
  json reply;
  json command = options_.is_replay() ? ReplayCommand(row) : FillCommand(row, db);
  if (row.is_hugepool() && !options_.record_path.empty() && !std::exchange(is_recorded_, true)) {
    command["record_sizes"] = options_.record_path;
  }
  if (!Ask(runner, command, &reply)) return false;
  progress_->Done(FillSecondsEstimate());
  if (!runner->alive()) return true;
  RowResult& result = *runner->result;
  result.loaded = reply.at("loaded");
  result.fill_seconds = reply.at("fill_seconds");
  result.warm_up_seconds = reply.at("warm_up").at("seconds");
  result.is_steady = reply.at("warm_up").at("is_steady");
  progress_->Say(fmt::format("{}: filled in {:.1f} s, {} after {:.1f} s of warm-up; malloc is {}", row.name,
                             result.fill_seconds, result.is_steady ? "steady" : "not steady", result.warm_up_seconds,
                             result.loaded));
  return true;
}

// False: interrupted.
bool Run::RunRound(Runner* runner, unsigned round) {
  const std::string what = fmt::format("round {}/{} {}", round + 1, options_.round_count, runner->result->row->name);
  progress_->At(what);
  json reply;
  if (!Ask(runner, {{"command", "round"}, {"round", round}, {"seconds", options_.seconds}}, &reply)) return false;
  progress_->Done(options_.seconds);
  if (!runner->alive()) return true;
  progress_->Say(fmt::format("{}: {:.1f} k ops/s", what, reply.at("operations_per_second").get<double>() / 1000));
  runner->result->rounds.push_back(std::move(reply));
  return true;
}

RowResult* Run::AddRow(const AllocatorRow* row, unsigned wave) {
  rows_.push_back(std::make_unique<RowResult>());
  rows_.back()->row = row;
  rows_.back()->wave = wave;
  return rows_.back().get();
}

// False: interrupted.
bool Run::Wave(unsigned wave, const std::vector<const AllocatorRow*>& rows) {
  std::vector<Runner> runners;
  for (const AllocatorRow* row : rows) runners.push_back({AddRow(row, wave), nullptr, ""});
  // Pools that need reserved pages fill first: a peer that takes what it finds must not find theirs.
  std::stable_partition(runners.begin(), runners.end(),
                        [](const Runner& runner) { return runner.result->row->pool == HugePages::kRequired; });
  for (Runner& runner : runners) {
    if (!Start(&runner)) return false;
  }
  for (unsigned round = 0; round < options_.round_count; ++round) {
    for (size_t i = 0; i < runners.size(); ++i) {
      Runner& runner = runners[(i + round) % runners.size()];
      if (runner.alive() && !RunRound(&runner, round)) return false;
    }
  }
  for (Runner& runner : runners) {
    if (!runner.alive()) continue;
    progress_->At("closing " + runner.result->row->name);
    const std::string problem = runner.process->Finish();
    if (problem == "interrupted") return false;
    if (!problem.empty()) End(&runner, RowStatus::kFailed, problem);
    if (!runner.checkpoint.empty()) RemoveCheckpoint(options_.db, runner.checkpoint);
  }
  return true;
}

RunOutcome Run::All() {
  RunOutcome outcome;
  std::vector<const AllocatorRow*> rows;
  std::vector<RowResult> skipped;
  for (const std::string& name : options_.allocators) {
    const AllocatorRow* row = FindAllocator(name);
    const std::string reason = SkipReason(*row, options_.peer_dirs, machine_.thp);
    if (reason.empty()) {
      rows.push_back(row);
      continue;
    }
    RowResult& result = skipped.emplace_back();
    result.row = row;
    result.status = RowStatus::kSkipped;
    result.reason = reason;
    fmt::print(stderr, "{}: skipped: {}\n", name, reason);
  }
  const MemoryNeed need = Need();
  const AllocatorRow& baseline = *FindAllocator(kBaseline);
  if (2 * WorkerBytes(baseline, need) > need.available_bytes) {
    outcome.refusal = fmt::format(
        "{} needs about {} of memory (two workers), {} are available. Use {}",
        options_.is_replay()
            ? "--replay_sizes=" + options_.replay_path
            : fmt::format("--records={} with --cache_bytes={}", database_.shape.record_count, options_.cache_text),
        FormatBytes(2 * WorkerBytes(baseline, need) >> 20 << 20), FormatBytes(need.available_bytes >> 20 << 20),
        options_.is_replay() ? "a shorter trace" : "fewer --records or a smaller --cache_bytes");
    return outcome;
  }
  const auto waves = PlanWaves(rows, need);
  if (!options_.is_replay()) RemoveCheckpoints(options_.db);  // of a run that was killed
  size_t worker_count = 0;
  for (const auto& wave : waves) worker_count += wave.size();
  progress_ = std::make_unique<Progress>(
      static_cast<double>(worker_count) * (FillSecondsEstimate() + options_.seconds * options_.round_count),
      isatty(STDERR_FILENO) != 0);
  if (waves.size() > 1) {
    progress_->Say(fmt::format("{} waves: not all workers fit into memory beside each other", waves.size()));
  }
  // Or else the first worker to fill gets its memory between the pages of the files that it reads.
  if (!options_.is_replay())
    WarmPageCache(options_.db, machine_.available_bytes / 4, [this] { return signals_->Arrived() != 0; });
  for (size_t wave = 0; wave < waves.size() && !outcome.interrupted; ++wave) {
    outcome.interrupted = !Wave(static_cast<unsigned>(wave) + 1, waves[wave]);
  }
  progress_.reset();
  for (const auto& row : rows_) {
    // Cut short: no summary of half a run.
    if (outcome.interrupted && row->status == RowStatus::kOk) {
      row->status = RowStatus::kSkipped;
      row->reason = "interrupted";
    }
    outcome.rows.push_back(std::move(*row));
  }
  outcome.rows.insert(outcome.rows.end(), skipped.begin(), skipped.end());
  Summarize(options_.CacheBytes(), &outcome.rows);
  return outcome;
}

}  // namespace

RunOutcome RunRounds(const KvOptions& options, const DatabaseFacts& database, const Machine& machine,
                     Signals* signals) {
  return Run(options, database, machine, signals).All();
}

}  // namespace hugepool::bench
