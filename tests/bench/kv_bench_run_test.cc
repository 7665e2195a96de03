// kv_bench from end to end: every allocator of this machine, what it reports, and that it fits together.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "bench/allocator_catalog.h"
#include "bench/program.h"
#include "bench/workload.h"

namespace hugepool::testing {
namespace {

using nlohmann::json;

constexpr const char* kSmall[] = {"--records=20000", "--seconds=0.3", "--warmup_most_seconds=0", "--rounds=2"};

std::vector<std::string> Arguments(const ScratchDir& dir, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--db=" + (dir / "db"), "--json=" + (dir / "out.json")};
  arguments.insert(arguments.end(), std::begin(kSmall), std::end(kSmall));
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

const json* FindRow(const json& document, const std::string& name) {
  for (const json& row : document.at("rows")) {
    if (row.at("name") == name) return &row;
  }
  return nullptr;
}

double Sum(const json& pages) {
  return pages.at("hugetlb_bytes").get<double>() + pages.at("transparent_bytes").get<double>() +
         pages.at("small_bytes").get<double>();
}

void ExpectWholeRow(const json& row, unsigned round_count) {
  SCOPED_TRACE(row.at("title").get<std::string>());
  EXPECT_EQ(row.at("rounds").size(), round_count);
  for (const char* name : {"operations_per_second", "p50_ns", "p99_ns", "p999_ns"}) {
    const json& spread = row.at(name);
    EXPECT_GT(spread.at("min"), 0) << name;
    EXPECT_LE(spread.at("min"), spread.at("median")) << name;
    EXPECT_LE(spread.at("median"), spread.at("max")) << name;
  }
  EXPECT_LE(row.at("p50_ns").at("median"), row.at("p99_ns").at("median"));
  EXPECT_LE(row.at("p99_ns").at("median"), row.at("p999_ns").at("median"));
  uint64_t verified_count = 0;
  for (const json& round : row.at("rounds")) {
    EXPECT_GE(round.at("verified_count"), round.at("operation_count"));
    EXPECT_FALSE(round.at("samples").empty());
    verified_count += round.at("verified_count").get<uint64_t>();
  }
  EXPECT_EQ(row.at("verified_count"), verified_count);
  const json& memory = row.at("memory");
  EXPECT_GE(memory.at("payload_bytes"), memory.at("filled_payload_bytes"));
  EXPECT_GE(Sum(memory.at("pages_of_process")), Sum(memory.at("pages_behind_blocks")));
  EXPECT_GE(Sum(memory.at("pages_behind_blocks")), memory.at("payload_bytes"));
  const std::string library = bench::FindAllocator(row.at("name"))->library;
  const std::string loaded = row.at("loaded");
  EXPECT_NE(loaded.find(library.empty() ? "/libc" : library.substr(0, library.find('.'))), std::string::npos) << loaded;
}

void ExpectPoolRow(const json& row) {
  SCOPED_TRACE(row.at("title").get<std::string>());
  EXPECT_GE(row.at("pool_footprint"), 1.0);
  EXPECT_EQ(row.at("fallback_count"), 0);
  const json& memory = row.at("memory");
  EXPECT_EQ(memory.at("misplaced_count"), 0);
  const json& pages = memory.at("pages_of_pool");
  EXPECT_GE(Sum(pages), memory.at("payload_bytes"));
  if (row.at("name").get<std::string>().starts_with("hugepool-hugetlb")) {
    EXPECT_EQ(pages.at("hugetlb_bytes"), Sum(pages));
    EXPECT_EQ(memory.at("pages_behind_blocks").at("hugetlb_bytes"), Sum(memory.at("pages_behind_blocks")));
  }
  if (row.at("name") == "hugepool-small") {
    EXPECT_EQ(pages.at("small_bytes"), Sum(pages));
  }
}

TEST(KvBench, AllAllocatorsRunOrAreSkippedWithAReason) {
  ScratchDir dir;
  const Outcome outcome = RunKvBench(Arguments(dir, {"--html=" + (dir / "page.html"), "--allocators=all"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  ASSERT_TRUE(document.is_object());

  double payload_bytes = 0;
  for (const bench::AllocatorRow& known : bench::AllocatorCatalog()) {
    const json* row = FindRow(document, known.name);
    ASSERT_NE(row, nullptr) << known.name << " was dropped";
    EXPECT_NE(outcome.output.find(known.name), std::string::npos);
    if (row->at("status") == "skipped") {
      std::cout << known.name << " skipped: " << row->at("reason") << "\n";
      EXPECT_FALSE(row->at("reason").get<std::string>().empty());
      continue;
    }
    ASSERT_EQ(row->at("status"), "ok") << row->at("reason");
    ExpectWholeRow(*row, 2);
    EXPECT_EQ(row->at("hit_ratio"), 1.0) << "all data fits";
    if (known.is_hugepool()) {
      ExpectPoolRow(*row);
    } else {
      EXPECT_TRUE(row->at("pool_footprint").is_null());
    }
    // The same database, all cached: every allocator is asked for exactly the same bytes.
    if (payload_bytes == 0) payload_bytes = row->at("memory").at("payload_bytes");
    EXPECT_EQ(row->at("memory").at("payload_bytes"), payload_bytes) << known.name;
  }
  EXPECT_GT(payload_bytes, 20000 * 416);
  EXPECT_LT(payload_bytes, 20000 * 440);
  EXPECT_EQ(FindRow(document, "malloc")->at("ratio"), 1.0);
  EXPECT_EQ(FindRow(document, "hugepool-small")->at("status"), "ok");
  EXPECT_EQ(document.at("database").at("records"), 20000);
  EXPECT_NE(document.at("command").get<std::string>().find("--allocators=all"), std::string::npos);
  EXPECT_NE(outcome.output.find("machine: "), std::string::npos);
  EXPECT_NE(FileText(dir / "page.html").find("hugepool-small"), std::string::npos);
}

TEST(KvBench, SmallCacheChurnsAndReportsItsSway) {
  ScratchDir dir;
  const Outcome outcome =
      RunKvBench(Arguments(dir, {"--cache_bytes=30%", "--allocators=malloc,hugepool-small", "--seconds=0.8"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  for (const char* name : {"malloc", "hugepool-small"}) {
    const json& row = *FindRow(document, name);
    EXPECT_GT(row.at("hit_ratio"), 0.10) << name;
    EXPECT_LT(row.at("hit_ratio"), 0.40) << name;
    size_t sample_count = 0;
    for (const json& round : row.at("rounds")) {
      EXPECT_GT(round.at("miss_count"), 0);
      for (const json& sample : round.at("samples")) {
        ++sample_count;
        EXPECT_GT(sample.at("process_bytes"), 0);
        EXPECT_EQ(sample.contains("pool_bytes"), std::string(name) == "hugepool-small");
      }
    }
    EXPECT_GE(sample_count, 6u) << "one in 250 ms";
    EXPECT_GE(row.at("process_flatness"), 0.0);
  }
  EXPECT_FALSE(FindRow(document, "hugepool-small")->at("pool_flatness").is_null());
}

// Three of the eighteen shapes that kv_bench_soak measures at 1.5 GiB; at 256 MiB what the caches of the CPUs hold and the page kept ahead
// are 2 % more.
class KvBenchFootprint : public ::testing::TestWithParam<std::array<const char*, 3>> {};

TEST_P(KvBenchFootprint, IsBelowThePeersAfterFiveTurnovers) {
  const auto& [compression, value_bytes, block_bytes] = GetParam();
  ScratchDir dir;
  const uint64_t record_count = (uint64_t{400} << 20) / (std::stoul(value_bytes) + 27);
  const Outcome outcome = RunKvBench(
      Arguments(dir, {std::string("--compression=") + compression, std::string("--value_bytes=") + value_bytes,
                      std::string("--block_bytes=") + block_bytes, "--records=" + std::to_string(record_count),
                      "--cache_bytes=256M", "--turnovers=5", "--allocators=malloc,jemalloc,hugepool-small"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  std::cout << outcome.output;
  const json document = FileJson(dir / "out.json");
  const json& row = *FindRow(document, "hugepool-small");
  const json& malloc_row = *FindRow(document, "malloc");
  EXPECT_LE(row.at("pool_footprint"), 1.05);
  EXPECT_LE(row.at("process_footprint"), malloc_row.at("process_footprint"));
  if (const json& jemalloc = *FindRow(document, "jemalloc"); jemalloc.at("status") == "ok") {
    EXPECT_LE(row.at("process_footprint"), jemalloc.at("process_footprint"));
  }
  EXPECT_GE(row.at("blocks_per_gib").get<double>(), 0.99 * malloc_row.at("blocks_per_gib").get<double>());
  EXPECT_GE(row.at("hit_ratio").get<double>(), malloc_row.at("hit_ratio").get<double>() - 0.01);
  EXPECT_EQ(row.at("fallback_count"), 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, KvBenchFootprint,
                         ::testing::Values(std::array{"none", "400", "4096"}, std::array{"none", "1000", "16384"},
                                           std::array{"lz4", "100", "16384"}),
                         [](const auto& shape) {
                           return std::string(shape.param[0]) + "_" + shape.param[1] + "_in_" + shape.param[2];
                         });

// Ten minutes of it, on five times the data, are in kv_bench_soak.
TEST(KvBench, FootprintStaysFlatThroughAMinuteOfEvictionChurn) {
  ScratchDir dir;
  const Outcome outcome =
      RunKvBench({"--db=" + (dir / "db"), "--json=" + (dir / "out.json"), "--records=1000000", "--cache_bytes=30%",
                  "--allocators=hugepool-hugetlb", "--rounds=3", "--seconds=20", "--turnovers=5"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& row = *FindRow(document, "hugepool-hugetlb");
  if (row.at("status") == "skipped") GTEST_SKIP() << row.at("reason").get<std::string>();
  ExpectWholeRow(row, 3);
  ExpectPoolRow(row);
  EXPECT_LT(row.at("hit_ratio"), 0.35);
  EXPECT_LE(row.at("pool_flatness"), 0.02);
  EXPECT_LE(row.at("process_flatness"), 0.02);
}

TEST(KvBench, ZipfHitsMoreThanUniformAndHyperClockServes) {
  ScratchDir dir;
  double hit_ratios[2];
  int i = 0;
  for (const char* workload : {"--workload=readrandom", "--workload=ycsb-c"}) {
    const Outcome outcome = RunKvBench(
        Arguments(dir, {"--cache_bytes=20%", "--cache_type=hyper_clock", "--allocators=hugepool-small", workload}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
    const json document = FileJson(dir / "out.json");
    EXPECT_EQ(document.at("options").at("cache_type"), "hyper_clock");
    EXPECT_TRUE(FindRow(document, "hugepool-small")->at("ratio").is_null()) << "no malloc to compare with";
    hit_ratios[i++] = FindRow(document, "hugepool-small")->at("hit_ratio");
  }
  EXPECT_GT(hit_ratios[1], hit_ratios[0] + 0.1);
}

class KvBenchWorkload : public ::testing::TestWithParam<bench::Workload> {};

TEST_P(KvBenchWorkload, RunsChecksItsValuesAndLeavesTheDatabaseAsItWas) {
  ScratchDir dir;
  const auto tables = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir / "db")) {
      if (entry.path().extension() == ".sst") names.insert(entry.path().filename());
    }
    return names;
  };
  const Outcome first = RunKvBench(Arguments(dir, {"--allocators=malloc", "--rounds=1"}));
  ASSERT_EQ(first.exit_code, 0) << first.error;
  const auto tables_before = tables();
  const Outcome outcome =
      RunKvBench(Arguments(dir, {"--workload=" + GetParam().name, "--allocators=malloc,hugepool-small",
                                 "--cache_bytes=50%", "--threads=2"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  EXPECT_EQ(document.at("options").at("workload"), GetParam().name);
  for (const char* name : {"malloc", "hugepool-small"}) {
    const json& row = *FindRow(document, name);
    ASSERT_EQ(row.at("status"), "ok") << row.at("reason");
    EXPECT_GT(row.at("verified_count"), 100) << name;
    EXPECT_EQ(row.at("paced_writes_per_second") > 0, GetParam().paced_writer) << name;
    EXPECT_TRUE(std::is_sorted(row.at("latency_curve_ns").begin(), row.at("latency_curve_ns").end())) << name;
    EXPECT_EQ(row.at("ratio_to_peer"), row.at("ratio")) << "malloc is the one peer";
  }
  EXPECT_EQ(tables(), tables_before);
  EXPECT_FALSE(std::filesystem::exists(dir / "db/kv_bench_checkpoints"));
}

INSTANTIATE_TEST_SUITE_P(Workloads, KvBenchWorkload, ::testing::ValuesIn(bench::Workloads()), [](const auto& workload) {
  std::string name = workload.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(KvBench, ARateIsKeptAndALineOfCsvStandsForEachRound) {
  ScratchDir dir;
  const std::string csv_path = dir / "out.csv";
  const Outcome outcome = RunKvBench(Arguments(
      dir, {"--rate=2000", "--csv=" + csv_path, "--allocators=malloc,hugepool-small", "--seconds=1", "--rounds=2"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  for (const char* name : {"malloc", "hugepool-small"}) {
    EXPECT_NEAR(FindRow(document, name)->at("operations_per_second").at("median"), 2000, 300) << name;
  }
  const std::string csv = FileText(csv_path);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5) << csv;
}

TEST(KvBench, TurnoversChurnBeforeTheWarmUpThatIsFound) {
  ScratchDir dir;
  const Outcome outcome = RunKvBench(
      Arguments(dir, {"--cache_bytes=50%", "--turnovers=3", "--warmup_most_seconds=30", "--allocators=malloc"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& row = *FindRow(document, "malloc");
  EXPECT_EQ(row.at("is_steady"), true);
  EXPECT_GE(row.at("warm_up_seconds"), 2.0);
  EXPECT_LT(row.at("warm_up_seconds"), 30);
}

// What one run records, another one plays on every allocator: the same bytes for all.
TEST(KvBench, RecordedSizesAreReplayed) {
  ScratchDir dir;
  const std::string trace_path = dir / "sizes";
  const Outcome recorded = RunKvBench(Arguments(
      dir, {"--record_sizes=" + trace_path, "--cache_bytes=50%", "--allocators=malloc,hugepool-small,hugepool-thp"}));
  ASSERT_EQ(recorded.exit_code, 0) << recorded.error;
  const std::vector<std::string> replay = {"--replay_sizes=" + trace_path,
                                           "--json=" + (dir / "out.json"),
                                           "--html=" + (dir / "page.html"),
                                           "--rounds=2",
                                           "--seconds=0.2",
                                           "--allocators=malloc,jemalloc,hugepool-small"};
  const Outcome outcome = RunKvBench(replay);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_NE(outcome.output.find("share of all bytes"), std::string::npos) << outcome.output;
  const json document = FileJson(dir / "out.json");
  EXPECT_TRUE(document.at("database").is_null());
  const double most_live_bytes = document.at("replay").at("most_live_bytes");
  EXPECT_GT(most_live_bytes, 3'000'000) << "half of 8 MB";
  for (const json& row : document.at("rows")) {
    if (row.at("status") == "skipped") continue;
    ASSERT_EQ(row.at("status"), "ok") << row.at("reason");
    EXPECT_EQ(row.at("memory").at("payload_bytes"), most_live_bytes) << row.at("name");
    EXPECT_TRUE(row.at("hit_ratio").is_null());
    EXPECT_GT(row.at("verified_count"), 1000);
    EXPECT_GT(row.at("p50_ns").at("median"), 0);
  }
  std::vector<std::string> needed = replay;
  needed.push_back("--huge_pages_needed");
  EXPECT_GT(std::stoull(RunKvBench(needed).output), static_cast<uint64_t>(most_live_bytes) >> 21);
}

TEST(KvBench, MissingPeerIsSkippedAndItsPackageNamed) {
  ScratchDir dir;
  const Outcome outcome =
      RunKvBench(Arguments(dir, {"--peer_dirs=" + (dir / "nothing"), "--allocators=malloc,jemalloc,mimalloc-thp"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& jemalloc = *FindRow(document, "jemalloc");
  EXPECT_EQ(jemalloc.at("status"), "skipped");
  EXPECT_EQ(FindRow(document, "mimalloc-thp")->at("status"), "skipped");
  EXPECT_EQ(FindRow(document, "malloc")->at("status"), "ok");
  if (jemalloc.at("reason").get<std::string>().find("sanitizer") != std::string::npos) {
    GTEST_SKIP() << jemalloc.at("reason");
  }
  EXPECT_NE(jemalloc.at("reason").get<std::string>().find("apt-get install libjemalloc2"), std::string::npos);
  EXPECT_NE(outcome.output.find("apt-get install libmimalloc2.0"), std::string::npos) << "the table says it too";
}

// Takes free huge pages away for as long as it lives, until only so many are left.
class HugePageHolder {
 public:
  explicit HugePageHolder(uint64_t left_count) {
    uint64_t free_count = 0;
    std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> free_count;
    if (free_count <= left_count) return;
    bytes_ = (free_count - left_count) << 21;
    memory_ =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  }
  ~HugePageHolder() {
    if (memory_ != MAP_FAILED) munmap(memory_, bytes_);
  }
  HugePageHolder(const HugePageHolder&) = delete;
  HugePageHolder& operator=(const HugePageHolder&) = delete;

 private:
  void* memory_ = MAP_FAILED;
  size_t bytes_ = 0;
};

TEST(KvBench, TooFewHugePagesAreASkipThatSaysWhatIsShort) {
  const HugePageHolder holder(3);
  ScratchDir dir;
  const Outcome outcome = RunKvBench(Arguments(dir, {"--allocators=malloc,hugepool-hugetlb"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  const json document = FileJson(dir / "out.json");
  const json& row = *FindRow(document, "hugepool-hugetlb");
  ASSERT_EQ(row.at("status"), "skipped");
  const Outcome needed = RunKvBench(Arguments(dir, {"--huge_pages_needed"}));
  ASSERT_EQ(needed.exit_code, 0);
  const std::string count = std::to_string(std::stoull(needed.output));
  EXPECT_NE(row.at("reason").get<std::string>().find("needs " + count), std::string::npos) << row.at("reason");
  EXPECT_EQ(FindRow(document, "malloc")->at("status"), "ok");
}

TEST(KvBench, SecondRunTakesTheDatabasesOwnShape) {
  ScratchDir dir;
  const Outcome first = RunKvBench(
      Arguments(dir, {"--value_bytes=100", "--block_bytes=16K", "--seed=77", "--allocators=malloc", "--rounds=1"}));
  ASSERT_EQ(first.exit_code, 0) << first.error;
  const Outcome second = RunKvBench({"--db=" + (dir / "db"), "--json=" + (dir / "out.json"), "--seconds=0.2",
                                     "--rounds=1", "--allocators=malloc", "--warmup_most_seconds=0"});
  ASSERT_EQ(second.exit_code, 0) << second.error;
  EXPECT_EQ(second.error.find("making a database"), std::string::npos);
  const json database = FileJson(dir / "out.json").at("database");
  EXPECT_EQ(database.at("records"), 20000);
  EXPECT_EQ(database.at("value_bytes"), 100);
  EXPECT_EQ(database.at("block_bytes"), 16384);
  EXPECT_EQ(database.at("seed"), 77);
}

TEST(KvBench, CompressedDatabaseReadsBackToo) {
  ScratchDir dir;
  const Outcome outcome = RunKvBench(Arguments(dir, {"--compression=lz4", "--allocators=malloc,hugepool-small"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_EQ(FileJson(dir / "out.json").at("database").at("compression"), "lz4");
}

}  // namespace
}  // namespace hugepool::testing
