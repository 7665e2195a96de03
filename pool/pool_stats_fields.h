// PoolStatsFields: every number of PoolStats once, with its names, for all formats that machines read.
//
// Shape      a table for each struct and kind of member; a field that is missing here is missing in every format, and
//            pool_stats_formats_test says so
// Units      metrics end in their unit, or count what their name says; counters end in _total
// Threads    constants
#ifndef HUGEPOOL_POOL_POOL_STATS_FIELDS_H_
#define HUGEPOOL_POOL_POOL_STATS_FIELDS_H_

#include <array>
#include <cstdint>

#include "hugepool/pool_stats.h"
#include "hugepool/types.h"

namespace hugepool::internal {

using ByBacking = std::array<uint64_t, kBackingCount>;

template <typename Stats, typename Value>
struct StatsField {
  const char* name;  // in JSON: that of the member
  Value Stats::*member;
  const char* metric;  // in Prometheus
  const char* help;
};
template <typename Stats>
using NumberField = StatsField<Stats, uint64_t>;
template <typename Stats>
using BackedField = StatsField<Stats, ByBacking>;

inline constexpr NumberField<PoolStats> kPoolNumbers[] = {
    {"page_bytes", &PoolStats::page_bytes, "hugepool_page_bytes", "Size of the reserved pages that were asked for."},
    {"capacity_bytes", &PoolStats::capacity_bytes, "hugepool_capacity_bytes",
     "Most memory that the pages of the pool may take."},
    {"committed_bytes", &PoolStats::committed_bytes, "hugepool_pool_committed_bytes",
     "Pages populated for blocks, on all nodes."},
    {"metadata_bytes", &PoolStats::metadata_bytes, "hugepool_metadata_bytes", "Resident memory of the pool's books."},
    {"allocated_bytes", &PoolStats::allocated_bytes, "hugepool_allocated_bytes",
     "Blocks in users' hands, rounding included."},
    {"cached_bytes", &PoolStats::cached_bytes, "hugepool_cached_bytes",
     "Free blocks in magazines, outboxes and depots."},
    {"piled_bytes", &PoolStats::piled_bytes, "hugepool_piled_bytes",
     "Free blocks that are sorted into their slabs when memory is wanted."},
    {"allocated_count", &PoolStats::allocated_count, "hugepool_allocated_blocks", "Blocks in users' hands."},
    {"learned_class_count", &PoolStats::learned_class_count, "hugepool_learned_classes",
     "Size classes that were learned from the sizes asked for, in use now."},
    {"failed_count", &PoolStats::failed_count, "hugepool_failed_allocations_total",
     "Calls of Allocate that returned nullptr."},
    {"pressure_event_count", &PoolStats::pressure_event_count, "hugepool_pressure_events_total",
     "Times that memory pressure made the pool trim."},
    {"pressure_trimmed_bytes", &PoolStats::pressure_trimmed_bytes, "hugepool_pressure_trimmed_bytes_total",
     "Memory given back because of pressure."},
    {"refused_bind_count", &PoolStats::refused_bind_count, "hugepool_refused_binds_total",
     "Calls of mbind that the system refused."},
    {"refused_locate_count", &PoolStats::refused_locate_count, "hugepool_refused_locates_total",
     "Look-ups by move_pages that the system refused."},
    {"refused_give_back_count", &PoolStats::refused_give_back_count, "hugepool_refused_give_backs_total",
     "Pages that could not be given back to the system."},
    {"aborted_sequence_count", &PoolStats::aborted_sequence_count, "hugepool_process_aborted_sequences_total",
     "Restartable sequences of the process that the kernel made start anew."},
    {"child_allocate_count", &PoolStats::child_allocate_count, "hugepool_child_allocations_total",
     "In a forked child: allocations served by malloc."},
    {"child_deallocate_count", &PoolStats::child_deallocate_count, "hugepool_child_deallocations_total",
     "In a forked child: frees of its parent's blocks, ignored."},
};

inline constexpr NumberField<NodeStats> kNodeNumbers[] = {
    {"used_bytes", &NodeStats::used_bytes, "hugepool_used_bytes", "Pages that hold at least one run."},
    {"empty_bytes", &NodeStats::empty_bytes, "hugepool_empty_bytes", "Populated pages without a run, kept ahead."},
    {"draining_bytes", &NodeStats::draining_bytes, "hugepool_draining_bytes",
     "Pages that are given back as soon as what is in use of them is freed."},
    {"degraded_bytes", &NodeStats::degraded_bytes, "hugepool_degraded_bytes",
     "Pages with a lesser backing than the options ask for first."},
    {"unverified_bytes", &NodeStats::unverified_bytes, "hugepool_unverified_bytes",
     "Pages of which the kernel would not say on which node they lie."},
    {"departure_count", &NodeStats::departure_count, "hugepool_departures_total",
     "Allocations that wanted this node and got another."},
    {"departed_bytes", &NodeStats::departed_bytes, "hugepool_departed_bytes_total",
     "Memory of allocations that wanted this node and got another."},
    {"hand_over_count", &NodeStats::hand_over_count, "hugepool_hand_overs_total",
     "Batches of this node's free blocks that CPUs of other nodes gave back."},
    {"handed_over_block_count", &NodeStats::handed_over_block_count, "hugepool_handed_over_blocks_total",
     "Free blocks of this node that CPUs of other nodes gave back in batches."},
    {"misplaced_count", &NodeStats::misplaced_count, "hugepool_misplaced_pages_total",
     "Pages that the kernel put on another node, given back at once."},
};
inline constexpr BackedField<NodeStats> kNodeBacked[] = {
    {"committed_bytes", &NodeStats::committed_bytes, "hugepool_committed_bytes", "Pages populated for blocks."},
    {"refused_count", &NodeStats::refused_count, "hugepool_refused_populations_total",
     "Populations that this node could not serve."},
};

inline constexpr NumberField<ClassStats> kClassNumbers[] = {
    {"slab_count", &ClassStats::slab_count, "hugepool_class_slabs", "Slabs of a size class."},
    {"slab_bytes", &ClassStats::slab_bytes, "hugepool_class_slab_bytes", "Memory of the slabs of a size class."},
    {"used_count", &ClassStats::used_count, "hugepool_class_used_objects",
     "Objects out of the slabs of a size class: in users' hands, in caches and on piles."},
    {"cached_count", &ClassStats::cached_count, "hugepool_class_cached_objects",
     "Free objects of a size class in caches and on piles."},
};
inline constexpr BackedField<ClassStats> kClassBacked[] = {
    {"slab_bytes_by_backing", &ClassStats::slab_bytes_by_backing, "hugepool_class_backed_bytes",
     "Memory of the slabs of a size class, by what stands behind it."},
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_POOL_STATS_FIELDS_H_
