// Falling back and recovering, again and again: few mappings, blocks that stay where they are, nothing degraded at the
// end.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <random>
#include <vector>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"
#include "pool/kernel_maps.h"
#include "pool/pool_core.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMostMaps = 100;

struct Block {
  char* address = nullptr;
  size_t bytes = 0;
  uint64_t id = 0;
};

// Stamps at both ends, so that a hundred thousand large blocks do not touch all their pages.
constexpr size_t kEndBytes = 256;

void Mark(const Block& block) {
  const size_t marked_bytes = std::min(block.bytes, kEndBytes);
  Stamp(block.address + block.bytes - marked_bytes, marked_bytes, block.id + kEndBytes);
  Stamp(block.address, marked_bytes / 2, block.id);
}

bool IsMarked(const Block& block) {
  const size_t marked_bytes = std::min(block.bytes, kEndBytes);
  const bool apart = block.bytes >= 2 * kEndBytes;
  return HasStamp(block.address, marked_bytes / 2, block.id) &&
         (!apart || HasStamp(block.address + block.bytes - marked_bytes, marked_bytes, block.id + kEndBytes));
}

// Blocks of the ladder's tests: stamped when allocated, checked when freed.
class Blocks {
 public:
  Blocks(Pool& pool, uint64_t seed) : pool_(pool), random_(seed) {}

  uint64_t Below(uint64_t limit) { return random_() % limit; }

  bool Allocate() {
    const size_t bytes = size_t{1} << Below(22);
    return Allocate(bytes + Below(bytes));
  }
  bool Allocate(size_t bytes) {
    char* const address = static_cast<char*>(pool_.Allocate(bytes));
    if (address == nullptr) return false;
    blocks_.push_back({address, bytes, ++next_id_ << 21});
    Mark(blocks_.back());
    return true;
  }
  void FreeAny() {
    std::swap(blocks_[Below(blocks_.size())], blocks_.back());
    Free(blocks_.back());
    blocks_.pop_back();
  }
  void FreeAll() {
    while (!blocks_.empty()) FreeAny();
  }
  bool AllKeepTheirStamps() const { return std::all_of(blocks_.begin(), blocks_.end(), IsMarked); }
  size_t size() const { return blocks_.size(); }

 private:
  void Free(const Block& block) {
    EXPECT_TRUE(IsMarked(block)) << "a block of " << block.bytes << " bytes changed";
    pool_.Deallocate(block.address, block.bytes);
  }

  Pool& pool_;
  std::mt19937_64 random_;
  uint64_t next_id_ = 0;
  std::vector<Block> blocks_;
};

TEST(PoolLadder, FallsBackAndRecovers100000Times) {
  constexpr size_t kCycleCount = kSanitized ? 20'000 : 100'000;
  const uint64_t seed = Seed();
  const Stopwatch stopwatch;
  constexpr uint64_t kSmallBytes = 512 * kMiB;
  SimulatedOs os(EachNode(4, kSmallBytes));
  // By the machine's books: statistics that ask the kernel each time are too slow here.
  const auto is_degraded = [&os] {
    const std::array<int, 4> node_ids = {0, 1, 4, 7};
    return std::any_of(node_ids.begin(), node_ids.end(),
                       [&os](int node_id) { return os.small_bytes(node_id) != kSmallBytes; });
  };
  PoolOptions options;
  options.capacity_bytes = 64 * kMiB;
  options.placement = Placement::Local();
  const auto pool = MakePool(options, os, FourNodes());
  // These stay for the whole test, above and below the border.
  Blocks kept(*pool, seed);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(kept.Allocate(100 + i * 7000));
  Blocks blocks(*pool, seed + 1);
  size_t peak_maps = 0;
  uint64_t fall_back_count = 0;
  uint64_t recover_count = 0;
  for (size_t cycle = 0; recover_count < kCycleCount; ++cycle) {
    // A rival takes the huge pages of the node, all or some.
    const int node_id = static_cast<int>(blocks.Below(2));
    SimulatedOs::SetCpu(node_id * 2);
    const uint64_t taken =
        blocks.Below(2) == 0 ? os.free_huge_page_count(node_id) : blocks.Below(os.free_huge_page_count(node_id) + 1);
    os.SetFreeHugePages(node_id, os.free_huge_page_count(node_id) - taken);
    os.RefuseCollapse(blocks.Below(4) == 0 ? ENOMEM : 0);
    for (uint64_t i = 0; i < 40 && !is_degraded(); ++i) (void)blocks.Allocate(kMiB + blocks.Below(2 * kMiB));
    const bool degraded = is_degraded();
    fall_back_count += degraded ? 1 : 0;
    if (blocks.Below(4) == 0) (void)blocks.Allocate();
    if (blocks.Below(64) == 0) (void)pool->Trim(blocks.Below(options.capacity_bytes));
    if (cycle % 10 == 0) {
      peak_maps = std::max(peak_maps, os.CountKernelMaps());
      ASSERT_LT(peak_maps, kMostMaps) << "cycle " << cycle;
    }
    // It lets them go: what is freed drains the lower rungs, and what is allocated lies on huge pages.
    os.SetFreeHugePages(node_id, os.free_huge_page_count(node_id) + taken);
    os.AdvanceNs(10'000'000);
    while (blocks.size() != 0 && is_degraded()) blocks.FreeAny();
    if (is_degraded()) (void)pool->Trim(pool->Stats().committed_bytes - 1);  // what the caches held back
    ASSERT_FALSE(is_degraded()) << "cycle " << cycle << ": " << pool->Stats().ToText();
    recover_count += degraded ? 1 : 0;
    if (cycle % 1000 == 0) {
      ASSERT_EQ(Complaint(*pool), "") << "cycle " << cycle;
      ASSERT_EQ(pool->Stats().DegradedBytes(), 0u) << "cycle " << cycle;
      ASSERT_TRUE(kept.AllKeepTheirStamps()) << "cycle " << cycle;
    }
    ASSERT_LT(cycle, 4 * kCycleCount) << "it hardly ever falls back";
  }
  EXPECT_TRUE(kept.AllKeepTheirStamps());
  blocks.FreeAll();
  kept.FreeAll();
  EXPECT_EQ(pool->Stats().DegradedBytes(), 0u);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(Complaint(*pool), "");
  EXPECT_EQ(os.complaints(), std::vector<std::string>());
  WriteFigures("pool_ladder", {{"seed", static_cast<double>(seed)},
                               {"fall_backs", static_cast<double>(fall_back_count)},
                               {"recoveries", static_cast<double>(recover_count)},
                               {"peak_maps", static_cast<double>(peak_maps)},
                               {"seconds", stopwatch.Seconds()}});
}

// The real kernel, with a note of what it mapped.
class NotingOs : public internal::OsMemory {
 public:
  int Reserve(size_t bytes, void** address) override { return Note(OsMemory::Reserve(bytes, address), bytes, address); }
  int MapSmall(size_t bytes, void** address) override {
    return Note(OsMemory::MapSmall(bytes, address), bytes, address);
  }
  size_t CountMaps() const { return CountKernelMaps(mappings_); }

 private:
  int Note(int refused, size_t bytes, void** address) {
    if (refused == 0) mappings_[reinterpret_cast<uintptr_t>(*address)] = bytes;
    return refused;
  }
  std::map<uintptr_t, size_t> mappings_;
};

// Huge pages that somebody else holds.
class Rival {
 public:
  explicit Rival(size_t page_count) : bytes_(page_count * kHugePageBytes) {
    pages_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB | (21 << 26), -1, 0);
    if (pages_ == MAP_FAILED) pages_ = nullptr;
  }
  ~Rival() {
    if (pages_ != nullptr) munmap(pages_, bytes_);
  }
  Rival(const Rival&) = delete;
  Rival& operator=(const Rival&) = delete;

  // Takes pages until none is left or all are taken.
  void Take() {
    if (pages_ != nullptr) (void)os_.Populate(pages_, bytes_);
  }
  void LetGo() {
    if (pages_ != nullptr) (void)os_.GiveBack(pages_, bytes_);
  }

 private:
  internal::OsMemory os_;
  void* pages_ = nullptr;
  const size_t bytes_;
};

TEST(PoolLadder, FallsBackAndRecoversOnTheRealKernel) {
  constexpr size_t kCycleCount = kSanitized ? 200 : 2'000;
  constexpr uint64_t kNeededPages = 64;
  NotingOs os;
  uint64_t free_count = 0;
  if (os.FreeHugePages(0, kHugePageBytes, &free_count) != 0 || free_count < kNeededPages) {
    GTEST_SKIP() << "node 0 has " << free_count << " free huge pages, this test needs " << kNeededPages;
  }
  const uint64_t seed = Seed();
  const Stopwatch stopwatch;
  PoolOptions options;
  options.capacity_bytes = 32 * kMiB;
  Error error;
  const auto topology = internal::Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  const auto pool = internal::CreatePool(options, os, *topology, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  Blocks kept(*pool, seed);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(kept.Allocate(100 + i * 7000));
  Blocks blocks(*pool, seed + 1);
  // All pages but a few are out of reach, so that taking the rest is quick.
  Rival holder(free_count - 20);
  holder.Take();
  Rival rival(40);
  size_t peak_maps = 0;
  uint64_t fall_back_count = 0;
  for (size_t cycle = 0; cycle < kCycleCount; ++cycle) {
    rival.Take();
    for (int i = 0; i < 16 && pool->Stats().DegradedBytes() == 0; ++i)
      (void)blocks.Allocate(kMiB + blocks.Below(2 * kMiB));
    fall_back_count += pool->Stats().DegradedBytes() != 0 ? 1 : 0;
    peak_maps = std::max(peak_maps, os.CountMaps());
    ASSERT_LT(peak_maps, kMostMaps) << "cycle " << cycle;
    rival.LetGo();
    while (blocks.size() != 0 && (pool->Stats().DegradedBytes() != 0 || blocks.size() > 4)) blocks.FreeAny();
    ASSERT_EQ(pool->Stats().DegradedBytes(), 0u) << "cycle " << cycle;
    if (cycle % 8 == 0) (void)pool->Trim(0);
  }
  EXPECT_GT(fall_back_count, kCycleCount / 2);
  EXPECT_TRUE(kept.AllKeepTheirStamps());
  const auto report = pool->VerifyPlacement(&error);
  ASSERT_TRUE(report) << error.ToString();
  EXPECT_EQ(report->small_bytes, 0u);
  EXPECT_EQ(report->transparent_bytes, 0u);
  EXPECT_EQ(report->hugetlb_bytes, pool->Stats().committed_bytes);
  blocks.FreeAll();
  kept.FreeAll();
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(Complaint(*pool), "");
  WriteFigures("pool_ladder_kernel", {{"seed", static_cast<double>(seed)},
                                      {"cycles", static_cast<double>(kCycleCount)},
                                      {"fall_backs", static_cast<double>(fall_back_count)},
                                      {"peak_maps", static_cast<double>(peak_maps)},
                                      {"seconds", stopwatch.Seconds()}});
}

// The rungs without a number of cycles: what the kernel itself says of each choice.
class KernelRungs : public ::testing::TestWithParam<HugePages> {};

TEST_P(KernelRungs, PagesAreWhatTheStatisticsSay) {
  internal::OsMemory os;
  uint64_t free_count = 0;
  (void)os.FreeHugePages(0, kHugePageBytes, &free_count);
  PoolOptions options;
  options.capacity_bytes = 32 * kMiB;
  options.huge_pages = GetParam();
  if (GetParam() == HugePages::kRequired && free_count < 16) {
    GTEST_SKIP() << "huge_pages = required: node 0 has " << free_count << " free huge pages, this test needs 16";
  }
  Error error;
  const auto pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  Blocks blocks(*pool, 1);
  while (blocks.Allocate(100'000)) {
  }
  EXPECT_TRUE(blocks.AllKeepTheirStamps());
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.committed_bytes, options.capacity_bytes);
  const auto report = pool->VerifyPlacement(&error);
  if (!report) GTEST_SKIP() << error.ToString();
  EXPECT_EQ(report->hugetlb_bytes, stats.CommittedBytes(Backing::kHugetlb));
  EXPECT_EQ(report->transparent_bytes, stats.CommittedBytes(Backing::kTransparentHuge));
  EXPECT_EQ(report->small_bytes, stats.CommittedBytes(Backing::kSmall));
  EXPECT_EQ(report->MisplacedCount(), 0u);
  blocks.FreeAll();
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(pool->VerifyPlacement(&error)->small_bytes, 0u);
}

std::string RungName(const ::testing::TestParamInfo<HugePages>& info) { return ToString(info.param); }
INSTANTIATE_TEST_SUITE_P(HugePages, KernelRungs,
                         ::testing::Values(HugePages::kRequired, HugePages::kPreferred, HugePages::kTransparent,
                                           HugePages::kOff),
                         RungName);

}  // namespace
}  // namespace hugepool::testing
