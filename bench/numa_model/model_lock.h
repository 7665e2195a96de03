// ModelLock: a lock in simulated time.
//
// Shape      kQueue: waiters in a row, the lock goes from hand to hand; what the formulas of queues speak of.
//            kMutex: glibc's mutex as it is: a word that is free, held, or held with sleepers; who meets a held lock goes to
//            the kernel and sleeps unless the word has changed meanwhile; leaving a lock with sleepers wakes one, who tries
//            again when it runs, and others may be faster
// Units      nanoseconds
// Threads    one owner, as its Clock
// Invariant  held by one at a time; whoever acquires it releases it
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_MODEL_LOCK_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_MODEL_LOCK_H_

#include <cstdint>
#include <deque>

#include "bench/latency_histogram.h"
#include "bench/numa_model/clock.h"
#include "bench/numa_model/costs.h"

namespace hugepool::bench {

enum class LockKind : uint8_t { kQueue, kMutex };

// Of one lock, or of several together.
struct LockFigures {
  uint64_t acquired_count = 0;
  uint64_t waited_count = 0;
  double waited_ns = 0;  // all of them together
  double longest_ns = 0;
  double held_ns = 0;
  LatencyHistogram waits;

  void Add(const LockFigures& other);
  double MeanWaitNs() const { return acquired_count == 0 ? 0 : waited_ns / static_cast<double>(acquired_count); }
};

class ModelLock {
 public:
  // The costs outlive it.
  ModelLock(Clock& clock, LockKind kind, const Costs& costs) : clock_(clock), kind_(kind), costs_(costs) {}

  Task Acquire();
  // The nanoseconds that leaving it takes the caller, after others may have it.
  double Release();

  // Of the time since StartFigures.
  void StartFigures();
  LockFigures Figures() const;

 private:
  enum class Word : uint8_t { kFree, kHeld, kHeldWithSleepers };

  struct Sleep {
    ModelLock& lock;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) { lock.sleepers_.push_back(waiting); }
    void await_resume() const noexcept {}
  };

  Clock& clock_;
  const LockKind kind_;
  const Costs& costs_;
  Word word_ = Word::kFree;
  std::deque<std::coroutine_handle<>> sleepers_;
  double held_since_ns_ = 0;
  LockFigures figures_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_MODEL_LOCK_H_
