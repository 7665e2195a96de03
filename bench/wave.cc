#include "bench/wave.h"

#include <hugepool/types.h>

#include <algorithm>

namespace hugepool::bench {
namespace {

constexpr uint64_t kProcessBytes = uint64_t{256} << 20;

bool UsesHugetlb(const AllocatorRow& row) { return row.pool == HugePages::kRequired; }

struct Room {
  uint64_t bytes = 0;
  uint64_t huge_pages = 0;
  std::vector<const AllocatorRow*> rows;

  bool Take(const AllocatorRow* row, const MemoryNeed& need) {
    const uint64_t row_bytes = WorkerBytes(*row, need);
    const uint64_t row_pages = UsesHugetlb(*row) ? need.pool_bytes / kHugePageBytes : 0;
    if (row_bytes > bytes || row_pages > huge_pages) return false;
    bytes -= row_bytes;
    huge_pages -= row_pages;
    rows.push_back(row);
    return true;
  }
};

}  // namespace

uint64_t WorkerBytes(const AllocatorRow& row, const MemoryNeed& need) {
  return kProcessBytes + (UsesHugetlb(row) ? need.live_bytes / 8 : need.live_bytes * 7 / 5);
}

std::vector<std::vector<const AllocatorRow*>> PlanWaves(const std::vector<const AllocatorRow*>& rows,
                                                        const MemoryNeed& need) {
  const AllocatorRow* baseline = nullptr;
  for (const AllocatorRow* row : rows) {
    if (row->name == kBaseline) baseline = row;
  }
  const uint64_t kept_bytes = std::min(need.file_bytes, need.available_bytes / 4) + need.available_bytes / 16;
  const auto open_room = [&] {
    Room room{.bytes = need.available_bytes - kept_bytes, .huge_pages = need.free_huge_pages, .rows = {}};
    if (baseline != nullptr && !room.Take(baseline, need)) room.rows.push_back(baseline);
    return room;
  };
  std::vector<Room> rooms;
  for (const AllocatorRow* row : rows) {
    if (row == baseline) continue;
    if (std::any_of(rooms.begin(), rooms.end(), [&](Room& room) { return room.Take(row, need); })) continue;
    if (UsesHugetlb(*row) && need.pool_bytes / kHugePageBytes > need.free_huge_pages && !rooms.empty()) {
      // It will not start; another baseline for it alone would be time spent on nothing.
      rooms.back().rows.push_back(row);
      continue;
    }
    rooms.push_back(open_room());
    if (!rooms.back().Take(row, need)) rooms.back().rows.push_back(row);
  }
  if (rooms.empty() && baseline != nullptr) rooms.push_back(open_room());
  std::vector<std::vector<const AllocatorRow*>> waves;
  for (Room& room : rooms) waves.push_back(std::move(room.rows));
  return waves;
}

}  // namespace hugepool::bench
