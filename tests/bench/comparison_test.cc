// From the runs' figures to medians, spreads and ratios.
#include "bench/comparison.h"

#include <gtest/gtest.h>

#include "bench/compare_table.h"

namespace hugepool::bench {
namespace {

RowRuns Row(const char* name, const char* key, const std::vector<double>& values) {
  RowRuns runs;
  runs.row = FindCompareRow(name);
  for (const double value : values) {
    BenchRun run;
    run.figures[key] = value;
    runs.runs.push_back(run);
  }
  return runs;
}

const Line& LineOf(const MeasureResult& result, const std::string& name) {
  for (const Line& line : result.lines) {
    if (line.runs->row->name == name) return line;
  }
  ADD_FAILURE() << "no line " << name;
  return result.lines.front();
}

TEST(Comparison, RatiosAreMediansOfTheRoundsRatios) {
  // The machine slows down to a third; the ratios do not.
  const BenchmarkRuns benchmark = {
      "pair/64/manual_time/threads:1",
      {Row("malloc", "items_per_second", {300, 100, 200}), Row("jemalloc", "items_per_second", {360, 120, 250}),
       Row("hugepool-pool", "items_per_second", {720, 240, 500})}};
  const std::vector<MeasureResult> results = Compare(benchmark);
  ASSERT_EQ(results.size(), 1u);
  const MeasureResult& result = results.front();
  EXPECT_EQ(result.best_peer->row->name, "jemalloc");
  EXPECT_EQ(LineOf(result, "malloc").value.median, 200);
  EXPECT_EQ(LineOf(result, "malloc").value.least, 100);
  EXPECT_EQ(LineOf(result, "malloc").value.most, 300);
  EXPECT_DOUBLE_EQ(*LineOf(result, "malloc").to_malloc, 1);
  EXPECT_DOUBLE_EQ(*LineOf(result, "jemalloc").to_malloc, 1.2);
  EXPECT_DOUBLE_EQ(*LineOf(result, "hugepool-pool").to_malloc, 2.4);
  EXPECT_DOUBLE_EQ(*LineOf(result, "hugepool-pool").to_best_peer, 2);
  EXPECT_DOUBLE_EQ(*LineOf(result, "jemalloc").to_best_peer, 1);
}

TEST(Comparison, BestPeerIsTheLeastWhereLessIsBetterAndNeverTheLimitOrOurselves) {
  const BenchmarkRuns benchmark = {
      "footprint/one_size/iterations:1/manual_time",
      {Row("malloc", "footprint_ratio", {1.3, 1.1, 1.2}), Row("jemalloc", "footprint_ratio", {1.25, 1.25, 1.25}),
       Row("array", "footprint_ratio", {1.0, 1.0, 1.0}), Row("hugepool-pool", "footprint_ratio", {1.01, 1.01, 1.01})}};
  const MeasureResult result = Compare(benchmark).front();
  EXPECT_STREQ(result.measure->key, "footprint_ratio");
  EXPECT_EQ(result.best_peer->row->name, "malloc");
  EXPECT_DOUBLE_EQ(*LineOf(result, "hugepool-pool").to_best_peer, 1.01 / 1.2);
}

TEST(Comparison, WhatIsForOneThreadIsNoMeasureForWhatIsForAny) {
  const BenchmarkRuns benchmark = {
      "pair/64/manual_time/threads:1",
      {Row("malloc", "items_per_second", {1, 1, 1}), Row("boost-pool", "items_per_second", {8, 8, 8}),
       Row("hugepool-slab_cache", "items_per_second", {4, 4, 4}),
       Row("hugepool-local_pool", "items_per_second", {16, 16, 16})}};
  const MeasureResult result = Compare(benchmark).front();
  EXPECT_EQ(result.best_peer->row->name, "malloc");
  EXPECT_EQ(result.best_one_thread_peer->row->name, "boost-pool");
  EXPECT_DOUBLE_EQ(*LineOf(result, "hugepool-slab_cache").to_best_peer, 4);
  EXPECT_DOUBLE_EQ(*LineOf(result, "hugepool-local_pool").to_best_peer, 2);
  EXPECT_DOUBLE_EQ(*LineOf(result, "boost-pool").to_best_peer, 1);
  const std::string text = FormatComparison({.benchmarks = {benchmark}, .skipped = {}, .refusal = ""}, Machine());
  EXPECT_NE(text.find("best for one thread"), std::string::npos) << text;
}

TEST(Comparison, FailedRowsAndMissingBaselineLeaveNoRatio) {
  BenchmarkRuns benchmark = {"pair/64",
                             {Row("malloc", "items_per_second", {1}), Row("array", "items_per_second", {5})}};
  benchmark.rows[0].status = RowStatus::kFailed;
  benchmark.rows[0].reason = "round 2: ended by SIGSEGV";
  const MeasureResult result = Compare(benchmark).front();
  ASSERT_EQ(result.lines.size(), 1u);
  EXPECT_EQ(result.best_peer, nullptr);
  EXPECT_FALSE(result.lines[0].to_malloc);
  EXPECT_FALSE(result.lines[0].to_best_peer);
  const std::string text = FormatComparison({.benchmarks = {benchmark}, .skipped = {}, .refusal = ""}, Machine());
  EXPECT_NE(text.find("failed malloc in pair/64: round 2: ended by SIGSEGV"), std::string::npos) << text;
}

TEST(Comparison, ZeroOfTheOtherIsNoRatio) {
  const BenchmarkRuns benchmark = {"pair/64",
                                   {Row("malloc", "items_per_second", {0, 2}), Row("tbb", "items_per_second", {4, 6})}};
  EXPECT_DOUBLE_EQ(*LineOf(Compare(benchmark).front(), "tbb").to_malloc, 3);
}

TEST(Comparison, EveryMeasureOfABenchmarkHasItsTable) {
  BenchmarkRuns benchmark = {
      "growth/4G/iterations:1/manual_time",
      {Row("malloc", "items_per_second", {4e5}), Row("hugepool-pool", "items_per_second", {8e5})}};
  for (RowRuns& row : benchmark.rows) row.runs[0].figures["allocate_p999_ns"] = 1500;
  const std::vector<MeasureResult> results = Compare(benchmark);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_STREQ(results[1].measure->key, "allocate_p999_ns");
  const std::string text = FormatComparison({.benchmarks = {benchmark}, .skipped = {}, .refusal = ""}, Machine());
  EXPECT_NE(text.find("growth/4G: operations (more is better)"), std::string::npos) << text;
  EXPECT_NE(text.find("growth/4G: p99.9 of Allocate (less is better)"), std::string::npos) << text;
  EXPECT_NE(text.find("1.50 µs"), std::string::npos) << text;
  EXPECT_NE(text.find("best peer"), std::string::npos) << text;
}

TEST(Comparison, TitlesLeaveOutWhatIsTheSameForAll) {
  EXPECT_EQ((BenchmarkRuns{"pair/64/manual_time/threads:1", {}}.Title()), "pair/64");
  EXPECT_EQ((BenchmarkRuns{"ring/64/manual_time/threads:8", {}}.Title()), "ring/64, 8 threads");
  EXPECT_EQ((BenchmarkRuns{"growth/4G/populated/iterations:1/manual_time", {}}.Title()), "growth/4G/populated");
}

TEST(Comparison, PagesAreNamedWithSharesWhereMixed) {
  const auto text = [](double hugetlb, double thp) {
    BenchRun run;
    run.figures = {{"hugetlb_share", hugetlb}, {"thp_share", thp}};
    return PagesText(run);
  };
  EXPECT_EQ(text(1, 0), "hugetlb");
  EXPECT_EQ(text(0, 1), "THP");
  EXPECT_EQ(text(0, 0), "4 KiB");
  EXPECT_EQ(text(0.5, 0.25), "hugetlb 50 %, THP 25 %, 4 KiB 25 %");
  EXPECT_EQ(PagesText(BenchRun()), "");
}

TEST(CompareRows, PeersAreThoseOfTheCatalogAndEveryNameIsThereOnce) {
  for (const AllocatorRow& allocator : AllocatorCatalog()) {
    if (allocator.is_hugepool()) continue;
    const CompareRow* row = FindCompareRow(allocator.name);
    ASSERT_NE(row, nullptr) << allocator.name;
    EXPECT_EQ(row->allocator, &allocator);
    EXPECT_EQ(row->subject, "malloc");
    EXPECT_TRUE(row->by_default) << "a comparison without the peers' huge-page settings is worth nothing";
  }
  for (const CompareRow& row : CompareRows()) EXPECT_EQ(FindCompareRow(row.name), &row) << row.name;
}

TEST(CompareRows, SomeTakeOnlyTheBenchmarksThatMakeSense) {
  EXPECT_TRUE(FindCompareRow("tcmalloc-thp")->Takes("replace/4160/manual_time/threads:1"));
  EXPECT_FALSE(FindCompareRow("tcmalloc-thp")->Takes("pair/64/manual_time/threads:1"));
  EXPECT_TRUE(FindCompareRow("pmr-synchronized")->Takes("batch/1000/fifo/64"));
  EXPECT_FALSE(FindCompareRow("pmr-synchronized")->Takes("batch/100000/fifo/64"));
  EXPECT_FALSE(FindCompareRow("pmr-synchronized")->Takes("footprint/one_size"));
  EXPECT_TRUE(FindCompareRow("malloc")->Takes("footprint/one_size"));
}

}  // namespace
}  // namespace hugepool::bench
