// Reservation: whether a need for 2 MiB pages is met, and if not, which node is to get how many more.
//
// Shape      one share per node of the machine, in the order of MemoryState
// Units      *_count are pages of kHugePageBytes
// Threads    pure functions
// Invariant  verdict kReserve or kReserveAndRaise: the add_counts make the need fit, leave OsFloor of MemAvailable to
//            the system and a twentieth of each node's memory to that node, and lower nobody's reservation
// Cost       O(nodes × 64)
#ifndef HUGEPOOL_TOOLS_RESERVATION_H_
#define HUGEPOOL_TOOLS_RESERVATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/need.h"
#include "topology/memory_state.h"

namespace hugepool::tools {

// What a reservation leaves to the system and to other processes: 8 GiB or a tenth of the memory, whichever is more. On
// a machine of less than 32 GiB that would be too much of it: there a quarter.
struct OsFloor {
  uint64_t bytes = 0;
  bool scaled = false;  // the quarter
};
OsFloor OsFloorOf(uint64_t machine_bytes);

// One node's part.
struct NodeShare {
  int node_id = -1;
  bool usable = false;       // has memory, and this process may use it
  bool preferred = false;    // usable, and near to CPUs of this process: filled before memory-only nodes
  uint64_t total_count = 0;  // reserved now, in use or free
  uint64_t free_count = 0;
  uint64_t room_count = 0;  // how many more could be reserved now
  uint64_t ever_count = 0;  // how many there could be at most, after a reboot
  uint64_t add_count = 0;   // how many more to reserve
  uint64_t target_count() const { return total_count + add_count; }
};

enum class Verdict {
  kFits,
  kReserve,          // reserving add_count per node makes it fit
  kRaise,            // pages are there, a cgroup's limit is in the way
  kReserveAndRaise,  // both
  kNotNow,           // the machine is large enough, but its memory is in use
  kNever,            // more than the machine can give
  kUnsupported,      // the kernel has no pages of 2 MiB
};
const char* ToString(Verdict verdict);

struct Reservation {
  Verdict verdict = Verdict::kFits;
  OsFloor floor;
  std::vector<NodeShare> shares;
  uint64_t free_count = 0;     // free on the nodes concerned, less what is promised to others
  uint64_t missing_count = 0;  // how many more are needed
  uint64_t room_count = 0;     // how many more the whole machine could reserve now, above the floor
  uint64_t ever_count = 0;     // the most that there could be
  std::vector<internal::HugetlbLimit> tight_limits;  // those that leave less than the need

  // The most that could be had for a need on any node, by reserving more but without freeing anything.
  uint64_t LargestNowCount() const;
};

Reservation Judge(const internal::MemoryState& state, const Need& need);

// Spreads `count` over the shares so that free pages end as even as they can, none above its room; the preferred
// first. Returns what found no room.
uint64_t SpreadEvenly(uint64_t count, std::vector<NodeShare*> shares);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_RESERVATION_H_
