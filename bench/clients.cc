#include "bench/clients.h"

#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>

#include <algorithm>
#include <cmath>

namespace hugepool::bench {
namespace {

using Nanoseconds = std::chrono::nanoseconds;

template <typename Duration>
uint64_t NsOf(Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, std::chrono::duration_cast<Nanoseconds>(duration).count()));
}

}  // namespace

Clients::Clients(::rocksdb::DB* db, const RecordSource* source, const ClientLoad& load)
    : db_(db), source_(source), load_(load) {
  const unsigned thread_count = load.thread_count + (load.workload->paced_writer ? 1 : 0);
  for (unsigned number = 0; number < thread_count; ++number) {
    threads_.emplace_back([this, number] { ThreadMain(number); });
  }
}

Clients::~Clients() {
  Start(Phase::kQuit);
  for (std::thread& thread : threads_) thread.join();
}

void Clients::Start(Phase phase) {
  std::lock_guard lock(mutex_);
  phase_.store(phase, std::memory_order_relaxed);
  done_count_ = 0;
  sum_ = {};
  ++generation_;
  changed_.notify_all();
}

void Clients::WaitUntilAllDone() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return AllAreDone(); });
}

std::string Clients::Problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

void Clients::SetProblem(const std::string& problem) {
  std::lock_guard lock(mutex_);
  if (problem_.empty()) problem_ = problem;
  failed_.store(true, std::memory_order_relaxed);
}

bool Clients::IsIn(Phase phase) const {
  return phase_.load(std::memory_order_relaxed) == phase && !failed_.load(std::memory_order_relaxed);
}

void Clients::Fill(uint64_t stride) {
  {
    std::lock_guard lock(mutex_);
    stride_ = std::max<uint64_t>(1, stride);
  }
  Start(Phase::kFill);
  WaitUntilAllDone();
}

void Clients::Churn(const std::function<bool()>& enough) {
  Start(Phase::kChurn);
  while (!enough()) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::milliseconds(20), [this] { return AllAreDone(); })) break;
  }
  phase_.store(Phase::kIdle, std::memory_order_relaxed);
  WaitUntilAllDone();
}

RoundResult Clients::Round(unsigned round, double seconds, const std::function<void()>& tick,
                           const std::function<void()>& tail) {
  {
    std::lock_guard lock(mutex_);
    round_ = round;
  }
  Start(Phase::kMeasure);
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  auto next = Clock::now();
  while (next < end) {
    next = std::min(end, next + std::chrono::milliseconds(250));
    {
      // Wakes early only when every client has given up.
      std::unique_lock lock(mutex_);
      if (changed_.wait_until(lock, next, [this] { return AllAreDone(); })) break;
    }
    tick();
  }
  phase_.store(Phase::kTail, std::memory_order_relaxed);
  tail();
  phase_.store(Phase::kIdle, std::memory_order_relaxed);
  WaitUntilAllDone();
  std::lock_guard lock(mutex_);
  return sum_;
}

void Clients::ThreadMain(unsigned number) {
  ::rocksdb::SetPerfLevel(::rocksdb::kEnableCount);
  const bool is_paced_writer = number == load_.thread_count;
  const unsigned client_count = load_.thread_count + (load_.workload->paced_writer ? 1 : 0);
  Client client(db_, source_, *load_.workload, load_.seed, number, client_count);
  uint64_t seen_generation = 0;
  while (true) {
    Phase phase;
    unsigned round;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return generation_ != seen_generation; });
      seen_generation = generation_;
      phase = phase_.load(std::memory_order_relaxed);
      round = round_;
    }
    if (phase == Phase::kQuit) return;
    RoundResult share;
    if (phase == Phase::kMeasure) {
      client.StartRound(round);
      share = OperateShare(&client, is_paced_writer);
    } else if (!is_paced_writer) {
      if (phase == Phase::kFill) FillShare(&client, number);
      if (phase == Phase::kChurn) ChurnShare(&client);
    }
    if (!client.problem().empty()) SetProblem(client.problem());
    std::lock_guard lock(mutex_);
    sum_.operation_count += share.operation_count;
    sum_.verified_count += share.verified_count;
    sum_.operations_per_second += share.operations_per_second;
    sum_.paced_writes_per_second += share.paced_writes_per_second;
    sum_.hit_count += share.hit_count;
    sum_.miss_count += share.miss_count;
    sum_.latency.Add(share.latency);
    ++done_count_;
    changed_.notify_all();
  }
}

void Clients::FillShare(Client* client, unsigned number) {
  uint64_t stride;
  {
    std::lock_guard lock(mutex_);
    stride = stride_;
  }
  const uint64_t visit_count = (source_->record_count() + stride - 1) / stride;
  const ScatteredOrder order(visit_count, load_.seed);
  const uint64_t end = visit_count * (number + 1) / load_.thread_count;
  for (uint64_t k = visit_count * number / load_.thread_count; k < end && IsIn(Phase::kFill); ++k) {
    if (!client->Get(order.At(k) * stride)) return;
  }
}

void Clients::ChurnShare(Client* client) {
  while (IsIn(Phase::kChurn) && client->GetAny()) continue;
}

// Sleeps as long as it may, and watches the clock for the rest: a sleep ends late by some 60 us. False once the phase is over.
bool Clients::WaitFor(Clock::time_point due, Phase phase) const {
  constexpr std::chrono::microseconds kWatched(150), kLongestSleep(10'000);
  while (IsIn(phase)) {
    const auto left = due - Clock::now();
    if (left <= Nanoseconds::zero()) return true;
    if (left > kWatched) std::this_thread::sleep_for(std::min<Clock::duration>(left - kWatched, kLongestSleep));
  }
  return false;
}

RoundResult Clients::OperateShare(Client* client, bool is_paced_writer) {
  RoundResult result;
  const ::rocksdb::PerfContext& counters = *::rocksdb::get_perf_context();
  const uint64_t hits_before = counters.block_cache_hit_count;
  const uint64_t misses_before = counters.block_read_count;
  const uint64_t verified_before = client->verified_count();
  const double rate = is_paced_writer ? load_.write_rate : load_.rate / load_.thread_count;
  const auto start = Clock::now();
  auto due = start;
  uint64_t operation_count = 0;
  const auto operate_while = [&](Phase phase) {
    while (IsIn(phase)) {
      if (rate > 0) {
        const double gap_ns = -std::log1p(-client->draws().Unit()) * 1e9 / rate;
        due += Nanoseconds(static_cast<int64_t>(gap_ns));
        if (!WaitFor(due, phase)) return;
      }
      const bool is_timed = phase == Phase::kMeasure && (rate > 0 || operation_count % kSamplePeriod == 0);
      const auto before = rate > 0 ? due : is_timed ? Clock::now() : Clock::time_point();
      const bool right = is_paced_writer ? client->UpdateAny() : client->Operate();
      if (!right) return;
      if (is_timed && !is_paced_writer) result.latency.Record(NsOf(Clock::now() - before));
      ++operation_count;
    }
  };
  operate_while(Phase::kMeasure);
  const double elapsed_seconds = static_cast<double>(NsOf(Clock::now() - start)) / 1e9;
  const double per_second = static_cast<double>(operation_count) / std::max(elapsed_seconds, 1e-9);
  if (is_paced_writer) {
    result.paced_writes_per_second = per_second;
  } else {
    result.operation_count = operation_count;
    result.operations_per_second = per_second;
    result.hit_count = counters.block_cache_hit_count - hits_before;
    result.miss_count = counters.block_read_count - misses_before;
  }
  operate_while(Phase::kTail);
  result.verified_count = client->verified_count() - verified_before;
  return result;
}

}  // namespace hugepool::bench
