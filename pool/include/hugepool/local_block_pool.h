// LocalBlockPool: blocks of one size for one owner, without synchronisation: for a shard, a strand, an executor.
//
// Shape      chunks of a Pool, cut into objects. Fresh objects come from a pointer that walks the newest chunk: no pass
//            over a chunk when it is fetched. Freed objects are handed out again, last in, first out: records (below
//            1 KiB) are linked through the free objects themselves; the addresses of blocks (from 1 KiB) stand in an
//            array, since a list would walk cold memory
// Units      bytes; counts are objects
// Alignment  alignment_bytes, at least 8 B; blocks from 1 KiB start on a cache line
// Owner      the handle, which moves and is not copied; what was moved from refuses. Shares the Pool
// Node       chunks come from Pool::Allocate: under `local` they lie on the node of the CPU that fetches them, so the
//            owner should stay on one node
// Threads    one at a time, any; the owner orders them (a strand's queue, a lock). Debug builds (without NDEBUG) of the
//            user's code end the process when two are inside at once
// Errors     Create fills an Error; Allocate returns nullptr where the pool refuses. A foreign pointer is found in debug
//            builds only, and ends the process with a report
// fork       a child may destroy a pool of its parent and do nothing else with it: its memory is not there
// Invariant  object_count = live_count + free + fresh (never handed out)
// Cost       Allocate, Deallocate: O(1) in any order, a few instructions, inlined; a Pool::Allocate per chunk
// Source     the list: Weinstock & Wulf, An Efficient Algorithm for Heap Storage Allocation, SIGPLAN Notices 1988; fresh
//            objects: Kenwright, Fast Efficient Fixed-Size Memory Pool, 2012
#ifndef HUGEPOOL_LOCAL_BLOCK_POOL_H_
#define HUGEPOOL_LOCAL_BLOCK_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"
#include "hugepool/types.h"

namespace hugepool {

struct LocalPoolOptions {
  // The first chunk takes about so much, each further one twice as much as the one before, up to max_chunk_bytes; a chunk
  // holds at least one object. Where the pool refuses a chunk, a half is asked for, down to 4 KiB.
  size_t first_chunk_bytes = size_t{64} << 10;  // 4 KiB to max_chunk_bytes
  size_t max_chunk_bytes = kHugePageBytes;      // 4 KiB to 1 GiB
};

class HUGEPOOL_EXPORT LocalBlockPool {
 public:
  // object_bytes: 1 to options.max_chunk_bytes. alignment_bytes: a power of two, 1 to 4 KiB. Fetches nothing yet.
  static std::optional<LocalBlockPool> Create(std::shared_ptr<Pool> pool, size_t object_bytes, Error* error,
                                              size_t alignment_bytes = kMinAlignmentBytes,
                                              const LocalPoolOptions& options = {});
  LocalBlockPool(LocalBlockPool&& other) noexcept;
  LocalBlockPool& operator=(LocalBlockPool&& other) noexcept;
  // As Clear.
  ~LocalBlockPool();

  // object_bytes() of memory; contents are not defined. nullptr where the pool refuses another chunk.
  [[nodiscard]] void* Allocate() noexcept { return IsBlock(object_bytes_) ? AllocateBlock() : AllocateRecord(); }
  // An object of this pool; nullptr is allowed. Of a block nothing is touched, of a record the first 8 B.
  void Deallocate(void* object) noexcept {
    IsBlock(object_bytes_) ? DeallocateBlock(object) : DeallocateRecord(object);
  }

  // Gives every chunk back to the Pool, live objects with it: no destructor runs, and every pointer is void.
  // Cost: one Pool::Deallocate a chunk; no object is touched.
  void Clear() noexcept;

  // Gives back the chunks without a live object; returns footprint_bytes() afterwards. Cost: O(free objects × log
  // chunks), twice where there is such a chunk. That reads every free record, which may be cold; of blocks it reads the
  // array only.
  size_t Trim() noexcept;

  size_t object_bytes() const noexcept { return object_bytes_; }
  // What one object takes, rounding included.
  size_t stride_bytes() const noexcept { return stride_bytes_; }
  // Objects in the owner's hands, in all chunks, and so many chunks.
  size_t live_count() const noexcept;
  size_t object_count() const noexcept { return object_count_; }
  size_t chunk_count() const noexcept { return chunk_count_; }
  // All memory that this pool holds: chunks, the array of free blocks, the table of chunks.
  size_t footprint_bytes() const noexcept;
  Pool& pool() const noexcept { return *pool_; }

  // Recomputes the invariant from the chunks and the free objects. False: *why says what is wrong, a double free
  // among others. Cost: O(free objects × log free objects).
  bool CheckInvariants(std::string* why) const;

 private:
  template <typename T>
  friend class LocalPool;

  // What a free record begins with.
  struct Link {
    Link* next;
  };
  // Sorted by address. The table lies in malloc's memory, so that a forked child can read it.
  struct Chunk {
    std::byte* begin;
    size_t object_count;
    size_t idle_count;  // scratch of Trim: free and fresh objects
  };
  // One of the threads that must not be here at once. Seen in debug builds; relaxed, so that it orders nothing and hides
  // no race from ThreadSanitizer.
  class Visit {
   public:
    [[gnu::always_inline]] explicit Visit([[maybe_unused]] LocalBlockPool* pool) {
#ifndef NDEBUG
      pool_ = pool;
      if (pool_->busy_.exchange(true, std::memory_order_relaxed)) pool_->DieOfTwoThreads();
#endif
    }
    [[gnu::always_inline]] ~Visit() {
#ifndef NDEBUG
      pool_->busy_.store(false, std::memory_order_relaxed);
#endif
    }

   private:
    [[maybe_unused]] LocalBlockPool* pool_ = nullptr;
  };

  static constexpr bool IsBlock(size_t object_bytes) { return object_bytes >= kCacheLineFromBytes; }

  LocalBlockPool() = default;

  void* AllocateRecord() noexcept {
    const Visit visit(this);
    Link* const first = free_list_;
    if (first == nullptr) [[unlikely]] {
      void* const fresh = AllocateFresh();
      live_record_count_ += fresh != nullptr;
      return fresh;
    }
    free_list_ = first->next;
    ++live_record_count_;
    return first;
  }
  void DeallocateRecord(void* record) noexcept {
    if (record == nullptr) return;
    const Visit visit(this);
    CheckInDebugBuilds(record);
    free_list_ = ::new (record) Link{free_list_};
    --live_record_count_;
  }
  void* AllocateBlock() noexcept {
    const Visit visit(this);
    if (free_top_ == free_blocks_) [[unlikely]] {
      return AllocateFresh();
    }
    return *--free_top_;
  }
  void DeallocateBlock(void* block) noexcept {
    if (block == nullptr) return;
    const Visit visit(this);
    CheckInDebugBuilds(block);
    *free_top_++ = block;  // there is room: the array grows with the chunks
  }
  void* AllocateFresh() noexcept {
    if (fresh_ == fresh_end_ && !Grow()) [[unlikely]] {
      return nullptr;
    }
    void* const object = fresh_;
    fresh_ += stride_bytes_;
    return object;
  }
  [[gnu::always_inline]] void CheckInDebugBuilds([[maybe_unused]] const void* object) const {
#ifndef NDEBUG
    DieUnlessLive(object);
#endif
  }

  // Not inlined: cold.
  bool Grow() noexcept;
  bool AddChunk(size_t wanted_count) noexcept;
  bool ResizeFreeBlocks(size_t capacity) noexcept;
  Chunk* FindChunk(const void* object) const noexcept;
  size_t FreshCount() const noexcept { return static_cast<size_t>(fresh_end_ - fresh_) / stride_bytes_; }
  template <typename Each>
  void ForFree(Each each) const;
  template <typename Keep>
  void KeepFree(Keep keep) noexcept;
  void ForgetAll() noexcept;
  void TakeFrom(LocalBlockPool& other) noexcept;
  void DieUnlessLive(const void* object) const;
  [[noreturn]] void DieOfTwoThreads() const;

  // Owned by whoever holds the handle; the fast path's fields first, in one cache line.
  Link* free_list_ = nullptr;     // records only
  size_t live_record_count_ = 0;  // records only; of blocks it follows from the others
  void** free_blocks_ = nullptr;  // blocks only: an array with room for object_count_ addresses
  void** free_top_ = nullptr;     // its first place without a free block
  std::byte* fresh_ = nullptr;    // the next object of the newest chunk
  std::byte* fresh_end_ = nullptr;
  size_t stride_bytes_ = 1;
  size_t object_bytes_ = 0;

  size_t free_capacity_ = 0;
  Chunk* chunks_ = nullptr;
  size_t chunk_count_ = 0;
  size_t chunk_capacity_ = 0;
  size_t object_count_ = 0;
  size_t held_bytes_ = 0;  // chunks, by UsableSize
  size_t next_chunk_bytes_ = 0;
  size_t alignment_bytes_ = 0;
  LocalPoolOptions options_;
  std::shared_ptr<Pool> pool_;
  std::atomic<bool> busy_{false};  // a thread is inside; see Visit
};

}  // namespace hugepool

#endif  // HUGEPOOL_LOCAL_BLOCK_POOL_H_
