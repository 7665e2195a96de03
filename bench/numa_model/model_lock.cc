#include "bench/numa_model/model_lock.h"

#include <algorithm>
#include <utility>

namespace hugepool::bench {

void LockFigures::Add(const LockFigures& other) {
  acquired_count += other.acquired_count;
  waited_count += other.waited_count;
  waited_ns += other.waited_ns;
  longest_ns = std::max(longest_ns, other.longest_ns);
  held_ns += other.held_ns;
  waits.Add(other.waits);
}

Task ModelLock::Acquire() {
  const double asked_ns = clock_.now_ns();
  if (word_ == Word::kFree) {
    word_ = Word::kHeld;
  } else if (kind_ == LockKind::kQueue) {
    co_await Sleep{*this};
  } else {
    while (std::exchange(word_, Word::kHeldWithSleepers) != Word::kFree) {
      // On the way to sleep; the kernel looks at the word once more.
      co_await clock_.Delay(costs_.futex_call_ns);
      if (word_ == Word::kHeldWithSleepers) co_await Sleep{*this};
    }
  }
  held_since_ns_ = clock_.now_ns();
  const double waited_ns = held_since_ns_ - asked_ns;
  ++figures_.acquired_count;
  if (waited_ns > 0) ++figures_.waited_count;
  figures_.waited_ns += waited_ns;
  figures_.longest_ns = std::max(figures_.longest_ns, waited_ns);
  figures_.waits.Record(static_cast<uint64_t>(waited_ns));
}

double ModelLock::Release() {
  figures_.held_ns += clock_.now_ns() - held_since_ns_;
  const Word before = std::exchange(word_, Word::kFree);
  const bool wakes = !sleepers_.empty() && (kind_ == LockKind::kQueue || before == Word::kHeldWithSleepers);
  if (wakes) {
    const std::coroutine_handle<> first = sleepers_.front();
    sleepers_.pop_front();
    if (kind_ == LockKind::kQueue) word_ = Word::kHeld;  // the first one's now
    clock_.ResumeAfter(kind_ == LockKind::kQueue ? 0 : costs_.wake_ns, first);
  }
  if (kind_ == LockKind::kQueue || before == Word::kHeld) return 0;
  return wakes ? costs_.wake_call_ns : costs_.futex_call_ns;
}

void ModelLock::StartFigures() {
  figures_ = {};
  held_since_ns_ = clock_.now_ns();
}

LockFigures ModelLock::Figures() const {
  LockFigures figures = figures_;
  if (word_ != Word::kFree) figures.held_ns += clock_.now_ns() - held_since_ns_;
  return figures;
}

}  // namespace hugepool::bench
