// RandomClassesLoop: a window of live blocks, in which a random one is freed and one of a random size takes its place.
//
// Shape      64 blocks a thread; sizes from 64 B to 32 KiB, each doubling as likely as another; the sequence is made before
//            and repeats after 65,536 steps
// Units      an item is one block freed and one allocated
// Threads    each thread on its own
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RANDOM_CLASSES_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RANDOM_CLASSES_LOOP_H_

#include <benchmark/benchmark.h>

#include <array>
#include <utility>

#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

inline constexpr size_t kWindowCount = 64;
inline constexpr size_t kLeastClassBytes = 64;
inline constexpr size_t kMostClassBytes = 32768;

struct ClassStep {
  uint16_t slot = 0;
  uint32_t bytes = 0;
};

inline MappedArray<ClassStep> MakeClassSteps(uint64_t seed) {
  constexpr size_t kStepCount = 65536;
  constexpr uint32_t kDoublingCount = 9;  // 64 × 2^9 = 32 KiB
  Random random(seed);
  MappedArray<ClassStep> steps(kStepCount);
  for (ClassStep& step : steps) {
    const uint32_t lower = static_cast<uint32_t>(kLeastClassBytes) << random.Below(kDoublingCount);
    step = {static_cast<uint16_t>(random.Below(kWindowCount)), lower + 1 + random.Below(lower)};
  }
  return steps;
}

template <typename ShelfType>
void RandomClassesLoop(benchmark::State& state, ShelfType& shelf) {
  struct Live {
    void* block;
    size_t bytes;
  };
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);
  const MappedArray<ClassStep> steps = MakeClassSteps(static_cast<uint64_t>(state.thread_index()));
  const uint64_t stamp = FirstStamp(state);
  std::array<Live, kWindowCount> window{};
  size_t round = 0;
  // An empty place is one where nothing is freed: the first steps fill the window.
  const auto free_place = [&](size_t slot) {
    Live& place = window[slot];
    return place.block == nullptr || hands.Deallocate(place.block, place.bytes, stamp + slot);
  };
  const bool ok = RunSteps(state, [&] {
    const ClassStep step = steps[round++ % steps.size()];
    if (!free_place(step.slot)) return Trouble::kChanged;
    void* block = hands.Allocate(step.bytes, stamp + step.slot);
    window[step.slot] = {block, step.bytes};
    return block == nullptr ? Trouble::kRefused : Trouble::kNone;
  });
  for (size_t slot = 0; slot < kWindowCount && ok; ++slot) {
    if (!free_place(slot)) Fail(state, ToString(Trouble::kChanged));
  }
  state.SetItemsProcessed(state.iterations());
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_RANDOM_CLASSES_LOOP_H_
