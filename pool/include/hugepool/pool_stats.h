// PoolStats: one look at a pool, as plain data.
//
// Units      *_bytes are bytes, *_count are events since Create unless said otherwise
// Threads    a value; Pool::Stats() fills it while other threads go on, so sums may be off by what is in flight
// Invariant  committed_bytes = sum over nodes of committed_bytes[each backing]
//            committed_bytes = used_bytes + empty_bytes, per node
#ifndef HUGEPOOL_POOL_STATS_H_
#define HUGEPOOL_POOL_STATS_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hugepool/export.h"
#include "hugepool/types.h"

namespace hugepool {

struct NodeStats {
  int node_id = -1;                                       // the kernel's id
  std::array<uint64_t, kBackingCount> committed_bytes{};  // by Backing: pages populated on this node
  uint64_t used_bytes = 0;                                // inside pages that hold at least one run
  uint64_t empty_bytes = 0;                               // populated pages without a run, kept ahead
  uint64_t draining_bytes = 0;                          // of used_bytes: given back as soon as it is free (Pool::Trim)
  uint64_t degraded_bytes = 0;                          // on a lower rung than the options ask for first
  uint64_t unverified_bytes = 0;                        // the kernel would not say on which node these lie
  uint64_t departure_count = 0;                         // allocations that wanted this node and got another
  uint64_t departed_bytes = 0;                          // the same, in bytes (cumulative)
  uint64_t hand_over_count = 0;                         // batches of its blocks that other nodes' CPUs gave back
  uint64_t handed_over_block_count = 0;                 // the blocks in them: freed on another node
  std::array<uint64_t, kBackingCount> refused_count{};  // by Backing: populations that this node could not serve
  uint64_t misplaced_count = 0;                         // pages that the kernel put elsewhere; given back at once
};

// The slabs of one size class on one node.
struct ClassStats {
  int node_id = -1;           // the kernel's id
  uint64_t object_bytes = 0;  // what one object of the class takes
  uint64_t slab_count = 0;    // slabs now
  uint64_t slab_bytes = 0;    // of them, objects used and free
  uint64_t used_count = 0;    // objects out of the slabs: in users' hands, in caches and on piles
  uint64_t cached_count = 0;  // those of them in caches and on piles
  std::array<uint64_t, kBackingCount> slab_bytes_by_backing{};  // slab_bytes, by Backing of the page
};

struct PoolStats {
  std::string name;
  std::string backing;      // what huge_pages asked for: "required", "preferred", …
  std::string placement;    // "local", "node(1)", …
  std::string cache_mode;   // what cpu_cache came to: "rseq", "locked" or "off"
  uint64_t page_bytes = 0;  // size of the reserved (hugetlb) pages that were asked for
  uint64_t capacity_bytes = 0;
  uint64_t committed_bytes = 0;          // pages now populated for blocks, used or kept ahead
  uint64_t metadata_bytes = 0;           // resident, as the kernel counts (mincore), plus what Create allocated
  uint64_t allocated_bytes = 0;          // blocks in users' hands, by UsableSize
  uint64_t cached_bytes = 0;             // free blocks in per-CPU caches, outboxes and depots
  uint64_t piled_bytes = 0;              // free blocks that are sorted into their slabs when memory is wanted
  uint64_t allocated_count = 0;          // blocks in users' hands, now
  uint64_t learned_class_count = 0;      // size classes that were learned from what is asked for, in use now
  uint64_t failed_count = 0;             // Allocate calls that returned nullptr
  uint64_t pressure_event_count = 0;     // events at which a PressureWatch trimmed
  uint64_t pressure_trimmed_bytes = 0;   // given back at once by these trims
  uint64_t refused_bind_count = 0;       // mbind calls that the system refused
  uint64_t refused_locate_count = 0;     // move_pages look-ups that the system refused
  uint64_t refused_give_back_count = 0;  // pages that could not be given back (kernels before 5.18)
  uint64_t aborted_sequence_count = 0;   // of the process: sequences that the kernel made start anew (rseq)
  uint64_t child_allocate_count = 0;     // in a forked child: Allocate calls served by malloc
  uint64_t child_deallocate_count = 0;   // in a forked child: frees of the parent's blocks, ignored
  std::vector<NodeStats> nodes;          // every node that this pool may use, by node_id
  std::vector<ClassStats> classes;       // one for each node and class with slabs, by node_id, then object_bytes

  uint64_t DegradedBytes() const {
    uint64_t sum = 0;
    for (const NodeStats& node : nodes) sum += node.degraded_bytes;
    return sum;
  }
  uint64_t CommittedBytes(Backing rung) const {
    uint64_t sum = 0;
    for (const NodeStats& node : nodes) sum += node.committed_bytes[static_cast<size_t>(rung)];
    return sum;
  }
  // All memory of the pool: footprint as docs/design.md defines it.
  uint64_t FootprintBytes() const { return committed_bytes + metadata_bytes; }

  // A few lines for people, with the largest classes.
  HUGEPOOL_EXPORT std::string ToText() const;

  // One JSON object in one line: the fields under their own names, what is by Backing as an object of "hugetlb",
  // "transparent" and "small". Numbers are whole and may need all 64 bits. Always UTF-8: bytes of the name that are
  // none become U+FFFD. Cost: linear in nodes and classes, as all three.
  HUGEPOOL_EXPORT std::string ToJson() const;

  // The text exposition format 0.0.4 of Prometheus. Metrics are named hugepool_..., quantities by their unit, counters
  // end in _total. Labels: pool, node, backing, object_bytes. Serve it as "text/plain; version=0.0.4".
  HUGEPOOL_EXPORT std::string ToPrometheus() const;
  // The same of several pools in one valid page, where the texts of each behind another would not be: every metric is
  // described once. Of pools with one name the later ones are called "name#2", "name#3", in the order given.
  HUGEPOOL_EXPORT static std::string ToPrometheus(std::span<const PoolStats> pools);
};

// What the kernel says about the pool's pages (Pool::VerifyPlacement): nothing in it comes from the pool's books.
struct PlacementReport {
  struct Node {
    int node_id = -1;
    uint64_t page_count = 0;       // base, huge or giant pages of this node's window that are present
    uint64_t misplaced_count = 0;  // those of them that lie on another node
  };
  std::vector<Node> nodes;
  uint64_t hugetlb_bytes = 0;       // by smaps: Private_ and Shared_Hugetlb of the pool's mappings
  uint64_t hugetlb_page_bytes = 0;  // by smaps: their KernelPageSize; 0 where hugetlb_bytes is
  uint64_t transparent_bytes = 0;   // by smaps: AnonHugePages
  uint64_t small_bytes = 0;         // by smaps: Rss less AnonHugePages
  uint64_t MisplacedCount() const {
    uint64_t sum = 0;
    for (const Node& node : nodes) sum += node.misplaced_count;
    return sum;
  }
};

}  // namespace hugepool

#endif  // HUGEPOOL_POOL_STATS_H_
