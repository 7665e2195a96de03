// PoolSubject: hugepool::Pool, freed with the size or without it, or with learn_size_classes; SlabCacheSubject: hugepool::SlabCache on such a pool;
// LocalPoolSubject: a hugepool::LocalBlockPool on it for each handle.
//
// Owner      the subject owns the pool
// Threads    any; a block may be freed by another thread, but for LocalPoolSubject's
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_POOL_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_POOL_SUBJECT_H_

#include <hugepool/local_block_pool.h>
#include <hugepool/pool.h>
#include <hugepool/slab_cache.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

inline std::shared_ptr<Pool> MakePool(const SubjectOptions& options, std::string* problem, bool learns = false) {
  PoolOptions pool_options;
  pool_options.capacity_bytes = options.capacity_bytes;
  pool_options.huge_pages = options.huge_pages;
  pool_options.populate_at_start = options.populate_at_start;
  pool_options.learn_size_classes = learns;
  pool_options.name = "pool_bench";
  Error error;
  std::shared_ptr<Pool> pool = Pool::Create(pool_options, &error);
  if (pool == nullptr) *problem = error.ToString();
  return pool;
}

enum class FreeForm : uint8_t { kUnsized, kSized };

template <FreeForm kFreeForm, bool kLearns = false>
class PoolSubject {
 public:
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = true;
  static constexpr bool kGrows = true;
  static constexpr bool kPopulates = true;  // can have all its memory at start

  class Handle {
   public:
    explicit Handle(Pool* pool) : pool_(pool) {}
    void* Allocate(size_t bytes) { return pool_->Allocate(bytes); }
    void Deallocate(void* block, size_t bytes) {
      if constexpr (kFreeForm == FreeForm::kSized) {
        pool_->Deallocate(block, bytes);
      } else {
        pool_->Deallocate(block);
      }
    }

   private:
    Pool* pool_;
  };

  PoolSubject(const SubjectOptions& options, std::string* problem) : pool_(MakePool(options, problem, kLearns)) {}
  std::optional<Handle> MakeHandle(const BlockDemand&, std::string*) { return Handle(pool_.get()); }
  const Pool* pool() const { return pool_.get(); }

 private:
  const std::shared_ptr<Pool> pool_;
};

class SlabCacheSubject {
 public:
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = false;
  static constexpr bool kGrows = true;
  static constexpr bool kPopulates = true;  // can have all its memory at start

  class Handle {
   public:
    explicit Handle(SlabCache cache) : cache_(std::move(cache)) {}
    void* Allocate(size_t) { return cache_.Allocate(); }
    void Deallocate(void* block, size_t) { cache_.Deallocate(block); }

   private:
    SlabCache cache_;
  };

  SlabCacheSubject(const SubjectOptions& options, std::string* problem) : pool_(MakePool(options, problem)) {}
  std::optional<Handle> MakeHandle(const BlockDemand& demand, std::string* problem) {
    Error error;
    std::optional<SlabCache> cache = SlabCache::Create(pool_, demand.most_bytes, &error);
    if (cache) return Handle(*std::move(cache));
    *problem = error.ToString();
    return std::nullopt;
  }
  const Pool* pool() const { return pool_.get(); }

 private:
  const std::shared_ptr<Pool> pool_;
};

class LocalPoolSubject {
 public:
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = false;
  static constexpr bool kAnySize = false;
  static constexpr bool kGrows = true;
  static constexpr bool kPopulates = true;  // can have all its memory at start

  class Handle {
   public:
    explicit Handle(LocalBlockPool blocks) : blocks_(std::move(blocks)) {}
    void* Allocate(size_t) { return blocks_.Allocate(); }
    void Deallocate(void* block, size_t) { blocks_.Deallocate(block); }

   private:
    LocalBlockPool blocks_;
  };

  LocalPoolSubject(const SubjectOptions& options, std::string* problem) : pool_(MakePool(options, problem)) {}
  std::optional<Handle> MakeHandle(const BlockDemand& demand, std::string* problem) {
    Error error;
    std::optional<LocalBlockPool> blocks = LocalBlockPool::Create(pool_, demand.most_bytes, &error);
    if (blocks) return Handle(*std::move(blocks));
    *problem = error.ToString();
    return std::nullopt;
  }
  const Pool* pool() const { return pool_.get(); }

 private:
  const std::shared_ptr<Pool> pool_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_POOL_SUBJECT_H_
