#include "bench/readers.h"

#include <fmt/format.h>
#include <rocksdb/perf_context.h>
#include <rocksdb/perf_level.h>

#include <algorithm>
#include <chrono>
#include <numeric>

namespace hugepool::bench {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t NsBetween(Clock::time_point from, Clock::time_point to) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

}  // namespace

Readers::Readers(::rocksdb::DB* db, const RecordSource* source, Workload workload, uint64_t record_count, uint64_t seed,
                 unsigned thread_count)
    : db_(db), source_(source), workload_(workload), record_count_(record_count), seed_(seed) {
  for (unsigned thread = 0; thread < thread_count; ++thread) {
    threads_.emplace_back([this, thread] { ThreadMain(thread); });
  }
}

Readers::~Readers() {
  Start(Phase::kQuit);
  for (std::thread& thread : threads_) thread.join();
}

void Readers::Start(Phase phase) {
  std::lock_guard lock(mutex_);
  phase_.store(phase, std::memory_order_relaxed);
  done_count_ = 0;
  ++generation_;
  changed_.notify_all();
}

void Readers::WaitUntilAllDone() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_count_ == threads_.size(); });
}

std::string Readers::Problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

void Readers::SetProblem(const std::string& problem) {
  std::lock_guard lock(mutex_);
  if (problem_.empty()) problem_ = problem;
  failed_.store(true, std::memory_order_relaxed);
}

void Readers::Fill(uint64_t stride) {
  {
    std::lock_guard lock(mutex_);
    stride_ = std::max<uint64_t>(1, stride);
  }
  Start(Phase::kFill);
  WaitUntilAllDone();
}

RoundResult Readers::Round(unsigned round, double seconds, const std::function<void()>& tick,
                           const std::function<void()>& tail) {
  {
    std::lock_guard lock(mutex_);
    round_ = round;
    sum_ = {};
  }
  Start(Phase::kMeasure);
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  auto next = Clock::now();
  while (next < end) {
    next = std::min(end, next + std::chrono::milliseconds(250));
    {
      // Wakes early only when every reader has given up.
      std::unique_lock lock(mutex_);
      if (changed_.wait_until(lock, next, [this] { return done_count_ == threads_.size(); })) break;
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

void Readers::ThreadMain(unsigned thread) {
  ::rocksdb::SetPerfLevel(::rocksdb::kEnableCount);
  uint64_t seen_generation = 0;
  while (true) {
    Phase phase;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return generation_ != seen_generation; });
      seen_generation = generation_;
      phase = phase_.load(std::memory_order_relaxed);
    }
    if (phase == Phase::kQuit) return;
    RoundResult share;
    if (phase == Phase::kFill) {
      FillShare(thread);
    } else {
      share = ReadShare(thread);
    }
    std::lock_guard lock(mutex_);
    sum_.read_count += share.read_count;
    sum_.verified_count += share.verified_count;
    sum_.reads_per_second += share.reads_per_second;
    sum_.hit_count += share.hit_count;
    sum_.miss_count += share.miss_count;
    sum_.latency.Add(share.latency);
    ++done_count_;
    changed_.notify_all();
  }
}

bool Readers::ReadOne(uint64_t index, ::rocksdb::PinnableSlice* value) {
  const Key key = source_->MakeKey(index);
  const ::rocksdb::Status status = db_->Get(read_options_, db_->DefaultColumnFamily(), {key.bytes, kKeyBytes}, value);
  if (!status.ok()) {
    SetProblem(fmt::format("record {}: read failed: {}", index, status.ToString()));
    return false;
  }
  if (!source_->Matches(index, value->data(), value->size())) {
    SetProblem(
        fmt::format("record {}: the value read ({} bytes) is not the value that its seed gives", index, value->size()));
    return false;
  }
  return true;
}

void Readers::FillShare(unsigned thread) {
  uint64_t stride, thread_count;
  {
    std::lock_guard lock(mutex_);
    stride = stride_;
    thread_count = threads_.size();
  }
  // Visit k goes to record (k * step mod visit_count) * stride: step is coprime to visit_count, so each comes once.
  const uint64_t visit_count = (record_count_ + stride - 1) / stride;
  uint64_t step = MixBits(seed_) % visit_count | 1;
  while (std::gcd(step, visit_count) != 1) step += 2;
  const uint64_t begin = visit_count * thread / thread_count;
  const uint64_t end = visit_count * (thread + 1) / thread_count;
  __extension__ using Wide = unsigned __int128;
  ::rocksdb::PinnableSlice value;
  for (uint64_t k = begin; k < end && !failed_.load(std::memory_order_relaxed); ++k) {
    value.Reset();
    if (!ReadOne(static_cast<uint64_t>(Wide{k} * step % visit_count) * stride, &value)) return;
  }
}

RoundResult Readers::ReadShare(unsigned thread) {
  unsigned round;
  {
    std::lock_guard lock(mutex_);
    round = round_;
  }
  KeyChooser chooser(workload_, record_count_, MixBits(seed_ + round) + thread);
  RoundResult result;
  ::rocksdb::PerfContext& counters = *::rocksdb::get_perf_context();
  ::rocksdb::PinnableSlice value;
  const uint64_t hits_before = counters.block_cache_hit_count;
  const uint64_t misses_before = counters.block_read_count;
  const auto start = Clock::now();
  uint64_t read_count = 0;
  const auto read_while = [&](Phase phase) {
    while (phase_.load(std::memory_order_relaxed) == phase && !failed_.load(std::memory_order_relaxed)) {
      value.Reset();
      const bool sampled = read_count % kSamplePeriod == 0 && phase == Phase::kMeasure;
      const auto before = sampled ? Clock::now() : Clock::time_point();
      const bool right = ReadOne(chooser.Next(), &value);
      if (sampled) result.latency.Record(NsBetween(before, Clock::now()));
      if (!right) return;
      ++read_count;
    }
  };
  read_while(Phase::kMeasure);
  const double elapsed_seconds = static_cast<double>(NsBetween(start, Clock::now())) / 1e9;
  result.read_count = read_count;
  result.hit_count = counters.block_cache_hit_count - hits_before;
  result.miss_count = counters.block_read_count - misses_before;
  result.reads_per_second = static_cast<double>(read_count) / std::max(elapsed_seconds, 1e-9);
  read_while(Phase::kTail);
  result.verified_count = read_count;
  return result;
}

}  // namespace hugepool::bench
