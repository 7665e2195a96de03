// CommitBudget: how many bytes of pages all nodes of a pool may hold together.
//
// Units      bytes
// Threads    any; both numbers are relaxed atomics: they count, they publish nothing
// Invariant  committed_bytes() ≤ the largest capacity_bytes() since it was last below; a page is paid before it is
//            populated and refunded after it is given back
// Cost       one compare-and-swap per huge page
#ifndef HUGEPOOL_ARENA_COMMIT_BUDGET_H_
#define HUGEPOOL_ARENA_COMMIT_BUDGET_H_

#include <atomic>
#include <cstddef>

namespace hugepool::internal {

class CommitBudget {
 public:
  explicit CommitBudget(size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  bool TryTake(size_t bytes) {
    size_t committed = committed_bytes_.load(std::memory_order_relaxed);
    do {
      const size_t capacity = capacity_bytes();
      if (committed > capacity || bytes > capacity - committed) return false;
    } while (!committed_bytes_.compare_exchange_weak(committed, committed + bytes, std::memory_order_relaxed));
    return true;
  }
  void Return(size_t bytes) { committed_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  // What is committed beyond a lower capacity stays so until it is given back.
  void SetCapacity(size_t bytes) { capacity_bytes_.store(bytes, std::memory_order_relaxed); }
  bool Exceeded() const { return committed_bytes() > capacity_bytes(); }

  size_t capacity_bytes() const { return capacity_bytes_.load(std::memory_order_relaxed); }
  size_t committed_bytes() const { return committed_bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<size_t> capacity_bytes_;
  std::atomic<size_t> committed_bytes_{0};
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_COMMIT_BUDGET_H_
