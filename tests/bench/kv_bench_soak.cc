// The figures that the project promises, on 5 million records. Footprints and pages are asserted; speeds are kept as
// figures (tests/run.sh writes them into its summary), since another program beside it changes them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "bench/program.h"
#include "bench/workload.h"

namespace hugepool::testing {
namespace {

using nlohmann::json;

const std::vector<std::string> kShape = {"--records=5000000", "--value_bytes=400", "--block_bytes=4096"};

uint64_t FreeHugePages() {
  uint64_t count = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> count;
  return count;
}

// Leaves the document where tests/run.sh collects figures.
void KeepFigures(const std::string& name, const json& document) {
  const char* folder = std::getenv("HUGEPOOL_FIGURES_DIR");
  if (folder == nullptr) return;
  std::ofstream file(std::string(folder) + "/" + name + ".json");
  json short_document = document;
  for (json& row : short_document.at("rows")) row.erase("rounds");
  file << short_document.dump(2) << "\n";
}

bool HasThp() {
  const std::string modes = FileText("/sys/kernel/mm/transparent_hugepage/enabled");
  return !modes.empty() && modes.find("[never]") == std::string::npos;
}

const json& RowOf(const json& document, const std::string& name) {
  for (const json& row : document.at("rows")) {
    if (row.at("name") == name && row.at("status") == "ok") return row;
  }
  ADD_FAILURE() << name << " did not run";
  static const json nothing;
  return nothing;
}

class KvBenchSoak : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { dir_ = new ScratchDir(); }
  static void TearDownTestSuite() {
    delete dir_;
    dir_ = nullptr;
  }

  // The document of a run, or null after a failure.
  static json Run(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"--db=" + (*dir_ / "db"), "--json=" + (*dir_ / "out.json")};
    arguments.insert(arguments.end(), kShape.begin(), kShape.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = RunKvBench(arguments);
    std::cout << outcome.output << std::flush;
    EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
    return outcome.exit_code == 0 ? FileJson(*dir_ / "out.json") : json();
  }

  static std::string WhyNoHugetlb(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--db=" + (*dir_ / "db"), "--huge_pages_needed"};
    arguments.insert(arguments.end(), kShape.begin(), kShape.end());
    arguments.insert(arguments.end(), more.begin(), more.end());
    const uint64_t needed_count = std::stoull(RunKvBench(arguments).output);
    if (FreeHugePages() >= needed_count) return "";
    return "needs " + std::to_string(needed_count) + " free huge pages of 2 MiB, " + std::to_string(FreeHugePages()) +
           " are";
  }

  static ScratchDir* dir_;
};
ScratchDir* KvBenchSoak::dir_ = nullptr;

TEST_F(KvBenchSoak, AllCachedLiesOnHugetlbAndReadsAreMeasuredAgainstMalloc) {
  const std::string why_not = WhyNoHugetlb({});
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const json document = Run({"--allocators=malloc,hugepool-hugetlb,hugepool-small", "--rounds=15", "--seconds=2"});
  ASSERT_TRUE(document.is_object());
  KeepFigures("kv_bench_all_cached", document);
  const json& hugetlb = RowOf(document, "hugepool-hugetlb");
  ASSERT_TRUE(hugetlb.is_object());
  EXPECT_GT(hugetlb.at("ratio"), 0);
  EXPECT_LE(hugetlb.at("pool_footprint"), 1.06);
  EXPECT_GE(hugetlb.at("hit_ratio"), 0.9999);  // the fill may miss a short block at the end of a file
  for (const json& round : hugetlb.at("rounds")) {
    const json& pages = round.at("memory").at("pages_of_pool");
    EXPECT_GT(pages.at("hugetlb_bytes"), 0);
    EXPECT_EQ(pages.at("transparent_bytes"), 0);
    EXPECT_EQ(pages.at("small_bytes"), 0);
  }
  const json& small = RowOf(document, "hugepool-small");
  ASSERT_TRUE(small.is_object());
  EXPECT_EQ(small.at("memory").at("pages_of_pool").at("hugetlb_bytes"), 0);
  EXPECT_EQ(small.at("memory").at("pages_of_pool").at("transparent_bytes"), 0);
}

TEST_F(KvBenchSoak, FootprintStaysFlatThroughTenMinutesOfEvictionChurn) {
  const std::string why_not = WhyNoHugetlb({"--cache_bytes=30%"});
  const std::string row_name = why_not.empty() ? "hugepool-hugetlb" : "hugepool-small";
  if (!why_not.empty()) std::cout << "on 4 KiB pages: " << why_not << "\n";
  const json document =
      Run({"--cache_bytes=30%", "--allocators=" + row_name, "--rounds=20", "--seconds=30", "--turnovers=5"});
  ASSERT_TRUE(document.is_object());
  KeepFigures("kv_bench_churn", document);
  const json& row = RowOf(document, row_name);
  ASSERT_TRUE(row.is_object());
  EXPECT_LT(row.at("hit_ratio"), 0.35);
  EXPECT_LE(row.at("pool_flatness"), 0.02);
  EXPECT_LE(row.at("process_flatness"), 0.02);
  EXPECT_EQ(row.at("fallback_count"), 0);
}

// What a full cache takes after it was turned over five times, for the sizes that engines have.
struct Shape {
  const char* compression;
  uint64_t value_bytes;
  uint64_t block_bytes;
};

class KvBenchFootprint : public ::testing::TestWithParam<Shape> {};

TEST_P(KvBenchFootprint, IsBelowEveryPeersAfterFiveTurnovers) {
  const auto [compression, value_bytes, block_bytes] = GetParam();
  const uint64_t cache_bytes = uint64_t{3} << 29;  // 1.5 GiB
  ScratchDir dir;
  const std::string own = HasThp() ? "hugepool-thp" : "hugepool-small";
  const Outcome outcome = RunKvBench(
      {"--db=" + (dir / "db"), "--json=" + (dir / "out.json"), std::string("--compression=") + compression,
       "--value_bytes=" + std::to_string(value_bytes), "--block_bytes=" + std::to_string(block_bytes),
       "--records=" + std::to_string(cache_bytes * 3 / 2 / (value_bytes + 27)), "--cache_bytes=1536M", "--turnovers=5",
       "--rounds=5", "--seconds=1", "--allocators=malloc,jemalloc,tcmalloc,mimalloc," + own});
  std::cout << outcome.output << std::flush;
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  KeepFigures("kv_bench_footprint_" + std::string(compression) + "_" + std::to_string(value_bytes) + "_" +
                  std::to_string(block_bytes),
              document);
  const json& row = RowOf(document, own);
  ASSERT_TRUE(row.is_object());
  EXPECT_EQ(row.at("fallback_count"), 0);
  EXPECT_LE(row.at("pool_footprint"), 1.02);
  for (const json& peer : document.at("rows")) {
    if (peer.at("status") != "ok" || peer.at("hugepool")) continue;
    EXPECT_LE(row.at("process_footprint"), peer.at("process_footprint")) << peer.at("name");
  }
  const json& malloc_row = RowOf(document, "malloc");
  EXPECT_GE(row.at("blocks_per_gib").get<double>(), 0.999 * malloc_row.at("blocks_per_gib").get<double>());
  EXPECT_GE(row.at("hit_ratio").get<double>(), malloc_row.at("hit_ratio").get<double>() - 0.005);
}

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const char* compression : {"none", "lz4"}) {
    for (const uint64_t value_bytes : {100, 400, 1000}) {
      for (const uint64_t block_bytes : {4096, 8192, 16384}) shapes.push_back({compression, value_bytes, block_bytes});
    }
  }
  return shapes;
}

INSTANTIATE_TEST_SUITE_P(Shapes, KvBenchFootprint, ::testing::ValuesIn(Shapes()), [](const auto& shape) {
  return std::string(shape.param.compression) + "_" + std::to_string(shape.param.value_bytes) + "_in_" +
         std::to_string(shape.param.block_bytes);
});

// Every workload on every allocator at its best: figures only.
class KvBenchWorkloads : public ::testing::TestWithParam<bench::Workload> {};

TEST_P(KvBenchWorkloads, AreMeasuredAgainstEveryPeerAtItsBest) {
  ScratchDir dir;
  const Outcome outcome =
      RunKvBench({"--db=" + (dir / "db"), "--json=" + (dir / "out.json"), "--records=3000000", "--value_bytes=400",
                  "--block_bytes=4096", "--workload=" + GetParam().name, "--rounds=5", "--seconds=3",
                  "--allocators=malloc,jemalloc,tcmalloc,mimalloc,jemalloc-thp,tcmalloc-thp,mimalloc-thp,hugepool-"
                  "small,hugepool-thp,"
                  "hugepool-thp+jemalloc-thp"});
  std::cout << outcome.output << std::flush;
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  KeepFigures("kv_bench_" + GetParam().name, document);
  EXPECT_GT(RowOf(document, "hugepool-small").at("verified_count"), 0);
}

INSTANTIATE_TEST_SUITE_P(Workloads, KvBenchWorkloads, ::testing::ValuesIn(bench::Workloads()),
                         [](const auto& workload) {
                           std::string name = workload.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace hugepool::testing
