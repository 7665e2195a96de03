// PairLoop: one block allocated and freed at once. EightLoop: eight allocated, then freed in an order that varies.
//
// Units      an item is one block allocated and freed
// Threads    each thread on its own
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_PAIR_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_PAIR_LOOP_H_

#include <benchmark/benchmark.h>

#include <array>
#include <numeric>
#include <utility>

#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

template <typename ShelfType>
void PairLoop(benchmark::State& state, ShelfType& shelf, size_t bytes) {
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);
  uint64_t stamp = FirstStamp(state);
  RunSteps(state, [&] {
    void* block = hands.Allocate(bytes, ++stamp);
    if (block == nullptr) [[unlikely]]
      return Trouble::kRefused;
    return hands.Deallocate(block, bytes, stamp) ? Trouble::kNone : Trouble::kChanged;
  });
  state.SetItemsProcessed(state.iterations());
  shelf.Put(state, std::move(hands));
}

inline constexpr size_t kEight = 8;

// Orders in which eight blocks are freed.
class EightOrders {
 public:
  static constexpr size_t kCount = 64;
  explicit EightOrders(uint64_t seed) {
    Random random(seed);
    for (auto& order : orders_) {
      std::iota(order.begin(), order.end(), uint8_t{0});
      random.Shuffle(order.data(), kEight);
    }
  }
  const std::array<uint8_t, kEight>& At(size_t round) const { return orders_[round % kCount]; }

 private:
  std::array<std::array<uint8_t, kEight>, kCount> orders_;
};

template <typename ShelfType>
void EightLoop(benchmark::State& state, ShelfType& shelf, size_t bytes) {
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);
  const EightOrders orders(static_cast<uint64_t>(state.thread_index()));
  const uint64_t stamp = FirstStamp(state);
  size_t round = 0;
  RunSteps(state, [&] {
    std::array<void*, kEight> blocks;
    for (size_t i = 0; i < kEight; ++i) {
      blocks[i] = hands.Allocate(bytes, stamp + i);
      if (blocks[i] == nullptr) [[unlikely]]
        return Trouble::kRefused;
    }
    for (const uint8_t i : orders.At(round)) {
      if (!hands.Deallocate(blocks[i], bytes, stamp + i)) return Trouble::kChanged;
    }
    ++round;
    return Trouble::kNone;
  });
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kEight));
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_PAIR_LOOP_H_
