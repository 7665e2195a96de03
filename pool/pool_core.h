// PoolCore: one pool: the floors, wired once; and what a forked child is still allowed to do with it.
//
// Shape      arenas (pages per node) ← slabs (bins per node and class) ← caches (per CPU); blocks above 256 KiB are
//            runs of the arenas
// Units      bytes
// Owner      the Pool
// Threads    any
// Invariant  in the process that created it *alive_ is 1; the kernel wipes that page in a forked child, where no lock
//            of the pool is ever taken again, since a thread of the parent may have held it
// Cost       Allocate and Deallocate: one load for the fork check, one look-up, one cache step
#ifndef HUGEPOOL_POOL_POOL_CORE_H_
#define HUGEPOOL_POOL_POOL_CORE_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "arena/arena_set.h"
#include "arena/metadata_memory.h"
#include "arena/placement_policy.h"
#include "cache/cpu_cache.h"
#include "hugepool/error.h"
#include "hugepool/internal/percpu.h"
#include "hugepool/pool.h"
#include "hugepool/pool_options.h"
#include "hugepool/pool_stats.h"
#include "os/os_memory.h"
#include "slab/hole_watch.h"
#include "slab/size_learner.h"
#include "slab/slab_set.h"
#include "topology/topology.h"

namespace hugepool::internal {

class PoolCore {
 public:
  static std::unique_ptr<PoolCore> Create(const PoolOptions& options, OsMemory& os, const Topology& topology,
                                          Error* error);
  ~PoolCore();

  // What the fast path of a Pool on these floors reads.
  const PercpuView& view() const { return view_; }
  const ClassTable& classes() const { return slabs_->classes(); }
  void NoteHandle(SizeClass size_class) { cache_->NoteHandle(size_class); }

  // The slow paths: everything that the fast path may not, or could not, do.
  void* Allocate(size_t bytes, size_t alignment_bytes);
  void* AllocateClass(SizeClass size_class);
  size_t AllocateBatch(size_t bytes, void** blocks, size_t count);
  size_t AllocateClassBatch(SizeClass size_class, void** blocks, size_t count);
  void Deallocate(void* block) noexcept;
  void Deallocate(void* block, size_t bytes);
  void DeallocateBatch(void* const* blocks, size_t count);
  size_t AddSizeClass(size_t bytes, Error* error);
  size_t UsableSize(const void* block) const;
  int NodeOf(const void* block) const;
  bool Owns(const void* block) const { return arenas_->map().Contains(block); }
  size_t Trim(size_t target_bytes);
  void Tend();
  // For a PressureWatch: a counted trim of at most step_bytes, in whole pages, that keeps keep_bytes committed. What others
  // commit meanwhile makes the count smaller.
  void RelievePressure(size_t step_bytes, size_t keep_bytes);
  bool SetCapacity(size_t bytes, Error* error);
  PoolStats Stats();
  std::optional<PlacementReport> VerifyPlacement(Error* error);
  bool CheckInvariants(std::string* why);

  const PoolOptions& options() const { return options_; }
  // Whether this process is a forked child of the one that created the pool.
  bool InChild() const { return alive_->load(std::memory_order_relaxed) == 0; }

 private:
  PoolCore(const PoolOptions& options, OsMemory& os)
      : options_(options), os_(os), metadata_(os), hole_watch_(uint64_t{options.decay_seconds} * 1'000'000'000) {}

  bool Build(const Topology& topology, Error* error);
  void* AllocateRun(size_t bytes);
  void DeallocateOther(void* block);
  size_t TakeBatch(SizeClass size_class, CpuCache::From from, void** blocks, size_t count, size_t* fetched_count);
  void NoteFetched(size_t bytes, size_t fetched_count);
  void LookIfDue(bool plan, bool look = false);
  void DrainHoles(const LiveMemory& live);
  void AddClassStats(PoolStats* stats);
  void* AllocateInChild(size_t bytes, size_t alignment_bytes);
  void DeallocateInChild(void* block);

  const PoolOptions options_;
  OsMemory& os_;
  MetadataMemory metadata_;
  // 1 here, 0 in a forked child (MADV_WIPEONFORK). Relaxed: the kernel writes it, before the child runs.
  std::atomic<uint32_t>* alive_ = nullptr;
  std::unique_ptr<ArenaSet> arenas_;
  std::unique_ptr<PlacementPolicy> placement_;
  std::unique_ptr<SlabSet> slabs_;
  std::atomic<bool> looking_{false};      // a thread uses learner_'s Plan, or hole_watch_
  std::unique_ptr<SizeLearner> learner_;  // nullptr: learn_size_classes is off
  HoleWatch hole_watch_;
  std::atomic<uint64_t> look_bytes_{0};  // so much leaves the slabs before the next look. Relaxed: a hint
  std::unique_ptr<CpuCache> cache_;
  PercpuView view_;
  CpuCache::OutboxView outboxes_;
  // Counters: relaxed, they publish nothing.
  std::atomic<uint64_t> run_bytes_{0};  // in users' hands, in runs
  std::atomic<uint64_t> run_count_{0};
  std::atomic<uint64_t> failed_count_{0};
  std::atomic<uint64_t> pressure_event_count_{0};
  std::atomic<uint64_t> pressure_trimmed_bytes_{0};
  std::atomic<uint64_t> child_allocate_count_{0};
  std::atomic<uint64_t> child_deallocate_count_{0};
};

// Pool::Create with a system and a machine of the caller's; both must outlive the pool (the topology only this call).
std::shared_ptr<Pool> CreatePool(const PoolOptions& options, OsMemory& os, const Topology& topology, Error* error);

// What stands behind a Pool, for the other faces.
PoolCore& CoreOf(const Pool& pool);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_POOL_CORE_H_
