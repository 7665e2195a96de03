// The loops do what their names say, to an allocator that keeps a ledger; and they find out allocators that do not.
#include <benchmark/benchmark.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <numeric>
#include <set>
#include <thread>

#include "bench/pool_bench/ledger_subject.h"
#include "bench/pool_bench/loop_registry.h"

namespace hugepool::testing {
namespace {

using bench::BatchLoop;
using bench::FreeOrder;

struct Seen {
  std::string name;
  std::string error;
  double items_per_second = 0;
  int64_t iterations = 0;
  benchmark::UserCounters counters;
};

class Collector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      Seen one;
      one.name = run.benchmark_name();
      one.error = run.error_occurred ? run.error_message : "";
      one.iterations = run.iterations;
      one.counters = run.counters;
      const auto items = run.counters.find("items_per_second");
      if (items != run.counters.end()) one.items_per_second = items->second.value;
      seen.push_back(one);
    }
  }
  std::vector<Seen> seen;
};

constexpr double kShortSeconds = 0.005;
constexpr double kFaultySeconds = 2;

// What is registered, each for some milliseconds.
std::vector<Seen> RunRegistered(const std::string& filter, double min_time_seconds = kShortSeconds) {
  std::string name = "loops_test", time = "--benchmark_min_time=" + std::to_string(min_time_seconds);
  char* argv[] = {name.data(), time.data(), nullptr};
  int argc = 2;
  benchmark::Initialize(&argc, argv);
  Collector collector;
  benchmark::RunSpecifiedBenchmarks(&collector, filter);
  benchmark::ClearRegisteredBenchmarks();
  return collector.seen;
}

bench::BenchOptions SmallOptions(std::vector<int> thread_counts) {
  bench::BenchOptions options;
  options.subject = "malloc";
  options.live_bytes = 5 << 20;
  options.growth_bytes = 4 << 20;
  options.turnovers = 2;
  options.thread_counts = std::move(thread_counts);
  return options;
}

// Every loop, named by the beginning of its benchmarks' names.
class EveryLoop : public ::testing::TestWithParam<const char*> {
 protected:
  // A fault ends a benchmark soon. Without one it takes min_time_seconds, and for the first few steps any allocator is
  // sound: the time is so long that one slow step is not all.
  template <bench::Subject S>
  std::vector<Seen> Run(std::vector<int> thread_counts, double min_time_seconds) {
    TheLedger().Clear();
    bench::LoopRegistry<S, /*kVerified=*/true>(SmallOptions(std::move(thread_counts))).All();
    return RunRegistered(std::string("^") + GetParam(), min_time_seconds);
  }
  bool is_ring() const { return std::string(GetParam()) == "ring/"; }
  bool is_pair() const { return std::string(GetParam()) == "pair/"; }
};

TEST_P(EveryLoop, FreesWhatItAllocatedOnceWithItsSizeAndWroteTheFirstWord) {
  const std::vector<Seen> seen = Run<LedgerSubject>({1, 2, 4}, kShortSeconds);
  ASSERT_FALSE(seen.empty());
  for (const Seen& one : seen) {
    EXPECT_EQ(one.error, "") << one.name;
    EXPECT_GT(one.items_per_second, 0) << one.name;
  }
  const Ledger& ledger = TheLedger();
  EXPECT_TRUE(ledger.wrong.empty()) << ledger.wrong.front() << ", and " << ledger.wrong.size() - 1 << " more";
  EXPECT_TRUE(ledger.live.empty()) << ledger.live.size() << " blocks were not freed";
  EXPECT_EQ(ledger.allocate_count, ledger.free_count);
  EXPECT_GT(ledger.allocate_count, 0u);
}

TEST_P(EveryLoop, SoundAllocatorPasses) {
  for (const Seen& one : Run<FaultySubject<Fault::kNone>>({1, 2}, kShortSeconds)) EXPECT_EQ(one.error, "") << one.name;
}

TEST_P(EveryLoop, BlockHandedOutTwiceIsFound) {
  // One live block a thread: the same one again is what a pair asks for.
  if (is_pair()) return;
  const std::vector<Seen> seen = Run<FaultySubject<Fault::kTwice>>({is_ring() ? 2 : 1}, kFaultySeconds);
  ASSERT_FALSE(seen.empty());
  for (const Seen& one : seen)
    EXPECT_NE(one.error.find("does not hold what was written"), std::string::npos)
        << one.name << " " << one.error << " " << one.iterations;
  EXPECT_TRUE(bench::AnyFailed());
}

TEST_P(EveryLoop, OverlappingBlocksAreFound) {
  if (is_pair()) return;
  const std::vector<Seen> seen = Run<FaultySubject<Fault::kOverlap>>({is_ring() ? 2 : 1}, kFaultySeconds);
  ASSERT_FALSE(seen.empty());
  for (const Seen& one : seen)
    EXPECT_NE(one.error.find("does not hold what was written"), std::string::npos)
        << one.name << " " << one.error << " " << one.iterations;
}

TEST_P(EveryLoop, RefusedBlockEndsTheLoopOnEveryThread) {
  for (const int threads : {2, 4}) {
    const std::vector<Seen> seen = Run<FaultySubject<Fault::kRefuses>>({threads}, kFaultySeconds);
    ASSERT_FALSE(seen.empty());
    for (const Seen& one : seen) EXPECT_EQ(one.error, "Allocate returned nullptr") << one.name;
  }
}

TEST_P(EveryLoop, SubjectThatCannotBeHadIsAnErrorWithItsReason) {
  const std::vector<Seen> seen = Run<FaultySubject<Fault::kNoHandle>>({2}, kFaultySeconds);
  ASSERT_FALSE(seen.empty());
  for (const Seen& one : seen) EXPECT_EQ(one.error, "nothing to be had") << one.name;
}

INSTANTIATE_TEST_SUITE_P(Loops, EveryLoop,
                         ::testing::Values("pair/", "eight/", "random_classes", "batch/1000/fifo", "batch/1000/lifo",
                                           "batch/1000/random", "replace/", "ring/", "larson"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

// One loop by itself, with a known number of iterations.
template <typename Body>
Seen RunOnce(const bench::BlockDemand& demand, int64_t iterations, Body body, int threads = 1) {
  TheLedger().Clear();
  auto box = std::make_shared<bench::SubjectBox<LedgerSubject>>(bench::SubjectOptions{});
  auto shelf = std::make_shared<bench::Shelf<LedgerSubject, true>>(box, demand, threads);
  benchmark::RegisterBenchmark("once", [shelf, body](benchmark::State& state) { body(state, *shelf); })
      ->Iterations(iterations)
      ->Threads(threads)
      ->UseManualTime();
  return RunRegistered(".").front();
}

TEST(Loops, BatchIsFreedInTheOrderOfItsName) {
  constexpr size_t kCount = 100;
  for (const FreeOrder order : {FreeOrder::kFifo, FreeOrder::kLifo, FreeOrder::kRandom}) {
    // One that is not measured, and one.
    RunOnce({64, kCount}, 1, [order](auto& state, auto& shelf) { BatchLoop(state, shelf, order, 64); });
    const std::vector<size_t>& freed = TheLedger().freed_positions;
    ASSERT_EQ(freed.size(), 2 * kCount);
    std::vector<size_t> first(freed.begin(), freed.begin() + kCount), second(freed.begin() + kCount, freed.end());
    for (size_t& position : second) position -= kCount;
    std::vector<size_t> fifo(kCount);
    std::iota(fifo.begin(), fifo.end(), size_t{0});
    std::vector<size_t> lifo(fifo.rbegin(), fifo.rend());
    if (order == FreeOrder::kLifo) {
      EXPECT_EQ(first, lifo);
    } else if (order == FreeOrder::kFifo) {
      EXPECT_EQ(first, fifo);
    } else {
      EXPECT_NE(first, fifo);
      EXPECT_NE(first, lifo);
      EXPECT_NE(first, second) << "the second batch is freed in another order";
      std::sort(first.begin(), first.end());
      EXPECT_EQ(first, fifo) << "each once";
    }
    EXPECT_EQ(TheLedger().most_live_count, kCount);
  }
}

TEST(Loops, EightAreFreedInOrdersThatVary) {
  RunOnce({64, 8}, 64, [](auto& state, auto& shelf) { bench::EightLoop(state, shelf, 64); });
  const std::vector<size_t>& freed = TheLedger().freed_positions;
  ASSERT_EQ(freed.size(), 64 * 8u);
  std::set<std::vector<size_t>> orders;
  for (size_t round = 0; round < 64; ++round) {
    std::vector<size_t> order(freed.begin() + static_cast<ptrdiff_t>(round * 8),
                              freed.begin() + static_cast<ptrdiff_t>(round * 8 + 8));
    for (size_t& position : order) position -= round * 8;
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
  EXPECT_GT(orders.size(), 50u);
}

TEST(Loops, RandomClassesSpanAllSizesAndSlots) {
  const auto steps = bench::MakeClassSteps(1);
  std::set<unsigned> slots, doublings;
  for (size_t i = 0; i < steps.size(); ++i) {
    EXPECT_GT(steps[i].bytes, bench::kLeastClassBytes);
    EXPECT_LE(steps[i].bytes, bench::kMostClassBytes);
    slots.insert(steps[i].slot);
    doublings.insert(static_cast<unsigned>(std::bit_width(steps[i].bytes - 1)));
  }
  EXPECT_EQ(slots.size(), bench::kWindowCount);
  EXPECT_EQ(*slots.rbegin(), bench::kWindowCount - 1);
  EXPECT_EQ(doublings.size(), 9u);
}

TEST(Loops, GrowthUsesEveryBlockOnceAndReportsQuantiles) {
  const Seen seen = RunOnce({4160, 500}, 1, [](auto& state, auto& shelf) { bench::GrowthLoop(state, shelf, 4160); });
  EXPECT_EQ(seen.error, "");
  EXPECT_EQ(TheLedger().allocate_count, 500u);
  EXPECT_EQ(TheLedger().most_live_count, 500u);
  EXPECT_TRUE(TheLedger().live.empty());
  EXPECT_TRUE(TheLedger().wrong.empty());
  for (const char* name : {"allocate_p50_ns", "allocate_p999_ns", "first_use_p999_ns"}) {
    ASSERT_TRUE(seen.counters.count(name)) << name;
    EXPECT_GT(seen.counters.at(name).value, 0) << name;
  }
  EXPECT_GE(seen.counters.at("allocate_p999_ns").value, seen.counters.at("allocate_p50_ns").value);
}

TEST(Loops, FootprintReplacesSoManyTimesTheLiveBytes) {
  const bench::FootprintPlan plan{4096, 4351, 2 << 20, 3};
  const size_t count = plan.block_count();
  const Seen seen =
      RunOnce({4351, count}, 1, [plan](auto& state, auto& shelf) { bench::FootprintLoop(state, shelf, plan); });
  EXPECT_EQ(seen.error, "");
  EXPECT_NEAR(static_cast<double>(TheLedger().allocate_count), 4.0 * static_cast<double>(count), 0.02 * 4 * count);
  EXPECT_EQ(TheLedger().most_live_count, count);
  EXPECT_TRUE(TheLedger().live.empty());
  EXPECT_TRUE(TheLedger().wrong.empty());
  EXPECT_NEAR(seen.counters.at("payload_bytes").value, 2 << 20, 20000);
  EXPECT_GT(seen.counters.at("footprint_ratio").value, 0);
  EXPECT_FALSE(seen.counters.count("pool_ratio")) << "it has no pool";
}

TEST(Loops, ItemsAreCountedOnce) {
  constexpr int64_t kIterations = 10;
  const auto items = [](const Seen& seen) { return seen.iterations; };
  const Seen ring = RunOnce(
      {64, bench::kRingLiveCount}, kIterations,
      [rings = std::make_shared<std::vector<bench::BlockRing>>(1)](auto& state, auto& shelf) {
        bench::RingLoop(state, shelf, *rings, 64);
      },
      /*threads=*/2);
  EXPECT_EQ(ring.error, "");
  EXPECT_EQ(items(ring), 2 * kIterations) << "both threads' iterations";
  EXPECT_EQ(TheLedger().allocate_count, kIterations * bench::BlockRing::kPublishCount);
}

TEST(Loops, GrowthAndFootprintRefuseAProcessThatHasAllocatedBefore) {
  (void)bench::IsFirstInProcess();
  bench::LoopRegistry<LedgerSubject, true>(SmallOptions({1})).All();
  const std::vector<Seen> seen = RunRegistered("^(growth|footprint)/");
  ASSERT_EQ(seen.size(), 4u);
  for (const Seen& one : seen) EXPECT_NE(one.error.find("--benchmark_filter"), std::string::npos) << one.name;
}

TEST(Loops, BatchesThatKeepTooMuchAliveAreLeftOut) {
  bench::LoopRegistry<LedgerSubject, true>(SmallOptions({1, 2})).All();
  const std::vector<Seen> seen = RunRegistered("^batch/1000/fifo/4160/");
  ASSERT_EQ(seen.size(), 1u) << "4.2 MB fit into --live_bytes=5M, two times that do not";
}

TEST(BlockRing, BlocksArriveInOrderAndClosingLetsBothSidesGo) {
  bench::BlockRing ring;
  constexpr size_t kBatches = 200;
  std::thread producer([&] {
    uintptr_t next = 1;
    for (size_t batch = 0; batch < kBatches; ++batch) {
      void** places = ring.WaitForRoom();
      for (size_t i = 0; i < bench::BlockRing::kPublishCount; ++i) places[i] = reinterpret_cast<void*>(next++);
      ring.Publish();
    }
  });
  uintptr_t expected = 1;
  for (size_t batch = 0; batch < kBatches; ++batch) {
    void** places = ring.WaitForBlocks();
    for (size_t i = 0; i < bench::BlockRing::kPublishCount; ++i) {
      ASSERT_EQ(reinterpret_cast<uintptr_t>(places[i]), expected++);
    }
    ring.Consumed();
  }
  producer.join();
  std::thread waiting([&] { EXPECT_EQ(ring.WaitForBlocks(), nullptr); });
  ring.Close();
  waiting.join();
}

TEST(BenchOptions, ThreadCountsAreOneTwoCpusAndFourTimesThatEachOnce) {
  EXPECT_EQ(bench::DefaultThreadCounts(1), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(bench::DefaultThreadCounts(2), (std::vector<int>{1, 2, 8}));
  EXPECT_EQ(bench::DefaultThreadCounts(16), (std::vector<int>{1, 2, 16, 64}));
  EXPECT_EQ(bench::DefaultThreadCounts(0), (std::vector<int>{1, 2, 4}));
}

}  // namespace
}  // namespace hugepool::testing
