// LarsonLoop: threads that replace random blocks of an array, and from time to time pass the array on, so that blocks
// are freed by another thread than the one that allocated them, as in a server whose requests move from thread to thread.
//
// Shape      arrays of 1,000 blocks of 8 to 1,000 B, one more array than threads; after 5,000 steps a thread exchanges its
//            array for the one that nobody holds
// Units      an item is one block freed and one allocated
// Owner      an array belongs to the thread that holds it, or to nobody
// Threads    any number; with one thread two arrays take turns
// Source     the workload that Larson & Krishnan describe in Memory Allocation for Long-Running Server Applications, 1998
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_LARSON_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_LARSON_LOOP_H_

#include <benchmark/benchmark.h>

#include <atomic>
#include <utility>

#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

inline constexpr uint32_t kLarsonSlotCount = 1000;
inline constexpr uint32_t kLarsonLeastBytes = 8;
inline constexpr uint32_t kLarsonMostBytes = 1000;
inline constexpr unsigned kLarsonStepsPerTurn = 5000;

struct LarsonSlot {
  void* block;
  size_t bytes;
};

// What goes from thread to thread; shared by the threads of one benchmark.
class LarsonArrays {
 public:
  explicit LarsonArrays(int thread_count) : slots_((static_cast<size_t>(thread_count) + 1) * kLarsonSlotCount) {}

  LarsonSlot* ArrayOf(int thread) { return &slots_[static_cast<size_t>(thread) * kLarsonSlotCount]; }
  // At the start of a call, by one thread, before the others are let go.
  void SetSpare() { spare_.store(ArrayOf(0) + slots_.size() - kLarsonSlotCount, std::memory_order_relaxed); }
  // Acquire and release: what the last owner did to the array comes with it.
  LarsonSlot* Exchange(LarsonSlot* mine) { return spare_.exchange(mine, std::memory_order_acq_rel); }
  void SetFailed() { failed_.store(true, std::memory_order_relaxed); }
  bool failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  MappedArray<LarsonSlot> slots_;
  std::atomic<LarsonSlot*> spare_ = nullptr;
  std::atomic<bool> failed_ = false;
};

// Frees the array's blocks; empty slots are passed over.
template <typename HandsType>
bool FreeLarsonArray(LarsonSlot* array, HandsType& hands) {
  for (uint32_t i = 0; i < kLarsonSlotCount; ++i) {
    LarsonSlot& slot = array[i];
    if (slot.block == nullptr) continue;
    if (!hands.Deallocate(slot.block, slot.bytes, reinterpret_cast<uintptr_t>(&slot))) return false;
    slot.block = nullptr;
  }
  return true;
}

template <typename ShelfType>
void LarsonLoop(benchmark::State& state, ShelfType& shelf, LarsonArrays& arrays) {
  auto taken = shelf.Take(state);
  if (!taken) {
    arrays.SetFailed();
    return;
  }
  auto hands = *std::move(taken);
  if (state.thread_index() == 0) arrays.SetSpare();
  LarsonSlot* array = arrays.ArrayOf(state.thread_index());
  Random random(FirstStamp(state));
  unsigned steps_left = kLarsonStepsPerTurn;
  const bool ok = RunSteps(state, [&] {
    // A slot's address is its block's stamp: it stays the same whoever holds the array.
    LarsonSlot& slot = array[random.Below(kLarsonSlotCount)];
    const auto stamp = reinterpret_cast<uintptr_t>(&slot);
    if (slot.block != nullptr && !hands.Deallocate(slot.block, slot.bytes, stamp)) return Trouble::kChanged;
    slot.bytes = kLarsonLeastBytes + random.Below(kLarsonMostBytes - kLarsonLeastBytes + 1);
    slot.block = hands.Allocate(slot.bytes, stamp);
    if (slot.block == nullptr) [[unlikely]]
      return Trouble::kRefused;
    if (--steps_left == 0) [[unlikely]] {
      steps_left = kLarsonStepsPerTurn;
      array = arrays.Exchange(array);
    }
    return Trouble::kNone;
  });
  if (!ok) arrays.SetFailed();
  // All threads are past their last step here: Google Benchmark lets nobody leave the loop earlier.
  if (!arrays.failed()) {
    bool freed = FreeLarsonArray(array, hands);
    if (state.thread_index() == 0) freed = FreeLarsonArray(arrays.Exchange(nullptr), hands) && freed;
    if (!freed) Fail(state, ToString(Trouble::kChanged));
  }
  state.SetItemsProcessed(state.iterations());
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_LARSON_LOOP_H_
