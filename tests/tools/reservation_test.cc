// Reservation: what fits, and what it takes to make it fit.
#include "tools/reservation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "hugepool/types.h"

namespace hugepool::tools {
namespace {

using internal::HugePageCounts;
using internal::MemoryState;
using internal::NodeMemory;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kPagesPerGiB = kGiB / kHugePageBytes;

NodeMemory Node(int node_id, std::vector<int> cpus, uint64_t memory_bytes, uint64_t available_bytes,
                uint64_t total_count = 0, uint64_t free_count = 0) {
  NodeMemory node{.node_id = node_id, .cpus = std::move(cpus), .total_bytes = memory_bytes};
  node.free_bytes = available_bytes;
  node.huge_pages = {{.page_bytes = kHugePageBytes, .total_count = total_count, .free_count = free_count}};
  return node;
}

MemoryState Machine(std::vector<NodeMemory> nodes, uint64_t promised_count = 0) {
  MemoryState state;
  HugePageCounts whole{.page_bytes = kHugePageBytes, .reserved_count = promised_count};
  for (const NodeMemory& node : nodes) {
    state.total_bytes += node.total_bytes;
    state.available_bytes += node.free_bytes;
    whole.total_count += node.huge_pages[0].total_count;
    whole.free_count += node.huge_pages[0].free_count;
  }
  state.numa = true;
  state.huge_pages = {whole};
  state.nodes = std::move(nodes);
  return state;
}

Need NeedOf(const char* text) { return ParseNeed(text, nullptr).value(); }

TEST(OsFloor, IsEightGiBOrATenthAndAQuarterOfSmallMachines) {
  EXPECT_EQ(OsFloorOf(24 * kGiB).bytes, 6 * kGiB);
  EXPECT_TRUE(OsFloorOf(24 * kGiB).scaled);
  EXPECT_EQ(OsFloorOf(32 * kGiB).bytes, 8 * kGiB);
  EXPECT_FALSE(OsFloorOf(32 * kGiB).scaled);
  EXPECT_EQ(OsFloorOf(64 * kGiB).bytes, 8 * kGiB);
  EXPECT_EQ(OsFloorOf(4000 * kGiB).bytes, 400 * kGiB);
}

TEST(Reservation, FitsWhenTheFreePagesAreThere) {
  const Reservation reservation = Judge(Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 2048, 2048)}), NeedOf("4G"));
  EXPECT_EQ(reservation.verdict, Verdict::kFits);
  EXPECT_EQ(reservation.missing_count, 0u);
}

TEST(Reservation, PromisedPagesAreNotFree) {
  const Reservation reservation = Judge(Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 2048, 2048)}, 48), NeedOf("4G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  EXPECT_EQ(reservation.free_count, 2000u);
  EXPECT_EQ(reservation.shares[0].add_count, 48u);
  EXPECT_EQ(reservation.shares[0].target_count(), 2096u);
}

// The global count says 4 GiB are free; node 1 has none of them.
TEST(Reservation, TheGlobalCountDoesNotMakeANodeFit) {
  const MemoryState state =
      Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 2048, 2048), Node(1, {1}, 64 * kGiB, 50 * kGiB)});
  EXPECT_EQ(Judge(state, NeedOf("4G")).verdict, Verdict::kFits);
  const Reservation reservation = Judge(state, NeedOf("node0=2G,node1=2G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  EXPECT_EQ(reservation.missing_count, 1024u);
  EXPECT_EQ(reservation.shares[0].add_count, 0u);
  EXPECT_EQ(reservation.shares[1].target_count(), 1024u);
}

TEST(Reservation, ForeignNodesPagesDoNotCount) {
  MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 2048, 2048), Node(1, {1}, 64 * kGiB, 50 * kGiB)});
  state.allowed_nodes = std::vector<int>{1};
  const Reservation reservation = Judge(state, NeedOf("1G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  EXPECT_EQ(reservation.shares[0].add_count, 0u);
  EXPECT_EQ(reservation.shares[1].add_count, 512u);
}

TEST(Reservation, SpreadsSoThatFreePagesEndEven) {
  const Reservation reservation =
      Judge(Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 700, 700), Node(1, {1}, 64 * kGiB, 50 * kGiB, 300, 100),
                     Node(2, {2}, 64 * kGiB, 50 * kGiB)}),
            NeedOf("4G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  EXPECT_EQ(reservation.missing_count, 1248u);
  EXPECT_EQ(reservation.shares[0].add_count, 0u);
  EXPECT_EQ(reservation.shares[1].add_count, 574u);
  EXPECT_EQ(reservation.shares[2].add_count, 674u);
  EXPECT_EQ(reservation.shares[1].target_count(), 874u);
}

TEST(Reservation, MemoryOnlyNodesComeLast) {
  MemoryState state = Machine({Node(0, {0}, 16 * kGiB, 12 * kGiB), Node(1, {}, 256 * kGiB, 250 * kGiB)});
  EXPECT_EQ(Judge(state, NeedOf("4G")).shares[1].add_count, 0u);
  const Reservation reservation = Judge(state, NeedOf("32G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  // Node 0 keeps a twentieth of its 16 GiB.
  EXPECT_EQ(reservation.shares[0].add_count, (12 * kGiB - 16 * kGiB / 20) / kHugePageBytes);
  EXPECT_EQ(reservation.shares[0].add_count + reservation.shares[1].add_count, 32 * kPagesPerGiB);
}

TEST(Reservation, NodesWhoseCpusTheProcessMayNotUseComeLastToo) {
  MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB), Node(1, {1}, 64 * kGiB, 50 * kGiB)});
  state.allowed_cpus = std::vector<int>{1};
  const Reservation reservation = Judge(state, NeedOf("4G"));
  EXPECT_EQ(reservation.shares[0].add_count, 0u);
  EXPECT_EQ(reservation.shares[1].add_count, 2048u);
}

TEST(Reservation, LeavesTheFloorToTheSystem) {
  const MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 20 * kGiB)});
  EXPECT_EQ(Judge(state, NeedOf("12G")).verdict, Verdict::kReserve);
  EXPECT_EQ(Judge(state, NeedOf("12290M")).verdict, Verdict::kNotNow) << "8 GiB of 20 GiB stay available";
  EXPECT_EQ(Judge(state, NeedOf("56G")).verdict, Verdict::kNotNow);
  EXPECT_EQ(Judge(state, NeedOf("57346M")).verdict, Verdict::kNever) << "8 GiB of 64 GiB can never be huge pages";
  for (const char* text : {"56G", "57346M"}) {
    for (const NodeShare& share : Judge(state, NeedOf(text)).shares) EXPECT_EQ(share.add_count, 0u);
  }
}

TEST(Reservation, OneNodeCanBeTooSmallWhereTheMachineIsNot) {
  const MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 60 * kGiB), Node(1, {1}, 8 * kGiB, 8 * kGiB)});
  EXPECT_EQ(Judge(state, NeedOf("node0=7G,node1=7G")).verdict, Verdict::kReserve);
  EXPECT_EQ(Judge(state, NeedOf("node1=8G")).verdict, Verdict::kNever);
  EXPECT_EQ(Judge(Machine({Node(0, {0}, 64 * kGiB, 60 * kGiB), Node(1, {1}, 8 * kGiB, 3 * kGiB)}), NeedOf("node1=4G"))
                .verdict,
            Verdict::kNotNow);
}

TEST(Reservation, PagesOfAnotherSizeAreNotToBeHad) {
  MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 4 * kGiB)});
  state.huge_pages.push_back({.page_bytes = kGiB, .total_count = 50});
  state.nodes[0].huge_pages.push_back({.page_bytes = kGiB, .total_count = 50});
  EXPECT_EQ(Judge(state, NeedOf("7G")).verdict, Verdict::kNever);
  EXPECT_EQ(Judge(state, NeedOf("6G")).verdict, Verdict::kNotNow);
}

TEST(Reservation, PromisesAreMadeUpForOnTheNamedNodes) {
  const Reservation reservation =
      Judge(Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 512, 512), Node(1, {1}, 64 * kGiB, 50 * kGiB, 512, 512)}, 100),
            NeedOf("node0=1G,node1=1G"));
  EXPECT_EQ(reservation.verdict, Verdict::kReserve);
  EXPECT_EQ(reservation.missing_count, 100u);
  EXPECT_EQ(reservation.shares[0].add_count, 50u);
  EXPECT_EQ(reservation.shares[1].add_count, 50u);
}

TEST(Reservation, ACgroupsLimitIsInTheWay) {
  MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB, 2048, 2048)});
  state.hugetlb_limits = {
      {.file = "/a", .page_bytes = kHugePageBytes, .max_bytes = 5 * kGiB, .current_bytes = 2 * kGiB},
      {.file = "/b", .page_bytes = kHugePageBytes, .max_bytes = 8 * kGiB, .current_bytes = 4 * kGiB},
      {.file = "/c", .page_bytes = kGiB, .max_bytes = 0}};
  const Reservation reservation = Judge(state, NeedOf("4G"));
  EXPECT_EQ(reservation.verdict, Verdict::kRaise);
  ASSERT_EQ(reservation.tight_limits.size(), 1u);
  EXPECT_EQ(reservation.tight_limits[0].file, "/a");
  EXPECT_EQ(Judge(state, NeedOf("3G")).verdict, Verdict::kFits);
  EXPECT_EQ(Judge(state, NeedOf("5G")).verdict, Verdict::kReserveAndRaise);
}

TEST(Reservation, AKernelWithoutPagesOfTwoMiB) {
  MemoryState state = Machine({Node(0, {0}, 64 * kGiB, 50 * kGiB)});
  state.huge_pages[0].page_bytes = kGiB / 2;
  EXPECT_EQ(Judge(state, NeedOf("1G")).verdict, Verdict::kUnsupported);
}

// The invariant of the header, over random machines and needs.
TEST(Reservation, APlanMakesTheNeedFitAndKeepsTheFloors) {
  std::mt19937_64 random(42);
  int plans = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<NodeMemory> nodes;
    const int node_count = 1 + static_cast<int>(random() % 8);
    for (int node_id = 0; node_id < node_count; ++node_id) {
      const uint64_t memory_bytes = random() % 5 == 0 ? 0 : (1 + random() % 64) * kGiB;
      const uint64_t total_count = memory_bytes == 0 ? 0 : random() % (memory_bytes / kHugePageBytes / 2);
      const uint64_t left_bytes = memory_bytes - total_count * kHugePageBytes;
      nodes.push_back(Node(node_id, random() % 3 == 0 ? std::vector<int>{} : std::vector<int>{node_id}, memory_bytes,
                           left_bytes == 0 ? 0 : random() % left_bytes, total_count, random() % (total_count + 1)));
    }
    uint64_t free_count = 0;
    for (const NodeMemory& node : nodes) free_count += node.huge_pages[0].free_count;
    MemoryState state = Machine(nodes, random() % 2 == 0 ? 0 : random() % (free_count + 1));
    if (random() % 3 == 0) {
      state.allowed_nodes.emplace();
      for (int node_id = 0; node_id < node_count; ++node_id) {
        if (random() % 2 == 0) state.allowed_nodes->push_back(node_id);
      }
    }
    Need need;
    if (random() % 2 == 0) {
      need.page_count = 1 + random() % 40000;
    } else {
      for (const NodeMemory& node : state.nodes) {
        if (node.total_bytes == 0 || !state.Allows(node) || random() % 2 == 0) continue;
        need.by_node.push_back({node.node_id, 1 + random() % 10000});
        need.page_count += need.by_node.back().page_count;
      }
      if (need.by_node.empty()) need.page_count = 1;
    }

    const Reservation reservation = Judge(state, need);
    uint64_t added = 0;
    for (const NodeShare& share : reservation.shares) {
      added += share.add_count;
      ASSERT_LE(share.add_count, share.room_count);
      if (share.add_count > 0) {
        ASSERT_TRUE(share.usable);
      }
    }
    if (reservation.verdict != Verdict::kReserve) {
      ASSERT_EQ(added, 0u);
      continue;
    }
    ++plans;
    ASSERT_EQ(added, reservation.missing_count) << "no page more than it takes";
    ASSERT_GE(state.available_bytes, added * kHugePageBytes + reservation.floor.bytes);
    for (size_t index = 0; index < state.nodes.size(); ++index) {
      HugePageCounts& counts = state.nodes[index].huge_pages[0];
      ASSERT_GE(state.nodes[index].free_bytes,
                reservation.shares[index].add_count * kHugePageBytes +
                    (reservation.shares[index].add_count > 0 ? state.nodes[index].total_bytes / 20 : 0));
      counts.total_count += reservation.shares[index].add_count;
      counts.free_count += reservation.shares[index].add_count;
    }
    state.huge_pages[0].free_count += added;
    state.huge_pages[0].total_count += added;
    ASSERT_EQ(Judge(state, need).verdict, Verdict::kFits);
  }
  EXPECT_GT(plans, 300) << "the machines were to leave room often enough";
}

}  // namespace
}  // namespace hugepool::tools
