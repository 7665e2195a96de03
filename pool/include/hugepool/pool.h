// Pool: memory for blocks and records on huge pages of the right NUMA node.
//
// Shape      huge pages per node → runs → slabs of one size class → caches per CPU; docs/design.md walks one block down
// Units      sizes in bytes; node ids are the kernel's
// Alignment  16 B; a cache line (64 B) for sizes from 1 KiB; up to 4 KiB on request
// Threads    every call from any thread; a block may be freed by another thread than the one that allocated it
// Errors     cold calls fill an Error; Allocate returns nullptr; a double free that the slab floor sees, a pointer that
//            is no block of this pool, and a wrong size end the process with a report on standard error
// fork       a child keeps the books but not the pages: Allocate serves it by malloc, Deallocate of a parent's block is
//            a counted no-op, destructors are safe; reading a parent's block is a SIGSEGV. A child may create its own.
//            A child of vfork, or of clone with CLONE_VM and without CLONE_THREAD, calls nothing of this before it executes
//            another program: it is on its parent's memory, and nobody has told it that it is a child.
// Signals    not async-signal-safe
#ifndef HUGEPOOL_POOL_H_
#define HUGEPOOL_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/internal/percpu.h"
#include "hugepool/pool_options.h"
#include "hugepool/pool_stats.h"

namespace hugepool {

namespace internal {
class PoolCore;
struct PoolBuilder;
}  // namespace internal

class HUGEPOOL_EXPORT Pool {
 public:
  // Reserves address space on every node that the placement may use, binds it, and populates what
  // populate_at_start asks for. Returns nullptr and fills *error (when not null); no half state stays.
  // Needs Linux 5.14; no capability, no root, no write to /proc or /sys. Cost: milliseconds, plus 0.2–5 ms for each
  // 2 MiB (0.04–5 s for each 1 GiB page) populated at start, plus up to wait_for_huge_pages_seconds.
  static std::shared_ptr<Pool> Create(const PoolOptions& options, Error* error);

  // Gives every page back. Blocks still in users' hands are gone with it: the owner of the pool outlives its blocks.
  ~Pool();

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A block of at least max(bytes, 1), at most capacity_bytes (of a larger class, up to 1/4 more, where that one has many
  // free: UsableSize tells); nullptr when that is refused (capacity, a strict
  // placement, huge_pages = required, or the machine is out of memory). Contents are not defined.
  // Cost: 20 instructions, inlined, while this CPU's cache has one; a batch from a depot or a slab on a miss; 0.2–5 ms
  // when a page must be populated (of 1 GiB: 0.04–5 s). Above 32 KiB a call.
  void* Allocate(size_t bytes) noexcept {
    if (bytes <= internal::kMaxTableBytes) [[likely]] {
      void** const objects = internal::ObjectsOf(view_.objects, TagFor(bytes));
      void* const block = internal::PercpuPop<false>(objects, view_.rseq);
      if (block != nullptr) [[likely]]
        return block;
    }
    return AllocateSlow(bytes);
  }
  // alignment_bytes: a power of two, 1 to 4,096; anything else returns nullptr. A call.
  void* Allocate(size_t bytes, size_t alignment_bytes) noexcept;

  // nullptr is allowed. Cost: 24 instructions, inlined, while this CPU's cache has room and the class is that of the thread's last
  // block; a call more where it is not.
  void Deallocate(void* block) noexcept {
    if (internal::PercpuPushTagged(view_, internal::last_freed_tag, block)) [[likely]]
      return;
    DeallocateSlow(block);
  }
  // bytes: what was asked for, or any size up to UsableSize; it is compared. Cost: 29 instructions.
  void Deallocate(void* block, size_t bytes) noexcept {
    if (bytes <= internal::kMaxTableBytes) [[likely]] {
      if (internal::PercpuPushTagged(view_, TagFor(bytes), block)) [[likely]]
        return;
    }
    DeallocateSlow(block, bytes);
  }

  // `count` blocks of one size at once: as many as could be had are in blocks[0 …), their number is returned.
  // Cost: a few instructions a block, one lock or none a batch.
  size_t AllocateBatch(size_t bytes, void** blocks, size_t count) noexcept;
  // Blocks of any sizes; runs of one class go fastest.
  void DeallocateBatch(void* const* blocks, size_t count) noexcept;

  // A size class of exactly `bytes` (1 B to 256 KiB), rounded up to 16 B, from 1 KiB on to a cache line: blocks that the
  // classes of the pool would round up further use it from now on, and waste less. At most 32 can be added; one that is
  // there already is no error. Returns the bytes that such a block takes; 0, with *error (when not null) filled, where
  // that is refused. Any thread. Cost: microseconds.
  size_t AddSizeClass(size_t bytes, Error* error) noexcept;

  // Bytes that may be used from `block` on: the true share of memory that it takes. O(1), from the pointer alone.
  size_t UsableSize(const void* block) const noexcept;

  // The kernel's id of the node on which `block` lies, by its address. O(1). -1 when it is not of this pool.
  int NodeOf(const void* block) const noexcept;

  // Whether the address lies in this pool's windows. O(1).
  bool Owns(const void* block) const noexcept;

  // Drains the caches and gives empty pages back to the system until at most target_bytes are committed, or nothing
  // more is empty. Then marks the emptiest of the other pages, as many as the target asks for and their blocks find room
  // elsewhere: nothing is allocated there while other slabs have room, and they are given back when their last block
  // is freed (NodeStats::draining_bytes until then). Returns committed bytes afterwards. Other threads go on meanwhile.
  // Cost: one system call a page, and O(n log n) for n slabs.
  size_t Trim(size_t target_bytes) noexcept;

  // Does what is due, which otherwise whoever comes by a slow path does: what nobody used for decay_seconds goes back to its slabs and to
  // the system, and pages that hold more holes than chance explains begin to drain. Where all threads free as much as they take, from
  // one cache, nobody comes by: a cache that was made smaller would never give its memory back. Call it every second or so
  // (PoolWatch does). Any thread. Cost: microseconds while nothing is due, else as Trim.
  void Tend() noexcept;

  // Another capacity_bytes from now on, rounded up to page_bytes; at most Create's, rounded up to a power of two. Lower than what is committed: caches are drained and empty pages given back at once, others as soon as
  // they are empty; until then growth is refused, and nobody waits. False, with *error (when not null) filled: out of
  // range, nothing is changed. Any thread. Cost: as Trim.
  bool SetCapacity(size_t bytes, Error* error) noexcept;

  // Cost: microseconds per node and class; takes each lock once, briefly.
  PoolStats Stats() const;

  // Asks the kernel (move_pages, smaps) where each present page lies and how big it is. Returns nothing and fills
  // *error where the kernel does not say. Cost: one look-up per page.
  std::optional<PlacementReport> VerifyPlacement(Error* error) const;

  // Recomputes every counting identity from the books: used + free = capacity of each slab, runs = bits of each page,
  // pages = committed bytes. Call it while no other thread uses the pool. False: *why says which and where.
  // Cost: linear in the pages ever used.
  bool CheckInvariants(std::string* why) const;

  const PoolOptions& options() const noexcept;

 private:
  uint64_t TagFor(size_t bytes) const { return internal::LoadTag(view_.class_tags, internal::TableEntryOf(bytes)); }
  void* AllocateSlow(size_t bytes) noexcept;
  void DeallocateSlow(void* block) noexcept;
  void DeallocateSlow(void* block, size_t bytes) noexcept;

  friend class SlabCache;
  friend struct internal::PoolBuilder;
  explicit Pool(std::unique_ptr<internal::PoolCore> core);

  const internal::PercpuView view_;
  const std::unique_ptr<internal::PoolCore> core_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_POOL_H_
