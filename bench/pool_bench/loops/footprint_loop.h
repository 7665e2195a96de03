// FootprintLoop: memory for each byte of payload after long churn: blocks are replaced at random until bytes worth many
// times the live ones were replaced.
//
// Shape      one run a process. The books are arrays in mappings of their own, made before the base is measured; the
//            subject is made after it. Every page of a block is written, so that it counts
// Units      bytes. Payload: live bytes as requested, counted here. Process: VmRSS + HugetlbPages, less the base. Pool:
//            PoolStats::FootprintBytes()
// Threads    one
// Source     the ratio is the one of docs/design.md: footprint ÷ payload
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_FOOTPRINT_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_FOOTPRINT_LOOP_H_

#include <benchmark/benchmark.h>
#include <hugepool/pool.h>

#include <algorithm>
#include <utility>

#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/loops/growth_loop.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"
#include "bench/process_memory.h"

namespace hugepool::bench {

struct FootprintPlan {
  size_t least_bytes = 0;
  size_t most_bytes = 0;
  uint64_t live_bytes = 0;
  double turnovers = 0;  // bytes replaced, for each live byte

  size_t block_count() const { return std::max<size_t>(1, live_bytes / ((least_bytes + most_bytes) / 2)); }
};

template <typename ShelfType>
void FootprintLoop(benchmark::State& state, ShelfType& shelf, const FootprintPlan& plan) {
  const size_t block_count = plan.block_count();
  MappedArray<void*> blocks(block_count);
  MappedArray<uint32_t> sizes(block_count);
  Random random(1);
  const auto choose_bytes = [&] {
    return static_cast<uint32_t>(plan.least_bytes) +
           random.Below(static_cast<uint32_t>(plan.most_bytes - plan.least_bytes + 1));
  };
  const uint64_t base_bytes = ReadFootprintBytes();
  auto taken = shelf.Take(state);
  if (!taken) return;
  auto hands = *std::move(taken);

  const uint64_t stamp = FirstStamp(state);
  uint64_t payload_bytes = 0;
  const auto allocate = [&](size_t i) {
    sizes[i] = choose_bytes();
    blocks[i] = hands.AllocateUnwritten(sizes[i]);
    if (blocks[i] == nullptr) return false;
    TouchPages(blocks[i], sizes[i]);
    hands.Stamp(blocks[i], sizes[i], stamp + i);
    payload_bytes += sizes[i];
    return true;
  };
  const bool ok = RunSteps(state, [&] {
    for (size_t i = 0; i < block_count; ++i) {
      if (!allocate(i)) return Trouble::kRefused;
    }
    const auto replaced_goal = static_cast<uint64_t>(plan.turnovers * static_cast<double>(payload_bytes));
    for (uint64_t replaced_bytes = 0; replaced_bytes < replaced_goal;) {
      const uint32_t i = random.Below(static_cast<uint32_t>(block_count));
      replaced_bytes += sizes[i];
      payload_bytes -= sizes[i];
      if (!hands.Deallocate(blocks[i], sizes[i], stamp + i)) return Trouble::kChanged;
      if (!allocate(i)) return Trouble::kRefused;
    }
    return Trouble::kNone;
  });
  if (!ok) return;
  const uint64_t now_bytes = ReadFootprintBytes();
  const double payload = static_cast<double>(payload_bytes);
  state.counters["footprint_ratio"] = static_cast<double>(now_bytes - std::min(now_bytes, base_bytes)) / payload;
  state.counters["payload_bytes"] = payload;
  if (const Pool* pool = shelf.pool()) {
    state.counters["pool_ratio"] = static_cast<double>(pool->Stats().FootprintBytes()) / payload;
  }
  for (size_t i = 0; i < block_count; ++i) {
    if (!hands.Deallocate(blocks[i], sizes[i], stamp + i)) return Fail(state, ToString(Trouble::kChanged));
  }
  shelf.Put(state, std::move(hands));
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_FOOTPRINT_LOOP_H_
