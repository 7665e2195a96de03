// GrowthLoop: how long single calls of Allocate take while an allocator grows, and how long until a block can be used.
//
// Shape      one run a process; blocks of one size until their sum is reached; a clock around each Allocate, and one more
//            after the first write to each of the block's pages
// Units      nanoseconds; create_s is what the subject needed before (populating at start belongs to it)
// Threads    one
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_GROWTH_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_GROWTH_LOOP_H_

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <utility>

#include "bench/latency_histogram.h"
#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/steps.h"

namespace hugepool::bench {

inline constexpr size_t kSmallPageBytes = 4096;

// A byte on each 4 KiB page of the block, and its last one. The contents are written after it.
inline void TouchPages(void* block, size_t bytes) {
  auto* const begin = static_cast<volatile std::byte*>(block);
  for (size_t at = 0; at < bytes; at += kSmallPageBytes) begin[at] = std::byte{1};
  begin[bytes - 1] = std::byte{1};
}

template <typename ShelfType>
void GrowthLoop(benchmark::State& state, ShelfType& shelf, size_t bytes) {
  using Clock = std::chrono::steady_clock;
  const auto nanoseconds = [](Clock::duration span) {
    return static_cast<uint64_t>(std::chrono::nanoseconds(span).count());
  };
  const size_t block_count = shelf.demand().live_count;
  MappedArray<void*> blocks(block_count);
  const auto before = Clock::now();
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);
  const double create_seconds = std::chrono::duration<double>(Clock::now() - before).count();

  auto allocate_ns = std::make_unique<LatencyHistogram>();
  auto first_use_ns = std::make_unique<LatencyHistogram>();
  const uint64_t stamp = FirstStamp(state);
  const bool ok = RunSteps(state, [&] {
    for (size_t i = 0; i < block_count; ++i) {
      const auto start = Clock::now();
      blocks[i] = hands.AllocateUnwritten(bytes);
      const auto allocated = Clock::now();
      if (blocks[i] == nullptr) [[unlikely]]
        return Trouble::kRefused;
      TouchPages(blocks[i], bytes);
      hands.Stamp(blocks[i], bytes, stamp + i);
      const auto used = Clock::now();
      allocate_ns->Record(nanoseconds(allocated - start));
      first_use_ns->Record(nanoseconds(used - start));
    }
    return Trouble::kNone;
  });
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(block_count));
  if (!ok) return;
  for (size_t i = 0; i < block_count; ++i) {
    if (!hands.Deallocate(blocks[i], bytes, stamp + i)) return Fail(state, ToString(Trouble::kChanged));
  }
  state.counters["create_s"] = create_seconds;
  state.counters["allocate_p50_ns"] = allocate_ns->QuantileNs(0.5);
  state.counters["allocate_p999_ns"] = allocate_ns->QuantileNs(0.999);
  state.counters["allocate_max_ns"] = allocate_ns->QuantileNs(1);
  state.counters["first_use_p999_ns"] = first_use_ns->QuantileNs(0.999);
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_GROWTH_LOOP_H_
