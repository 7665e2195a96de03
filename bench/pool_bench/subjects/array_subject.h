// ArraySubject: the limit. Blocks that were all made before, their addresses in a bare array, last in, first out.
// PointerCycleSubject: its stand-in where blocks go from thread to thread: the same blocks over and over, nothing freed.
//
// Shape      one mapping a handle; blocks side by side, each on a cache line, every page touched
// Owner      the handle owns mapping and array
// Threads    a handle is one thread's
// Invariant  at most live_count blocks are out; the loops keep to it, nothing checks it
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_ARRAY_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_ARRAY_SUBJECT_H_

#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

// Populated memory of the asked-for kind.
class BlockMemory {
 public:
  // Empty and *problem filled where the system refuses.
  static BlockMemory Map(size_t bytes, HugePages huge_pages, std::string* problem) {
    const bool reserved = huge_pages == HugePages::kRequired;
    BlockMemory made;
    made.bytes_ = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
    // With MAP_POPULATE a shortage of reserved pages would be a SIGBUS later; populating by madvise says so now.
    void* memory = mmap(nullptr, made.bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | (reserved ? MAP_HUGETLB : 0), -1, 0);
    if (memory == MAP_FAILED) {
      *problem = "mmap of " + std::to_string(made.bytes_) + " bytes: " + std::strerror(errno) +
                 (reserved ? ". tools/huge_pages.sh with PAGES -- COMMAND reserves pages" : "");
      return BlockMemory();
    }
    made.memory_ = static_cast<std::byte*>(memory);
    if (!reserved) madvise(memory, made.bytes_, huge_pages == HugePages::kOff ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    if (madvise(memory, made.bytes_, MADV_POPULATE_WRITE) == 0) return made;
    *problem = "MADV_POPULATE_WRITE of " + std::to_string(made.bytes_) + " bytes: " + std::strerror(errno);
    return BlockMemory();
  }
  BlockMemory() = default;
  ~BlockMemory() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  BlockMemory(BlockMemory&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
  BlockMemory& operator=(BlockMemory&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* begin() const { return memory_; }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

inline size_t BlockStride(const BlockDemand& demand) {
  return (demand.most_bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
}

class PointerCycleSubject {
 public:
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = false;
  static constexpr bool kGrows = false;

  class Handle {
   public:
    Handle(BlockMemory memory, size_t stride, size_t count)
        : memory_(std::move(memory)), blocks_(count), mask_(count - 1) {
      for (size_t i = 0; i < count; ++i) blocks_[i] = memory_.begin() + i * stride;
    }
    void* Allocate(size_t) { return blocks_[next_++ & mask_]; }
    void Deallocate(void*, size_t) {}

   private:
    BlockMemory memory_;
    MappedArray<void*> blocks_;
    size_t mask_;
    size_t next_ = 0;
  };

  PointerCycleSubject(const SubjectOptions& options, std::string*) : huge_pages_(options.huge_pages) {}
  std::optional<Handle> MakeHandle(const BlockDemand& demand, std::string* problem) {
    const size_t count = std::bit_ceil(demand.live_count);
    BlockMemory memory = BlockMemory::Map(BlockStride(demand) * count, huge_pages_, problem);
    if (memory.begin() == nullptr) return std::nullopt;
    return Handle(std::move(memory), BlockStride(demand), count);
  }
  const Pool* pool() const { return nullptr; }

 private:
  const HugePages huge_pages_;
};

class ArraySubject {
 public:
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = false;
  static constexpr bool kAnySize = false;
  static constexpr bool kGrows = false;
  using AcrossThreads = PointerCycleSubject;

  class Handle {
   public:
    Handle(BlockMemory memory, size_t stride, size_t count) : memory_(std::move(memory)), free_blocks_(count) {
      for (size_t i = 0; i < count; ++i) free_blocks_[i] = memory_.begin() + (count - 1 - i) * stride;
      top_ = free_blocks_.end();
    }
    void* Allocate(size_t) { return *--top_; }
    void Deallocate(void* block, size_t) { *top_++ = block; }

   private:
    BlockMemory memory_;
    MappedArray<void*> free_blocks_;
    void** top_ = nullptr;  // behind the last free block
  };

  ArraySubject(const SubjectOptions& options, std::string*) : huge_pages_(options.huge_pages) {}
  std::optional<Handle> MakeHandle(const BlockDemand& demand, std::string* problem) {
    BlockMemory memory = BlockMemory::Map(BlockStride(demand) * demand.live_count, huge_pages_, problem);
    if (memory.begin() == nullptr) return std::nullopt;
    return Handle(std::move(memory), BlockStride(demand), demand.live_count);
  }
  const Pool* pool() const { return nullptr; }

 private:
  const HugePages huge_pages_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_ARRAY_SUBJECT_H_
