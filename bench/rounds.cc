#include "bench/rounds.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/ballast.h"
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
  bool alive() const { return process != nullptr; }

  void End(RowStatus status, const std::string& reason) {
    result->status = status;
    result->reason = reason;
    process.reset();
    fmt::print(stderr, "{}: {}: {}\n", result->row->name, ToString(status), reason);
  }
};

class Run {
 public:
  Run(const KvOptions& options, const DatabaseFacts& database, const Machine& machine, Signals* signals)
      : options_(options),
        database_(database),
        machine_(machine),
        signals_(signals),
        ballast_(machine.available_bytes / 32) {}

  RunOutcome All();

 private:
  MemoryNeed Need() const;
  json FillCommand(const AllocatorRow& row) const;
  bool Wave(unsigned wave, const std::vector<const AllocatorRow*>& rows);
  RowResult* AddRow(const AllocatorRow* row, unsigned wave);
  bool Start(Runner* runner);
  bool ReadOnce(Runner* runner, unsigned round);
  // One command and its reply. False: interrupted. A failure or skip ends the runner.
  bool Ask(Runner* runner, const json& command, json* reply);

  const KvOptions& options_;
  const DatabaseFacts& database_;
  const Machine& machine_;
  Signals* const signals_;
  Ballast ballast_;
  std::vector<std::unique_ptr<RowResult>> rows_;
};

MemoryNeed Run::Need() const {
  return {.live_bytes = options_.LiveBytesEstimate(),
          .pool_bytes = options_.PoolCapacityBytes(),
          .file_bytes = database_.file_bytes,
          .available_bytes = machine_.available_bytes,
          .free_huge_pages = machine_.free_huge_pages};
}

json Run::FillCommand(const AllocatorRow& row) const {
  // One record of each block: fewer than the smallest block holds.
  const uint64_t per_block = database_.shape.record_count / std::max<uint64_t>(1, database_.block_count);
  const uint64_t stride = std::max<uint64_t>(1, per_block * 3 / 4);
  return {{"command", "fill"},
          {"allocator", row.name},
          {"db", options_.db},
          {"records", database_.shape.record_count},
          {"value_bytes", database_.shape.value_bytes},
          {"block_bytes", database_.shape.block_bytes},
          {"seed", database_.shape.seed},
          {"compression", database_.shape.compression},
          {"block_count", database_.block_count},
          {"stride", stride},
          {"workload", ToString(options_.workload)},
          {"threads", options_.thread_count},
          {"cache_bytes", options_.CacheBytes()},
          {"cache_type", ToString(options_.cache_type)},
          {"pool_bytes", options_.PoolCapacityBytes()},
          {"warmup_seconds", options_.warmup_seconds}};
}

bool Run::Ask(Runner* runner, const json& command, json* reply) {
  *reply = runner->process->Ask(command);
  const std::string event = (*reply)["event"];
  if (event == "interrupted") return false;
  if (event == "skipped") runner->End(RowStatus::kSkipped, reply->value("reason", ""));
  if (event == "failed") runner->End(RowStatus::kFailed, reply->value("reason", ""));
  return true;
}

// False: interrupted.
bool Run::Start(Runner* runner) {
  const AllocatorRow& row = *runner->result->row;
  std::string problem;
  ballast_.Take();
  const std::string library_path = row.library.empty() ? "" : FindLibrary(row, options_.peer_dirs);
  runner->process = WorkerProcess::Start(row, library_path, signals_, &problem);
  if (runner->process == nullptr) {
    runner->End(RowStatus::kFailed, problem);
    return true;
  }
  json reply;
  if (!Ask(runner, FillCommand(row), &reply)) return false;
  if (!runner->alive()) return true;
  runner->result->loaded = reply.at("loaded");
  runner->result->fill_seconds = reply.at("fill_seconds");
  fmt::print(stderr, "{}: filled in {:.1f} s; malloc is {}\n", row.name, runner->result->fill_seconds,
             runner->result->loaded);
  return true;
}

// False: interrupted.
bool Run::ReadOnce(Runner* runner, unsigned round) {
  json reply;
  if (!Ask(runner, {{"command", "round"}, {"round", round}, {"seconds", options_.seconds}}, &reply)) return false;
  if (!runner->alive()) return true;
  fmt::print(stderr, "round {}/{} {}: {:.1f} k reads/s\n", round + 1, options_.round_count, runner->result->row->name,
             reply.at("reads_per_second").get<double>() / 1000);
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
  for (const AllocatorRow* row : rows) runners.push_back({AddRow(row, wave), nullptr});
  // Pools that need reserved pages fill first: a peer that takes what it finds must not find theirs.
  std::stable_partition(runners.begin(), runners.end(),
                        [](const Runner& runner) { return runner.result->row->pool == HugePages::kRequired; });
  for (Runner& runner : runners) {
    if (!Start(&runner)) return false;
  }
  for (unsigned round = 0; round < options_.round_count; ++round) {
    for (size_t i = 0; i < runners.size(); ++i) {
      Runner& runner = runners[(i + round) % runners.size()];
      if (runner.alive() && !ReadOnce(&runner, round)) return false;
    }
  }
  for (Runner& runner : runners) {
    if (!runner.alive()) continue;
    const std::string problem = runner.process->Finish();
    if (problem == "interrupted") return false;
    if (!problem.empty()) runner.End(RowStatus::kFailed, problem);
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
        "--records={} with --cache_bytes={} needs about {} of memory (two workers), {} are available. Use fewer "
        "--records or a smaller --cache_bytes",
        database_.shape.record_count, options_.cache_text, FormatBytes(2 * WorkerBytes(baseline, need) >> 20 << 20),
        FormatBytes(need.available_bytes >> 20 << 20));
    return outcome;
  }
  const auto waves = PlanWaves(rows, need);
  if (waves.size() > 1) {
    fmt::print(stderr, "{} waves: not all workers fit into memory beside each other\n", waves.size());
  }
  // Or else the first worker to fill gets its memory between the pages of the files that it reads.
  WarmPageCache(options_.db, machine_.available_bytes / 4, [this] { return signals_->Arrived() != 0; });
  for (size_t wave = 0; wave < waves.size() && !outcome.interrupted; ++wave) {
    outcome.interrupted = !Wave(static_cast<unsigned>(wave) + 1, waves[wave]);
  }
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
