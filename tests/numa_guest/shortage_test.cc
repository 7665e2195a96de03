// Promise 2: no SIGBUS, whatever the reservation, a cgroup or a rival does; and promise 3: memory while the machine has
// some. Each case takes huge pages away at the worst moment, and then counts what the pool says against the kernel.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <random>

#include "hugepool/pool.h"
#include "numa_guest/cgroup.h"
#include "numa_guest/child.h"
#include "numa_guest/filling.h"
#include "numa_guest/machine.h"
#include "numa_guest/page_census.h"
#include "numa_guest/rival.h"
#include "os/os_memory.h"
#include "pool/pool_core.h"
#include "topology/topology.h"

namespace hugepool::guest {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlock = size_t{64} << 10;
constexpr size_t kHugetlb = static_cast<size_t>(Backing::kHugetlb);

PoolOptions OptionsFor(Placement placement, HugePages huge_pages, size_t capacity_bytes) {
  PoolOptions options;
  options.placement = placement;
  options.huge_pages = huge_pages;
  options.capacity_bytes = capacity_bytes;
  return options;
}

// The node whose huge pages run short: memory-only, and none of the CPUs' own.
int ShortNode() { return ThisMachine().MemoryNodes().back(); }

class Shortage : public testing::Test {
 protected:
  void SetUp() override { PinToNode(ThisMachine().CpuNodes().front()); }
};

// The real system, with a step of the test's own before chosen calls, and a clock that can be turned.
class SteeredMemory : public internal::OsMemory {
 public:
  std::function<void()> before_populate = [] {};
  std::function<void()> after_free_huge_pages = [] {};
  std::function<void()> in_sleep = [] {};
  uint64_t turned_ns = 0;

  int Populate(void* address, size_t bytes) override {
    before_populate();
    return OsMemory::Populate(address, bytes);
  }
  int FreeHugePages(int node_id, size_t page_bytes, uint64_t* count) override {
    const int result = OsMemory::FreeHugePages(node_id, page_bytes, count);
    after_free_huge_pages();
    return result;
  }
  uint64_t NowNs() const override { return OsMemory::NowNs() + turned_ns; }
  // Time passes at once: only what in_sleep does happens meanwhile.
  void SleepNs(uint64_t duration_ns) override {
    turned_ns += duration_ns;
    in_sleep();
  }
};

std::shared_ptr<Pool> CreateSteered(SteeredMemory& os, const PoolOptions& options, Error* error) {
  const std::optional<internal::Topology> topology = internal::Topology::Discover(error);
  return topology ? internal::CreatePool(options, os, *topology, error) : nullptr;
}

// The pool's books agree with each other and with the kernel's about how much lies on huge pages.
void ExpectHugetlbBytes(const Pool& pool, uint64_t at_least, uint64_t at_most) {
  const PoolStats stats = pool.Stats();
  EXPECT_GE(stats.CommittedBytes(Backing::kHugetlb), at_least) << stats.ToText();
  EXPECT_LE(stats.CommittedBytes(Backing::kHugetlb), at_most) << stats.ToText();
  Error error;
  const std::optional<PlacementReport> report = pool.VerifyPlacement(&error);
  ASSERT_TRUE(report.has_value()) << error.ToString();
  EXPECT_EQ(report->hugetlb_bytes, stats.CommittedBytes(Backing::kHugetlb));
  EXPECT_EQ(report->MisplacedCount(), 0u);
  std::string why;
  EXPECT_TRUE(pool.CheckInvariants(&why)) << why;
}

TEST_F(Shortage, OneNodeShortWhileTheGlobalCountIsAmpleRequired) {
  SetHugePages(ShortNode(), 8);
  Error error;
  EXPECT_EQ(Pool::Create(OptionsFor(Placement::Node(ShortNode()), HugePages::kRequired, 16 * kHugePage), &error),
            nullptr);
  EXPECT_EQ(error.code, ErrorCode::kNoHugePages);
  EXPECT_EQ(error.node_id, ShortNode());
  EXPECT_EQ(error.bytes, 16 * kHugePage);
  EXPECT_FALSE(error.mend.empty()) << error.ToString();
}

TEST_F(Shortage, OneNodeShortWhileTheGlobalCountIsAmplePreferred) {
  SetHugePages(ShortNode(), 8);
  const auto pool = CreateOrFail(OptionsFor(Placement::Node(ShortNode()), HugePages::kPreferred, 32 * kHugePage));
  ASSERT_NE(pool, nullptr);
  Filling filling(pool);
  ASSERT_TRUE(filling.AddEqual(kBlock, 24 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(AllPagesOn(ShortNode(), filling.blocks()));
  EXPECT_TRUE(filling.Intact());
  ExpectHugetlbBytes(*pool, 8 * kHugePage, 8 * kHugePage);
  const NodeStats node = pool->Stats().nodes.front();
  EXPECT_GT(node.refused_count[kHugetlb], 0u);
  EXPECT_GE(node.degraded_bytes, 16 * kHugePage);
  EXPECT_EQ(node.degraded_bytes, pool->Stats().committed_bytes - 8 * kHugePage);
}

// The rival strikes between the pool's look at the free pages and its use of them: in Create, and in each growth.
TEST_F(Shortage, RivalTakesThePagesBetweenCheckAndUseAtStart) {
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kPreferred}) {
    SCOPED_TRACE(ToString(huge_pages));
    Rival rival;
    SteeredMemory os;
    os.after_free_huge_pages = [&rival] { rival.TakeAll(ShortNode()); };
    PoolOptions options = OptionsFor(Placement::Node(ShortNode()), huge_pages, 16 * kHugePage);
    options.populate_at_start = PopulateAtStart::kAll;
    Error error;
    const auto pool = CreateSteered(os, options, &error);
    if (huge_pages == HugePages::kRequired) {
      EXPECT_EQ(pool, nullptr);
      EXPECT_EQ(error.code, ErrorCode::kNoHugePages) << error.ToString();
    } else {
      ASSERT_NE(pool, nullptr) << error.ToString();
      EXPECT_EQ(pool->Stats().DegradedBytes(), 16 * kHugePage);
      ExpectHugetlbBytes(*pool, 0, 0);
    }
  }
}

TEST_F(Shortage, RivalTakesThePagesBetweenCheckAndUseInGrowth) {
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kPreferred}) {
    SCOPED_TRACE(ToString(huge_pages));
    Rival rival;
    SteeredMemory os;
    int populate_count = 0;
    os.before_populate = [&] {
      if (++populate_count == 5) rival.TakeAll(ShortNode());
    };
    Error error;
    const auto pool = CreateSteered(os, OptionsFor(Placement::Node(ShortNode()), huge_pages, 16 * kHugePage), &error);
    ASSERT_NE(pool, nullptr) << error.ToString();
    Filling filling(pool);
    const bool filled = filling.AddEqual(kBlock, 12 * kHugePage);
    EXPECT_EQ(filled, huge_pages == HugePages::kPreferred);
    EXPECT_TRUE(AllPagesOn(ShortNode(), filling.blocks()));
    EXPECT_TRUE(filling.Intact());
    ExpectHugetlbBytes(*pool, 4 * kHugePage, 4 * kHugePage);
    EXPECT_GT(pool->Stats().nodes.front().refused_count[kHugetlb], 0u);
    if (huge_pages == HugePages::kRequired) {
      EXPECT_GT(pool->Stats().failed_count, 0u);
      EXPECT_EQ(pool->Stats().DegradedBytes(), 0u);
      // The pages come back, and growth takes them again.
      rival.GiveAllBack();
      os.turned_ns += 1'000'000'000;
      EXPECT_TRUE(filling.AddEqual(kBlock, 4 * kHugePage)) << pool->Stats().ToText();
      EXPECT_TRUE(AllPagesHugetlb(filling.blocks()));
    }
  }
}

// Lower rungs drain as they empty, and what grows after the rival left is hugetlb again.
TEST_F(Shortage, GrowthReturnsToHugetlbWhenTheRivalLeaves) {
  Rival rival;
  SteeredMemory os;
  Error error;
  const auto pool =
      CreateSteered(os, OptionsFor(Placement::Node(ShortNode()), HugePages::kPreferred, 32 * kHugePage), &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  rival.TakeAll(ShortNode());
  Filling degraded(pool);
  ASSERT_TRUE(degraded.AddEqual(kBlock, 8 * kHugePage)) << pool->Stats().ToText();
  EXPECT_GE(pool->Stats().DegradedBytes(), 8 * kHugePage);
  EXPECT_EQ(CountByNumaMaps(degraded.blocks()).huge_bytes, 0u);
  rival.GiveAllBack();
  os.turned_ns += 1'000'000'000;
  Filling huge(pool);
  ASSERT_TRUE(huge.AddEqual(kHugePage, 8 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(AllPagesHugetlb(huge.blocks()));
  EXPECT_TRUE(degraded.Intact());
  degraded.Clear();
  pool->Trim(0);
  EXPECT_EQ(pool->Stats().DegradedBytes(), 0u) << pool->Stats().ToText();
  EXPECT_TRUE(huge.Intact());
}

// Takes a few pages of any node and gives them back, for ever.
void ChurnHugePages(const Line&) {
  std::mt19937_64 random(11);
  const std::vector<int> nodes = ThisMachine().MemoryNodes();
  while (true) {
    const uint64_t count = 1 + random() % 20;
    int refused_errno = 0;
    void* address = nullptr;
    TakeHugePages(nodes[random() % nodes.size()], count, &refused_errno, &address);
    munmap(address, count * kHugePage);
  }
}

// No plan at all: rivals that take and give back at random while the pool grows and shrinks.
TEST_F(Shortage, RivalsAtRandomNeverCauseASignal) {
  Rival rival;
  Child churning(ChurnHugePages);
  const auto pool = CreateOrFail(OptionsFor(Placement::Local(), HugePages::kPreferred, 64 * kHugePage));
  ASSERT_NE(pool, nullptr);
  std::mt19937_64 random(7);
  std::vector<std::unique_ptr<Filling>> fillings;
  const std::vector<int> nodes = ThisMachine().MemoryNodes();
  for (int step = 0; step < 120; ++step) {
    const uint64_t dice = random() % 10;
    if (dice == 0) {
      rival.GiveAllBack();
    } else if (dice <= 3) {
      rival.Take(nodes[random() % nodes.size()], 1 + random() % 60);
    } else if (dice <= 6 && fillings.size() < 12) {
      fillings.push_back(std::make_unique<Filling>(pool));
      EXPECT_TRUE(fillings.back()->AddMixed(3 * kHugePage)) << pool->Stats().ToText();
    } else if (!fillings.empty()) {
      std::swap(fillings[random() % fillings.size()], fillings.back());
      EXPECT_TRUE(fillings.back()->Intact());
      fillings.pop_back();
      if (dice == 9) pool->Trim(0);
    }
  }
  for (const auto& filling : fillings) EXPECT_TRUE(filling->Intact());
  fillings.clear();
  std::string why;
  EXPECT_TRUE(pool->CheckInvariants(&why)) << why;
  EXPECT_EQ(pool->Stats().allocated_count, 0u);
}

TEST_F(Shortage, CgroupLimitIsALowerRungAndNoSignal) {
  for (const char* limit : {"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"}) {
    SCOPED_TRACE(limit);
    const Cgroup group("hugetlb");
    group.Set(limit, std::to_string(16 * kHugePage));
    const int status = RunInChild([&] {
      group.Enter();
      const auto pool = CreateOrFail(OptionsFor(Placement::Node(ShortNode()), HugePages::kPreferred, 48 * kHugePage));
      ASSERT_NE(pool, nullptr);
      Filling filling(pool);
      ASSERT_TRUE(filling.AddEqual(kBlock, 32 * kHugePage)) << pool->Stats().ToText();
      EXPECT_TRUE(AllPagesOn(ShortNode(), filling.blocks()));
      EXPECT_TRUE(filling.Intact());
      ExpectHugetlbBytes(*pool, 16 * kHugePage, 16 * kHugePage);
      EXPECT_GT(pool->Stats().nodes.front().refused_count[kHugetlb], 0u);
      EXPECT_GE(pool->Stats().DegradedBytes(), 16 * kHugePage);

      // Required: the pages look free in sysfs, and the limit shows only when they are populated.
      filling.Clear();
      pool->Trim(0);
      const auto required =
          CreateOrFail(OptionsFor(Placement::Node(ShortNode()), HugePages::kRequired, 24 * kHugePage));
      ASSERT_NE(required, nullptr);
      Filling limited(required);
      EXPECT_FALSE(limited.AddEqual(kBlock, 24 * kHugePage));
      EXPECT_GE(limited.bytes(), 15 * kHugePage);
      EXPECT_TRUE(limited.Intact());
      EXPECT_EQ(required->Stats().DegradedBytes(), 0u);
    });
    EXPECT_EQ(status, 0);
  }
}

TEST_F(Shortage, ReservationSetToZeroWhileHalfGrown) {
  SteeredMemory os;
  Error error;
  const auto pool =
      CreateSteered(os, OptionsFor(Placement::Node(ShortNode()), HugePages::kPreferred, 48 * kHugePage), &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  Filling before(pool);
  ASSERT_TRUE(before.AddEqual(kBlock, 16 * kHugePage));
  const uint64_t held_bytes = pool->Stats().CommittedBytes(Backing::kHugetlb);
  ASSERT_EQ(held_bytes, pool->Stats().committed_bytes);
  ASSERT_EQ(WriteFile("/proc/sys/vm/nr_hugepages", "0"), 0);

  Filling after(pool);
  ASSERT_TRUE(after.AddEqual(kBlock, 16 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(before.Intact());
  EXPECT_TRUE(after.Intact());
  EXPECT_TRUE(AllPagesOn(ShortNode(), after.blocks()));
  ExpectHugetlbBytes(*pool, held_bytes, held_bytes);
  EXPECT_GT(pool->Stats().nodes.front().refused_count[kHugetlb], 0u);
  EXPECT_GT(pool->Stats().DegradedBytes(), 0u);

  // Pages that were surplus are gone once they are given back: growth stays on its feet.
  before.Clear();
  pool->Trim(0);
  Filling again(pool);
  ASSERT_TRUE(again.AddEqual(kBlock, 24 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(again.Intact());
  EXPECT_TRUE(after.Intact());
  again.Clear();
  after.Clear();
  pool->Trim(0);

  // With a reservation once more, the same pool is on huge pages once more.
  SetHugePages(ShortNode(), 40);
  os.turned_ns += 1'000'000'000;
  Filling restored(pool);
  ASSERT_TRUE(restored.AddEqual(kBlock, 24 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(AllPagesHugetlb(restored.blocks()));
  EXPECT_EQ(pool->Stats().DegradedBytes(), 0u) << pool->Stats().ToText();
}

TEST_F(Shortage, ReservationSetToZeroWhileHalfGrownRequired) {
  const auto pool = CreateOrFail(OptionsFor(Placement::Node(ShortNode()), HugePages::kRequired, 48 * kHugePage));
  ASSERT_NE(pool, nullptr);
  Filling before(pool);
  ASSERT_TRUE(before.AddEqual(kBlock, 16 * kHugePage));
  ASSERT_EQ(WriteFile("/proc/sys/vm/nr_hugepages", "0"), 0);
  Filling after(pool);
  EXPECT_FALSE(after.AddEqual(kBlock, 16 * kHugePage));
  EXPECT_TRUE(before.Intact());
  EXPECT_TRUE(after.Intact());
  EXPECT_EQ(pool->Stats().DegradedBytes(), 0u);
  EXPECT_GT(pool->Stats().failed_count, 0u);
}

// A predecessor that is killed gives its pages back only after a while; its successor must not land on 4 KiB for life.
TEST_F(Shortage, SuccessorOfAKilledHolderIsAllHugetlb) {
  constexpr uint64_t kPerNode = 60;
  SetHugePagesEverywhere(kPerNode);
  PoolOptions options = OptionsFor(Placement::Interleave(), HugePages::kRequired, 4 * kPerNode * 9 / 10 * kHugePage);
  options.populate_at_start = PopulateAtStart::kAll;
  Child holder([&options](const Line& line) {
    const auto pool = CreateOrFail(options);
    line.Send(pool == nullptr ? 0 : pool->Stats().CommittedBytes(Backing::kHugetlb));
    uint64_t never = 0;
    line.Receive(&never);
  });
  ASSERT_EQ(holder.Receive(), options.capacity_bytes);
  ASSERT_LE(FreeHugePages(ShortNode()), kPerNode / 10);
  options.huge_pages = HugePages::kPreferred;
  options.wait_for_huge_pages_seconds = 30;
  holder.Kill();
  const auto pool = CreateOrFail(options);
  ASSERT_NE(pool, nullptr);
  Filling filling(pool);
  ASSERT_TRUE(filling.AddEqual(kBlock, options.capacity_bytes - 8 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(AllPagesHugetlb(filling.blocks()));
  EXPECT_EQ(pool->Stats().DegradedBytes(), 0u);
  ExpectHugetlbBytes(*pool, options.capacity_bytes, options.capacity_bytes);
}

// The same without luck in it: the pages come free while Create waits, at its third look.
TEST_F(Shortage, CreateWaitsForThePagesOfAPredecessor) {
  Rival predecessor;
  predecessor.TakeAll(ShortNode());
  SteeredMemory os;
  int sleep_count = 0;
  os.in_sleep = [&] {
    if (++sleep_count == 3) predecessor.GiveAllBack();
  };
  PoolOptions options = OptionsFor(Placement::Node(ShortNode()), HugePages::kRequired, 64 * kHugePage);
  options.wait_for_huge_pages_seconds = 20;
  options.populate_at_start = PopulateAtStart::kAll;
  Error error;
  const auto pool = CreateSteered(os, options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  EXPECT_EQ(sleep_count, 3);
  ExpectHugetlbBytes(*pool, 64 * kHugePage, 64 * kHugePage);
}

TEST_F(Shortage, CreateEndsItsWaitInTime) {
  Rival predecessor;
  predecessor.TakeAll(ShortNode());
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kPreferred}) {
    SCOPED_TRACE(ToString(huge_pages));
    SteeredMemory os;
    PoolOptions options = OptionsFor(Placement::Node(ShortNode()), huge_pages, 16 * kHugePage);
    options.wait_for_huge_pages_seconds = 20;
    Error error;
    const auto pool = CreateSteered(os, options, &error);
    EXPECT_GE(os.turned_ns, 19'000'000'000u);
    EXPECT_LE(os.turned_ns, 21'000'000'000u);
    EXPECT_EQ(pool == nullptr, huge_pages == HugePages::kRequired);
    EXPECT_EQ(error.code, huge_pages == HugePages::kRequired ? ErrorCode::kNoHugePages : ErrorCode::kOk);
  }
}

}  // namespace
}  // namespace hugepool::guest
