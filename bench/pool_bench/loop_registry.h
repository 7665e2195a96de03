// LoopRegistry: which loops a subject can run, under which names, with how many threads.
//
// Shape      names are loop/…/bytes: pair/64, eight/4160, random_classes, batch/1000/fifo/64, replace/4160, ring/64,
//            larson, growth/4G, growth/4G/populated, footprint/one_size
// Owner      Google Benchmark owns what is registered here until ClearRegisteredBenchmarks
// Threads    one, before the benchmarks run
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOP_REGISTRY_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOP_REGISTRY_H_

#include <benchmark/benchmark.h>
#include <hugepool/pool.h>
#include <hugepool/pool_options.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/pool_bench/bench_options.h"
#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/loops/batch_loop.h"
#include "bench/pool_bench/loops/footprint_loop.h"
#include "bench/pool_bench/loops/growth_loop.h"
#include "bench/pool_bench/loops/larson_loop.h"
#include "bench/pool_bench/loops/pair_loop.h"
#include "bench/pool_bench/loops/random_classes_loop.h"
#include "bench/pool_bench/loops/replace_loop.h"
#include "bench/pool_bench/loops/ring_loop.h"
#include "bench/pool_bench/process_start.h"

namespace hugepool::bench {

// Compiled in by the tests: contents are compared before each free. The program that measures has it off.
#ifdef HUGEPOOL_BENCH_VERIFY
inline constexpr bool kVerifyContents = true;
#else
inline constexpr bool kVerifyContents = false;
#endif

inline constexpr size_t kPairSizes[] = {64, 256, 1024, 4160, 16448, 32768};
inline constexpr size_t kBatchSizes[] = {64, 4160};
inline constexpr size_t kBatchCounts[] = {1000, 100'000};
inline constexpr size_t kReplaceSizes[] = {4160, 16448};
inline constexpr size_t kRingSizes[] = {64, 1024, 4160};
inline constexpr size_t kGrowthBlockBytes = 4160;

struct FootprintCase {
  const char* name;
  size_t least_bytes;
  size_t most_bytes;
};
inline constexpr FootprintCase kFootprintCases[] = {
    {"one_size", 4160, 4160}, {"spread_256", 4096, 4351}, {"rocksdb_blocks", 3789, 8499}};  // 3.7 to 8.3 KiB

// What stands behind the pool's pages, by its own books; 0 to 1.
inline void CountPages(benchmark::State& state, const Pool* pool) {
  if (pool == nullptr) return;
  const PoolStats stats = pool->Stats();
  const double committed = static_cast<double>(std::max<uint64_t>(1, stats.committed_bytes));
  state.counters["hugetlb_share"] = static_cast<double>(stats.CommittedBytes(Backing::kHugetlb)) / committed;
  state.counters["thp_share"] = static_cast<double>(stats.CommittedBytes(Backing::kTransparentHuge)) / committed;
}

template <Subject S, bool kVerified>
class LoopRegistry {
 public:
  using ShelfType = Shelf<S, kVerified>;

  explicit LoopRegistry(const BenchOptions& options)
      : options_(options), box_(std::make_shared<SubjectBox<S>>(options.PoolOf(options.capacity_bytes))) {}

  void All() {
    for (const size_t bytes : kPairSizes) {
      AddFree("pair/" + std::to_string(bytes), {bytes, 1},
              [bytes](auto& state, auto& shelf) { PairLoop(state, shelf, bytes); });
    }
    for (const size_t bytes : kPairSizes) {
      AddFree("eight/" + std::to_string(bytes), {bytes, kEight},
              [bytes](auto& state, auto& shelf) { EightLoop(state, shelf, bytes); });
    }
    if constexpr (S::kAnySize) {
      AddFree("random_classes", {kMostClassBytes, kWindowCount},
              [](auto& state, auto& shelf) { RandomClassesLoop(state, shelf); });
    }
    Batches();
    Replaces();
    if constexpr (S::kAcrossThreads) Rings();
    if constexpr (S::kAnySize && S::kAcrossThreads) Larson();
    Growths();
    Footprints();
  }

  void Rings() {
    for (const size_t bytes : kRingSizes) {
      for (const int threads : Threads()) {
        if (threads % 2 != 0) continue;
        auto rings = std::make_shared<std::vector<BlockRing>>(static_cast<size_t>(threads) / 2);
        Add("ring/" + std::to_string(bytes), threads, {bytes, kRingLiveCount},
            [bytes, rings](auto& state, auto& shelf) { RingLoop(state, shelf, *rings, bytes); });
      }
    }
  }

 private:
  std::vector<int> Threads() const {
    if (!S::kThreads) return {1};
    return options_.thread_counts;
  }

  // What Google Benchmark calls on each thread. The body's blocks go before the shelf with their allocator.
  template <typename Body>
  struct Run {
    std::shared_ptr<ShelfType> shelf;
    Body body;
    bool alone = false;  // in a process that has not allocated before

    void operator()(benchmark::State& state) const {
      if (!IsFirstInProcess() && alone) return Fail(state, kNotFirst);
      body(state, *shelf);
      if (state.thread_index() == 0) CountPages(state, shelf->pool());
    }
  };

  // One benchmark with that many threads. body(state, shelf) runs on each of them.
  template <typename Body>
  void Add(const std::string& name, int threads, const BlockDemand& demand, Body body) {
    Run<Body> run{std::make_shared<ShelfType>(box_, demand, threads), body};
    benchmark::RegisterBenchmark(name.c_str(), std::move(run))->Threads(threads)->UseManualTime();
  }
  // With every count of threads, which do not meet.
  template <typename Body>
  void AddFree(const std::string& name, const BlockDemand& demand, Body body) {
    for (const int threads : Threads()) Add(name, threads, demand, body);
  }
  // In a process and with a subject of its own, once.
  template <typename Body>
  void AddAlone(const std::string& name, const SubjectOptions& subject_options, const BlockDemand& demand, Body body) {
    auto box = std::make_shared<SubjectBox<S>>(subject_options);
    Run<Body> run{std::make_shared<ShelfType>(std::move(box), demand, 1), body, /*alone=*/true};
    benchmark::RegisterBenchmark(name.c_str(), std::move(run))->Iterations(1)->UseManualTime();
  }

  void Batches() {
    for (const size_t bytes : kBatchSizes) {
      for (const size_t count : kBatchCounts) {
        for (const FreeOrder order : {FreeOrder::kFifo, FreeOrder::kLifo, FreeOrder::kRandom}) {
          const std::string name =
              "batch/" + std::to_string(count) + "/" + ToString(order) + "/" + std::to_string(bytes);
          for (const int threads : Threads()) {
            if (count * bytes * static_cast<size_t>(threads) > options_.live_bytes) continue;
            Add(name, threads, {bytes, count},
                [order, bytes](auto& state, auto& shelf) { BatchLoop(state, shelf, order, bytes); });
          }
        }
      }
    }
  }

  void Replaces() {
    for (const size_t bytes : kReplaceSizes) {
      for (const int threads : Threads()) {
        const size_t count = std::max<size_t>(1, options_.live_bytes / bytes / static_cast<size_t>(threads));
        auto set = std::make_shared<ReplaceSet<ShelfType>>(bytes, count, threads, options_.collapse);
        Add("replace/" + std::to_string(bytes), threads, {bytes, count},
            [set](auto& state, auto& shelf) { set->Loop(state, shelf); });
      }
    }
  }

  void Larson() {
    for (const int threads : Threads()) {
      auto arrays = std::make_shared<LarsonArrays>(threads);
      Add("larson", threads, {kLarsonMostBytes, kLarsonSlotCount},
          [arrays](auto& state, auto& shelf) { LarsonLoop(state, shelf, *arrays); });
    }
  }

  void Growths() {
    if constexpr (!S::kGrows) return;
    const size_t count = options_.growth_bytes / kGrowthBlockBytes;
    const std::string name = "growth/" + FormatBytes(options_.growth_bytes);
    SubjectOptions subject_options = options_.PoolOf(options_.GrowthCapacityBytes());
    const auto body = [](auto& state, auto& shelf) { GrowthLoop(state, shelf, kGrowthBlockBytes); };
    AddAlone(name, subject_options, {kGrowthBlockBytes, count}, body);
    if constexpr (requires { S::kPopulates; }) {
      subject_options.populate_at_start = PopulateAtStart::kAll;
      AddAlone(name + "/populated", subject_options, {kGrowthBlockBytes, count}, body);
    }
  }

  void Footprints() {
    for (const FootprintCase& each : kFootprintCases) {
      if (!S::kAnySize && each.least_bytes != each.most_bytes) continue;
      const FootprintPlan plan{each.least_bytes, each.most_bytes, options_.live_bytes, options_.turnovers};
      AddAlone(std::string("footprint/") + each.name, options_.PoolOf(options_.capacity_bytes),
               {each.most_bytes, plan.block_count()},
               [plan](auto& state, auto& shelf) { FootprintLoop(state, shelf, plan); });
    }
  }

  const BenchOptions options_;
  const std::shared_ptr<SubjectBox<S>> box_;
};

// Every loop that the subject can run; between threads perhaps by its stand-in.
template <Subject S>
void RegisterLoops(const BenchOptions& options) {
  LoopRegistry<S, kVerifyContents>(options).All();
  if constexpr (requires { typename S::AcrossThreads; }) {
    LoopRegistry<typename S::AcrossThreads, kVerifyContents>(options).Rings();
  }
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOP_REGISTRY_H_
