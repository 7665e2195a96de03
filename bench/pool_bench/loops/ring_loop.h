// RingLoop: every even thread allocates, the odd one after it frees; the blocks go through a BlockRing.
//
// Units      an item is one block, allocated here and freed there; it is counted once, by the consumer
// Threads    pairs: thread 2k and thread 2k + 1
// Invariant  both threads of a pair make the same number of steps, so the ring is empty after each call
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RING_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RING_LOOP_H_

#include <benchmark/benchmark.h>

#include <utility>
#include <vector>

#include "bench/pool_bench/block_ring.h"
#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

// Blocks out of a producer's hands: those in the ring, and those that the two threads hold beside it.
inline constexpr size_t kRingLiveCount = BlockRing::kPlaceCount + 2 * BlockRing::kPublishCount;

template <typename HandsType>
Trouble Produce(BlockRing& ring, HandsType& hands, size_t bytes, uint64_t* stamp) {
  void** places = ring.WaitForRoom();
  if (places == nullptr) return Trouble::kNone;  // the other side has said why
  for (size_t i = 0; i < BlockRing::kPublishCount; ++i) {
    places[i] = hands.Allocate(bytes, ++*stamp);
    if (places[i] == nullptr) [[unlikely]]
      return Trouble::kRefused;
  }
  ring.Publish();
  return Trouble::kNone;
}

template <typename HandsType>
Trouble Consume(BlockRing& ring, HandsType& hands, size_t bytes, uint64_t* stamp) {
  void** places = ring.WaitForBlocks();
  if (places == nullptr) return Trouble::kNone;
  for (size_t i = 0; i < BlockRing::kPublishCount; ++i) {
    if (!hands.Deallocate(places[i], bytes, ++*stamp)) return Trouble::kChanged;
  }
  ring.Consumed();
  return Trouble::kNone;
}

template <typename ShelfType>
void RingLoop(benchmark::State& state, ShelfType& shelf, std::vector<BlockRing>& rings, size_t bytes) {
  const size_t pair = static_cast<size_t>(state.thread_index()) / 2;
  const bool produces = state.thread_index() % 2 == 0;
  BlockRing& ring = rings[pair];
  auto taken = shelf.Take(state);
  if (!taken) {
    ring.Close();
    return;
  }
  auto hands = *std::move(taken);
  uint64_t stamp = (pair + 1) << 48;  // both threads count alike
  const bool ok = produces ? RunSteps(state, [&] { return Produce(ring, hands, bytes, &stamp); })
                           : RunSteps(state, [&] { return Consume(ring, hands, bytes, &stamp); });
  if (!ok) ring.Close();
  const int64_t steps = produces || ring.closed() ? 0 : state.iterations();
  state.SetItemsProcessed(steps * static_cast<int64_t>(BlockRing::kPublishCount));
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RING_LOOP_H_
