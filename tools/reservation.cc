#include "tools/reservation.h"

#include <algorithm>

#include "hugepool/types.h"

namespace hugepool::tools {
namespace {

using internal::FindPageSize;
using internal::HugePageCounts;
using internal::MemoryState;
using internal::NodeMemory;

constexpr uint64_t kGiB = uint64_t{1} << 30;
// Part of a node's memory that stays with it: the kernel's own tables and per-CPU data live there.
constexpr uint64_t kNodeKeepsOneIn = 20;

uint64_t Less(uint64_t from, uint64_t amount) { return from > amount ? from - amount : 0; }

// Memory that other page sizes hold, which no 2 MiB page can have.
uint64_t OtherSizesBytes(const std::vector<HugePageCounts>& huge_pages) {
  uint64_t bytes = 0;
  for (const HugePageCounts& counts : huge_pages) {
    if (counts.page_bytes != kHugePageBytes) bytes += counts.total_bytes();
  }
  return bytes;
}

bool HasCpuOf(const NodeMemory& node, const std::optional<std::vector<int>>& allowed_cpus) {
  if (!allowed_cpus) return !node.cpus.empty();
  return std::any_of(node.cpus.begin(), node.cpus.end(),
                     [&](int cpu) { return std::binary_search(allowed_cpus->begin(), allowed_cpus->end(), cpu); });
}

NodeShare ShareOf(const MemoryState& state, const NodeMemory& node) {
  NodeShare share{.node_id = node.node_id};
  share.usable = node.total_bytes != 0 && state.Allows(node);
  share.preferred = share.usable && HasCpuOf(node, state.allowed_cpus);
  if (const HugePageCounts* const counts = FindPageSize(node.huge_pages, kHugePageBytes)) {
    share.total_count = counts->total_count;
    share.free_count = counts->free_count;
  }
  const uint64_t kept_bytes = node.total_bytes / kNodeKeepsOneIn;
  share.room_count = Less(node.available_bytes(), kept_bytes) / kHugePageBytes;
  share.ever_count = Less(node.total_bytes, kept_bytes + OtherSizesBytes(node.huge_pages)) / kHugePageBytes;
  return share;
}

// Raises every share's free count to `level` as far as its room goes: how many pages that takes.
uint64_t TakenAtLevel(const std::vector<NodeShare*>& shares, uint64_t level) {
  uint64_t taken = 0;
  for (const NodeShare* share : shares) {
    taken += std::min(share->room_count - share->add_count, Less(level, share->free_count + share->add_count));
  }
  return taken;
}

uint64_t SpreadOverTier(uint64_t count, const std::vector<NodeShare*>& tier) {
  uint64_t room = 0;
  uint64_t highest = 0;
  for (const NodeShare* share : tier) {
    room += share->room_count - share->add_count;
    highest = std::max(highest, share->free_count + share->room_count);
  }
  const uint64_t spread = std::min(count, room);
  // The lowest level at which the tier takes all of it.
  uint64_t low = 0;
  uint64_t high = highest;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (TakenAtLevel(tier, middle) >= spread) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  // One level lower everybody is served for certain; the last few pages go to the first nodes.
  const uint64_t sure_level = Less(low, 1);
  uint64_t rest = spread - std::min(spread, TakenAtLevel(tier, sure_level));
  for (NodeShare* share : tier) {
    const uint64_t room_left = share->room_count - share->add_count;
    uint64_t add = std::min(room_left, Less(sure_level, share->free_count + share->add_count));
    if (rest > 0 && add < room_left && share->free_count + share->add_count + add < low) {
      ++add;
      --rest;
    }
    share->add_count += add;
  }
  return count - spread;
}

uint64_t FreeOnUsable(const std::vector<NodeShare>& shares) {
  uint64_t free_count = 0;
  for (const NodeShare& share : shares) free_count += share.usable ? share.free_count : 0;
  return free_count;
}

// Fills add_count, free_count and missing_count for a need on any node. False: no room.
bool PlaceAnywhere(const Need& need, uint64_t unpromised_count, Reservation* reservation) {
  // A page counts only if it is free on a node that may be used, and if it is not promised to somebody else.
  reservation->free_count = std::min(FreeOnUsable(reservation->shares), unpromised_count);
  reservation->missing_count = Less(need.page_count, reservation->free_count);
  if (reservation->missing_count > reservation->room_count) return false;
  std::vector<NodeShare*> usable;
  for (NodeShare& share : reservation->shares) {
    if (share.usable) usable.push_back(&share);
  }
  return SpreadEvenly(reservation->missing_count, usable) == 0;
}

bool PlaceByNode(const Need& need, uint64_t unpromised_count, Reservation* reservation) {
  std::vector<NodeShare*> named;
  bool room = true;
  uint64_t short_count = 0;
  for (const NodeNeed& node_need : need.by_node) {
    const auto share = std::find_if(reservation->shares.begin(), reservation->shares.end(),
                                    [&](const NodeShare& entry) { return entry.node_id == node_need.node_id; });
    if (share == reservation->shares.end()) return false;
    named.push_back(&*share);
    const uint64_t missing = Less(node_need.page_count, share->free_count);
    reservation->free_count += std::min(node_need.page_count, share->free_count);
    short_count += missing;
    room = room && missing <= share->room_count;
    share->add_count = std::min(missing, share->room_count);
  }
  // Promises are kept by the machine, not by the node: what they take from the sum must be added somewhere.
  const uint64_t promised_short = Less(need.page_count, unpromised_count + short_count);
  reservation->free_count = Less(reservation->free_count, promised_short);
  reservation->missing_count = short_count + promised_short;
  if (!room || reservation->missing_count > reservation->room_count) return false;
  return SpreadEvenly(promised_short, named) == 0;
}

bool EverFits(const Need& need, const Reservation& reservation) {
  if (need.page_count > reservation.ever_count) return false;
  return std::all_of(need.by_node.begin(), need.by_node.end(), [&](const NodeNeed& node_need) {
    return std::any_of(reservation.shares.begin(), reservation.shares.end(), [&](const NodeShare& share) {
      return share.node_id == node_need.node_id && node_need.page_count <= share.ever_count;
    });
  });
}

}  // namespace

OsFloor OsFloorOf(uint64_t machine_bytes) {
  if (machine_bytes < 32 * kGiB) return {.bytes = machine_bytes / 4, .scaled = true};
  return {.bytes = std::max(8 * kGiB, machine_bytes / 10), .scaled = false};
}

const char* ToString(Verdict verdict) {
  switch (verdict) {
    case Verdict::kFits: return "fits";
    case Verdict::kReserve: return "reserve";
    case Verdict::kRaise: return "raise";
    case Verdict::kReserveAndRaise: return "reserve_and_raise";
    case Verdict::kNotNow: return "not_now";
    case Verdict::kNever: return "never";
    case Verdict::kUnsupported: return "unsupported";
  }
  return "?";
}

uint64_t Reservation::LargestNowCount() const {
  uint64_t room = 0;
  uint64_t ever = 0;
  for (const NodeShare& share : shares) {
    room += share.usable ? share.room_count : 0;
    ever += share.usable ? share.ever_count : 0;
  }
  return std::min({free_count + std::min(room, room_count), ever, ever_count});
}

uint64_t SpreadEvenly(uint64_t count, std::vector<NodeShare*> shares) {
  const auto others =
      std::stable_partition(shares.begin(), shares.end(), [](const NodeShare* share) { return share->preferred; });
  const std::vector<NodeShare*> preferred(shares.begin(), others);
  const std::vector<NodeShare*> rest(others, shares.end());
  return SpreadOverTier(SpreadOverTier(count, preferred), rest);
}

Reservation Judge(const MemoryState& state, const Need& need) {
  Reservation reservation;
  reservation.floor = OsFloorOf(state.total_bytes);
  reservation.room_count = Less(state.available_bytes, reservation.floor.bytes) / kHugePageBytes;
  const HugePageCounts* const machine = FindPageSize(state.huge_pages, kHugePageBytes);
  if (machine == nullptr) {
    reservation.verdict = Verdict::kUnsupported;
    reservation.missing_count = need.page_count;
    return reservation;
  }
  uint64_t usable_ever_count = 0;
  for (const NodeMemory& node : state.nodes) {
    reservation.shares.push_back(ShareOf(state, node));
    if (reservation.shares.back().usable) usable_ever_count += reservation.shares.back().ever_count;
  }
  reservation.ever_count =
      std::min(usable_ever_count,
               Less(state.total_bytes, reservation.floor.bytes + OtherSizesBytes(state.huge_pages)) / kHugePageBytes);
  for (const internal::HugetlbLimit& limit : state.hugetlb_limits) {
    if (limit.page_bytes == kHugePageBytes && limit.left_bytes() / kHugePageBytes < need.page_count) {
      reservation.tight_limits.push_back(limit);
    }
  }

  const uint64_t unpromised_count = Less(machine->free_count, machine->reserved_count);
  const bool placed = need.by_node.empty() ? PlaceAnywhere(need, unpromised_count, &reservation)
                                           : PlaceByNode(need, unpromised_count, &reservation);
  const bool raise = !reservation.tight_limits.empty();
  if (reservation.missing_count == 0) {
    reservation.verdict = raise ? Verdict::kRaise : Verdict::kFits;
  } else if (!EverFits(need, reservation)) {
    reservation.verdict = Verdict::kNever;
  } else if (!placed) {
    reservation.verdict = Verdict::kNotNow;
  } else {
    reservation.verdict = raise ? Verdict::kReserveAndRaise : Verdict::kReserve;
  }
  if (reservation.verdict == Verdict::kNever || reservation.verdict == Verdict::kNotNow) {
    for (NodeShare& share : reservation.shares) share.add_count = 0;
  }
  return reservation;
}

}  // namespace hugepool::tools
