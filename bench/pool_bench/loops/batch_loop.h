// BatchLoop: so many blocks of one size allocated, then all freed: first in first out, last in first out, or at random.
//
// Shape      orders are made before; at random they are shuffled, several for a short batch, so that no batch is freed in
//            the order of the one before. One batch is not measured: it takes its memory from the system, which growth measures
// Units      an item is one block allocated and freed
// Threads    each thread has a batch of its own
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_BATCH_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_BATCH_LOOP_H_

#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

enum class FreeOrder : uint8_t { kFifo, kLifo, kRandom };

constexpr const char* ToString(FreeOrder order) {
  switch (order) {
    case FreeOrder::kFifo: return "fifo";
    case FreeOrder::kLifo: return "lifo";
    case FreeOrder::kRandom: return "random";
  }
  return "?";
}

// Positions in a batch, one order behind the other.
class BatchOrders {
 public:
  BatchOrders(FreeOrder order, size_t block_count, uint64_t seed)
      : block_count_(block_count),
        order_count_(order != FreeOrder::kRandom ? 1
                     : block_count <= 1000       ? 16
                                                 : 2),
        positions_(block_count * order_count_) {
    Random random(seed);
    for (size_t i = 0; i < order_count_; ++i) {
      uint32_t* begin = &positions_[i * block_count];
      std::iota(begin, begin + block_count, uint32_t{0});
      if (order == FreeOrder::kRandom) random.Shuffle(begin, block_count);
      if (order == FreeOrder::kLifo) std::reverse(begin, begin + block_count);
    }
  }
  const uint32_t* At(size_t round) const { return &positions_[round % order_count_ * block_count_]; }

 private:
  const size_t block_count_;
  const size_t order_count_;
  MappedArray<uint32_t> positions_;
};

template <typename ShelfType>
void BatchLoop(benchmark::State& state, ShelfType& shelf, FreeOrder free_order, size_t bytes) {
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);
  const size_t block_count = shelf.demand().live_count;
  const BatchOrders orders(free_order, block_count, static_cast<uint64_t>(state.thread_index()));
  MappedArray<void*> blocks(block_count);
  const uint64_t stamp = FirstStamp(state);
  size_t round = 0;
  // At both of its calls the loops stand in this function, with what they use in registers.
  const auto batch = [&]() __attribute__((always_inline)) {
    for (size_t i = 0; i < block_count; ++i) {
      blocks[i] = hands.Allocate(bytes, stamp + i);
      if (blocks[i] == nullptr) [[unlikely]]
        return Trouble::kRefused;
    }
    const uint32_t* order = orders.At(round++);
    for (size_t i = 0; i < block_count; ++i) {
      if (!hands.Deallocate(blocks[order[i]], bytes, stamp + order[i])) return Trouble::kChanged;
    }
    return Trouble::kNone;
  };
  if (const Trouble trouble = batch(); trouble != Trouble::kNone) return Fail(state, ToString(trouble));
  RunSteps(state, batch);
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(block_count));
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_BATCH_LOOP_H_
