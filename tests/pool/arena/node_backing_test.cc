// NodeBacking: the ladder of page kinds of one node, rung by rung, and what a system may refuse.
#include "arena/node_backing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "pool/four_nodes.h"
#include "pool/simulated_os.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Call;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::SimulatedOs;
using ::testing::IsEmpty;

constexpr PageIndex kLow = ToPageIndex(0);    // of the hugetlb half
constexpr PageIndex kHigh = ToPageIndex(15);  // of the fall-back half

class NodeBackingTest : public ::testing::Test {
 protected:
  ~NodeBackingTest() override { EXPECT_THAT(os_.complaints(), IsEmpty()); }

  NodeBacking& Make(HugePages huge_pages, bool strict = false) {
    void* address = nullptr;
    EXPECT_EQ(os_.Reserve(34 * kMiB, &address), 0);
    const uintptr_t window = (reinterpret_cast<uintptr_t>(address) + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
    backing_ = std::make_unique<NodeBacking>(os_, NodeBacking::Config{.node_id = 4,
                                                                      .node_memory_bytes = 320 * kMiB,
                                                                      .window = reinterpret_cast<char*>(window),
                                                                      .window_bytes = 32 * kMiB,
                                                                      .huge_pages = huge_pages,
                                                                      .strict = strict});
    Error error;
    EXPECT_TRUE(backing_->Prepare(&error)) << error.ToString();
    return *backing_;
  }

  SimulatedOs os_{EachNode(2, 100 * kMiB)};
  std::unique_ptr<NodeBacking> backing_;
};

TEST_F(NodeBackingTest, EachOptionStartsOnItsRung) {
  EXPECT_EQ(Make(HugePages::kRequired).top_rung(), Backing::kHugetlb);
  EXPECT_TRUE(backing_->UsesRegion(Region::kHugetlb));
  EXPECT_FALSE(backing_->UsesRegion(Region::kFallback));
  EXPECT_EQ(Make(HugePages::kPreferred).top_rung(), Backing::kHugetlb);
  EXPECT_TRUE(backing_->UsesRegion(Region::kHugetlb));
  EXPECT_TRUE(backing_->UsesRegion(Region::kFallback));
  EXPECT_EQ(Make(HugePages::kTransparent).top_rung(), Backing::kTransparentHuge);
  EXPECT_FALSE(backing_->UsesRegion(Region::kHugetlb));
  EXPECT_EQ(backing_->Populate(kHigh, Region::kFallback)->backing, Backing::kTransparentHuge);
  EXPECT_EQ(Make(HugePages::kOff).top_rung(), Backing::kSmall);
  EXPECT_FALSE(backing_->UsesRegion(Region::kHugetlb));
  EXPECT_EQ(backing_->Populate(kHigh, Region::kFallback)->backing, Backing::kSmall);
}

TEST_F(NodeBackingTest, PagesComeFromTheNodeItIsBoundTo) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  const auto low = backing.Populate(kLow, Region::kHugetlb);
  ASSERT_TRUE(low);
  EXPECT_EQ(low->backing, Backing::kHugetlb);
  EXPECT_FALSE(low->unverified);
  EXPECT_EQ(os_.NodeOf(backing.AddressOf(kLow)), 4);
  EXPECT_EQ(os_.free_huge_page_count(4), 1u);
  ASSERT_TRUE(backing.Populate(kHigh, Region::kFallback));
  EXPECT_EQ(os_.NodeOf(backing.AddressOf(kHigh)), 4);
  EXPECT_EQ(os_.small_bytes(4), 98 * kMiB);
  EXPECT_TRUE(backing.GiveBack(kLow));
  EXPECT_TRUE(backing.GiveBack(kHigh));
  EXPECT_EQ(os_.free_huge_page_count(4), 2u);
  EXPECT_EQ(os_.small_bytes(4), 100 * kMiB);
}

TEST_F(NodeBackingTest, ARefusalIsCountedAndNotRepeatedAtOnce) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  os_.SetFreeHugePages(4, 0);
  EXPECT_TRUE(backing.WorthTrying(Region::kHugetlb));
  EXPECT_FALSE(backing.Populate(kLow, Region::kHugetlb));
  EXPECT_EQ(backing.refused_count(Backing::kHugetlb), 1u);
  EXPECT_FALSE(os_.IsPresent(backing.AddressOf(kLow), 1));
  EXPECT_FALSE(backing.WorthTrying(Region::kHugetlb));
  EXPECT_TRUE(backing.WorthTrying(Region::kFallback));
  os_.AdvanceNs(10'000'000);
  EXPECT_TRUE(backing.WorthTrying(Region::kHugetlb));
}

TEST_F(NodeBackingTest, WhatIsGivenBackMayBeAskedForAtOnce) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  ASSERT_TRUE(backing.Populate(kLow, Region::kHugetlb));
  os_.SetFreeHugePages(4, 0);
  EXPECT_FALSE(backing.Populate(ToPageIndex(1), Region::kHugetlb));
  EXPECT_FALSE(backing.WorthTrying(Region::kHugetlb));
  EXPECT_TRUE(backing.GiveBack(kLow));
  EXPECT_TRUE(backing.WorthTrying(Region::kHugetlb));
}

TEST_F(NodeBackingTest, APrefixPopulatedInVainIsGivenBack) {
  NodeBacking& backing = Make(HugePages::kOff);
  os_.FailFrom(Call::kNodeAvailableBytes, 0, ENOENT);  // it cannot look first
  os_.SetSmallBytes(4, kMiB);
  EXPECT_FALSE(backing.Populate(kHigh, Region::kFallback));
  EXPECT_EQ(os_.small_bytes(4), kMiB);
  EXPECT_EQ(os_.present_page_count(), 0u);
}

TEST_F(NodeBackingTest, ANodeIsNotEmptiedToItsLastPage) {
  NodeBacking& backing = Make(HugePages::kOff);
  os_.SetSmallBytes(4, 11 * kMiB);  // 1/32 of the node's memory is left to everybody else
  EXPECT_FALSE(backing.Populate(kHigh, Region::kFallback));
  EXPECT_EQ(os_.call_count(Call::kPopulate), 0u);
  os_.SetSmallBytes(4, 12 * kMiB);
  EXPECT_TRUE(backing.Populate(kHigh, Region::kFallback));
}

TEST_F(NodeBackingTest, WithoutCollapseThePageIsSmallAndCounted) {
  NodeBacking& backing = Make(HugePages::kTransparent);
  os_.RefuseCollapse(ENOMEM);
  EXPECT_EQ(backing.Populate(kHigh, Region::kFallback)->backing, Backing::kSmall);
  EXPECT_EQ(backing.refused_count(Backing::kTransparentHuge), 1u);
  os_.RefuseCollapse(EINVAL);  // Linux before 6.1 does not know the call: its first choice counts
  EXPECT_EQ(backing.Populate(ToPageIndex(14), Region::kFallback)->backing, Backing::kTransparentHuge);
}

TEST_F(NodeBackingTest, AMisplacedPageIsGivenBack) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  os_.MisplaceTo(7);
  EXPECT_FALSE(backing.Populate(kLow, Region::kHugetlb));
  EXPECT_FALSE(backing.Populate(kHigh, Region::kFallback));
  EXPECT_EQ(backing.misplaced_count(), 2u);
  EXPECT_EQ(os_.present_page_count(), 0u);
}

TEST_F(NodeBackingTest, UnboundPagesOfAnotherNodeAreUsedOnlyWhereThePlacementIsNotStrict) {
  os_.FailFrom(Call::kBindTo, 0, EPERM);
  os_.SetFirstTouchNode(0);
  NodeBacking& strict = Make(HugePages::kPreferred, true);
  EXPECT_EQ(strict.refused_bind_count(), 1u);
  EXPECT_FALSE(strict.Populate(kLow, Region::kHugetlb));
  EXPECT_EQ(strict.misplaced_count(), 1u);
  EXPECT_EQ(os_.present_page_count(), 0u);
  NodeBacking& loose = Make(HugePages::kPreferred, false);
  const auto page = loose.Populate(kLow, Region::kHugetlb);
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->unverified);
  EXPECT_EQ(loose.misplaced_count(), 1u);
  os_.SetFirstTouchNode(4);
  os_.SetFreeHugePages(0, 0);
  const auto home = Make(HugePages::kPreferred, true).Populate(kLow, Region::kHugetlb);
  ASSERT_TRUE(home);
  EXPECT_FALSE(home->unverified);
}

TEST_F(NodeBackingTest, AKernelThatDoesNotTellIsCounted) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  os_.FailFrom(Call::kLocate, 0, EPERM);
  const auto page = backing.Populate(kLow, Region::kHugetlb);
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->unverified);
  EXPECT_EQ(backing.refused_locate_count(), 1u);
}

TEST_F(NodeBackingTest, AKernelThatCannotTakeHugetlbBackIsCounted) {
  NodeBacking& backing = Make(HugePages::kPreferred);
  ASSERT_TRUE(backing.Populate(kLow, Region::kHugetlb));
  os_.FailFrom(Call::kGiveBack, 0, EINVAL);
  EXPECT_FALSE(backing.GiveBack(kLow));
  EXPECT_EQ(backing.refused_give_back_count(), 1u);
  EXPECT_TRUE(os_.IsPresent(backing.AddressOf(kLow), kHugePageBytes));
}

TEST_F(NodeBackingTest, AHugetlbHalfThatAForkWouldShareIsNotUsed) {
  os_.FailOnce(Call::kAdvise, 0, EINVAL);
  NodeBacking& backing = Make(HugePages::kPreferred);
  EXPECT_FALSE(backing.Populate(kLow, Region::kHugetlb));
  EXPECT_TRUE(backing.Populate(kHigh, Region::kFallback));
}

}  // namespace
}  // namespace hugepool::internal
