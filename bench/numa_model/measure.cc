#include "bench/numa_model/measure.h"

#include <fmt/format.h>
#include <hugepool/pool.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "cache/cpu_cache.h"
#include "os/mutex.h"

namespace hugepool::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr size_t kBatch = internal::kBatchMaxCount;
constexpr size_t kSampleCount = 201;
constexpr size_t kPointersPerLine = 8;
using Batch = std::array<void*, kBatch>;

double NanosecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::nano>(SteadyClock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Of a call, over many calls.
template <typename Call>
double MedianNs(size_t calls, Call call) {
  std::vector<double> samples;
  for (size_t i = 0; i < kSampleCount; ++i) {
    const SteadyClock::time_point start = SteadyClock::now();
    for (size_t j = 0; j < calls; ++j) call();
    samples.push_back(NanosecondsSince(start) / static_cast<double>(calls));
  }
  return Median(samples);
}

// The first two CPUs on which this process may run; it may run on all of them again afterwards.
class TwoCpus {
 public:
  TwoCpus() {
    sched_getaffinity(0, sizeof all_, &all_);
    for (int cpu = 0; cpu < CPU_SETSIZE && cpus_.size() < 2; ++cpu) {
      if (CPU_ISSET(cpu, &all_)) cpus_.push_back(cpu);
    }
  }
  ~TwoCpus() { sched_setaffinity(0, sizeof all_, &all_); }
  TwoCpus(const TwoCpus&) = delete;
  TwoCpus& operator=(const TwoCpus&) = delete;

  bool there_are() const { return cpus_.size() == 2; }
  void RunOn(size_t index) const {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus_[index], &one);
    sched_setaffinity(0, sizeof one, &one);
  }

 private:
  cpu_set_t all_;
  std::vector<int> cpus_;
};

// Two threads that take turns. Release and acquire: who has the turn sees what the other did in its own.
class alignas(64) Turns {
 public:
  void WaitFor(uint32_t turn) const {
    while (turn_.load(std::memory_order_acquire) != turn) {
    }
  }
  void GoTo(uint32_t turn) { turn_.store(turn, std::memory_order_release); }

  // Like a message that is compared and exchanged: one cache line that moves.
  void Exchange(uint32_t from, uint32_t to) {
    uint32_t expected = from;
    while (!turn_.compare_exchange_weak(expected, to, std::memory_order_acq_rel)) expected = from;
  }

 private:
  std::atomic<uint32_t> turn_{0};
};

double LineNs(const TwoCpus& cpus) {
  constexpr uint32_t kTurns = 2000;
  Turns turns;
  std::thread other([&] {
    cpus.RunOn(1);
    for (uint32_t i = 0; i < kTurns * kSampleCount; ++i) turns.Exchange(2 * i + 1, 2 * i + 2);
  });
  cpus.RunOn(0);
  uint32_t turn = 0;
  const double round_ns = MedianNs(kTurns, [&] {
    turns.Exchange(turn, turn + 1);
    turn += 2;
  });
  other.join();
  return round_ns / 2;
}

// A shelf as a depot has it: the pool's lock beside the count, and the pointers.
struct alignas(64) Shelf {
  internal::Mutex mutex{internal::LockRank::kDepot};
  size_t count HUGEPOOL_GUARDED_BY(mutex) = 0;
  alignas(64) std::array<void*, internal::Depot::kShelfMaxCount> objects HUGEPOOL_GUARDED_BY(mutex){};

  void Put(const Batch& batch, size_t batch_count) HUGEPOOL_EXCLUDES(mutex) {
    const internal::MutexLock lock(mutex);
    std::copy_n(batch.data(), batch_count, objects.data() + count);
    count += batch_count;
  }
  void Take(Batch* batch, size_t batch_count) HUGEPOOL_EXCLUDES(mutex) {
    const internal::MutexLock lock(mutex);
    count -= batch_count;
    std::copy_n(objects.data() + count, batch_count, batch->data());
  }
};

// What a Put on one CPU and the Take of the same pointers on another one cost together: each meets lines that the other
// had last.
double PutAndTakeApartNs(const TwoCpus& cpus, Shelf& shelf, size_t count) {
  constexpr uint32_t kTurns = 20000;
  Turns turns;
  std::vector<double> puts;
  std::thread other([&] {
    cpus.RunOn(1);
    const Batch batch{};
    for (uint32_t i = 0; i < kTurns; ++i) {
      turns.WaitFor(2 * i);
      const SteadyClock::time_point start = SteadyClock::now();
      shelf.Put(batch, count);
      puts.push_back(NanosecondsSince(start));
      turns.GoTo(2 * i + 1);
    }
  });
  cpus.RunOn(0);
  Batch batch;
  std::vector<double> takes;
  for (uint32_t i = 0; i < kTurns; ++i) {
    turns.WaitFor(2 * i + 1);
    const SteadyClock::time_point start = SteadyClock::now();
    shelf.Take(&batch, count);
    takes.push_back(NanosecondsSince(start));
    turns.GoTo(2 * i + 2);
  }
  other.join();
  return Median(std::move(puts)) + Median(std::move(takes));
}

void MeasureShelf(const TwoCpus& cpus, Costs* costs) {
  const auto shelf = std::make_unique<Shelf>();
  Batch batch{};
  const auto put_and_take_ns = [&](size_t count) {
    return MedianNs(2000, [&] {
      shelf->Put(batch, count);
      shelf->Take(&batch, count);
    });
  };
  constexpr double kMorePointers = kBatch - 1;
  costs->copy_pointer_ns = std::max(0.0, (put_and_take_ns(kBatch) - put_and_take_ns(1)) / (2 * kMorePointers));
  const double more_ns = PutAndTakeApartNs(cpus, *shelf, kBatch) - PutAndTakeApartNs(cpus, *shelf, 1);
  constexpr double kMoreLines = kBatch / kPointersPerLine - 1;
  const double lines_ns = more_ns / 2 - kMorePointers * costs->copy_pointer_ns;
  costs->lines_at_once = std::clamp(kMoreLines * costs->line_group_ns / std::max(lines_ns, 1.0), 1.0, kMoreLines);
}

// Blocks in random order into the slabs and others out of them, a batch at a time.
std::string MeasureSlabs(Costs* costs) {
  constexpr size_t kBytes = 4096;
  constexpr size_t kBlockCount = (size_t{256} << 20) / kBytes;
  PoolOptions options;
  options.capacity_bytes = size_t{320} << 20;
  options.huge_pages = HugePages::kTransparent;
  options.cpu_cache = CpuCacheMode::kOff;
  Error error;
  const std::shared_ptr<Pool> pool = Pool::Create(options, &error);
  if (pool == nullptr) return error.ToString();
  std::vector<void*> blocks(kBlockCount);
  const size_t got = pool->AllocateBatch(kBytes, blocks.data(), kBlockCount);
  blocks.resize(got);
  if (got != kBlockCount) {
    pool->DeallocateBatch(blocks.data(), got);
    return fmt::format("{} MiB of memory are not to be had here", options.capacity_bytes >> 20);
  }
  std::mt19937_64 random(1);
  std::shuffle(blocks.begin(), blocks.end(), random);
  size_t at = 0;
  const double batch_ns = MedianNs(200, [&] {
    pool->DeallocateBatch(blocks.data() + at, kBatch);
    pool->AllocateBatch(kBytes, blocks.data() + at, kBatch);
    at = (at + kBatch) % kBlockCount;
  });
  costs->slab_object_ns = batch_ns / (2 * kBatch);
  pool->DeallocateBatch(blocks.data(), got);
  return "";
}

int64_t Futex(std::atomic<uint32_t>* word, int operation, uint32_t value) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

void MeasureWakes(const TwoCpus& cpus, Costs* costs) {
  std::atomic<uint32_t> word{0};
  costs->futex_call_ns = MedianNs(200, [&] { Futex(&word, FUTEX_WAIT, 1); });

  constexpr uint32_t kWakes = 1000;
  constexpr auto kTimeToFallAsleep = std::chrono::microseconds(100);
  // Nanoseconds of the steady clock; written before the wake-up, read after it.
  std::atomic<int64_t> woken_at{0};
  std::vector<double> wakes;
  Turns turns;
  std::thread sleeper([&] {
    cpus.RunOn(1);
    for (uint32_t i = 0; i < kWakes; ++i) {
      turns.GoTo(2 * i + 1);
      while (word.load(std::memory_order_acquire) == i) Futex(&word, FUTEX_WAIT, i);
      wakes.push_back(static_cast<double>(SteadyClock::now().time_since_epoch().count() - woken_at.load()));
      turns.WaitFor(2 * i + 2);
    }
  });
  cpus.RunOn(0);
  std::vector<double> calls;
  for (uint32_t i = 0; i < kWakes; ++i) {
    turns.WaitFor(2 * i + 1);
    const SteadyClock::time_point from = SteadyClock::now();
    while (SteadyClock::now() - from < kTimeToFallAsleep) {
    }
    const SteadyClock::time_point start = SteadyClock::now();
    woken_at.store(start.time_since_epoch().count());
    word.store(i + 1, std::memory_order_release);
    Futex(&word, FUTEX_WAKE, 1);
    calls.push_back(NanosecondsSince(start));
    turns.GoTo(2 * i + 2);
  }
  sleeper.join();
  costs->wake_call_ns = Median(calls);
  costs->wake_ns = Median(wakes);
}

}  // namespace

std::string Measure(Costs* costs) {
  const TwoCpus cpus;
  if (!cpus.there_are()) return "needs two CPUs on which it may run";
  internal::Mutex mutex{internal::LockRank::kDepot};
  costs->lock_ns = MedianNs(10000, [&] { const internal::MutexLock lock(mutex); });
  costs->line_group_ns = LineNs(cpus);
  MeasureShelf(cpus, costs);
  const std::string problem = MeasureSlabs(costs);
  if (problem.empty()) MeasureWakes(cpus, costs);
  return problem;
}

std::string FormatMeasured(std::string* text) {
  Costs costs;
  const std::string problem = Measure(&costs);
  if (!problem.empty()) return problem;
  std::string options;
  for (const CostField& field : kCostFields) {
    if (!field.measured) continue;
    *text += fmt::format("{:<16} {:>10.2f}  {}\n", field.name, costs.*field.value, field.meaning);
    options += fmt::format(" --{}={:.3g}", field.name, costs.*field.value);
  }
  *text += fmt::format("\nnuma_model{}\n", options);
  return "";
}

}  // namespace hugepool::bench
