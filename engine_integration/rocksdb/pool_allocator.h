// PoolAllocator: a RocksDB MemoryAllocator that serves from a Pool, and from malloc where the pool refuses.
//
// Shape      a block is the pool's when Pool::Owns says so, else malloc's; nothing is stored beside it
// Units      bytes
// Owner      shares the pool
// Threads    any thread; the counters are relaxed atomics that order nothing and pair with nothing
// Invariant  fall-back: count - returned_count = blocks of malloc in RocksDB's hands, and the same for bytes
// Errors     Allocate returns nullptr only when malloc does
// Cost       as Pool, plus one address compare
#ifndef HUGEPOOL_ROCKSDB_ADAPTER_POOL_ALLOCATOR_H_
#define HUGEPOOL_ROCKSDB_ADAPTER_POOL_ALLOCATOR_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "hugepool/pool_watch.h"
#include "hugepool/rocksdb.h"
#include "rocksdb_adapter/trace_writer.h"

namespace hugepool::rocksdb {

class PoolAllocator final : public ::rocksdb::MemoryAllocator {
 public:
  // Without a pool until MakePool; malloc serves whoever does not wait for it.
  PoolAllocator();
  explicit PoolAllocator(std::shared_ptr<Pool> pool);

  // The pool that the options ask for, and the writer of its statistics. Once. False: *error (when not null) says why, and nothing
  // is changed.
  bool MakePool(const AllocatorOptions& options, Error* error);

  // No other name, no nickname: RocksDB's registry would give everybody who asks by a nickname the first that was made.
  static const char* kClassName() { return "HugepoolAllocator"; }
  const char* Name() const override { return kClassName(); }

  // MakePool by the options that were configured, where there is no pool yet.
  ::rocksdb::Status PrepareOptions(const ::rocksdb::ConfigOptions& config) override;

  void* Allocate(size_t bytes) override;
  void Deallocate(void* block) override;
  // What the cache charges for the block: what it takes of the pool, less the start of it on a cache line, as far as that is
  // 1/160. malloc charges no header either, and a cache of the same capacity is not to hold fewer blocks for that.
  size_t UsableSize(void* block, size_t allocation_bytes) const override;

  // Since it was made. Counted in shards, so that threads do not meet on one cache line.
  uint64_t AllocationCount() const;
  FallbackStats Fallback() const;
  const std::shared_ptr<Pool>& pool() const { return pool_; }

 private:
  static constexpr size_t kUnchargedPart = 160;

  static constexpr uint64_t kTraceMostBytes = uint64_t{1} << 30;

  bool StartPoolWatch(Error* error);
  bool StartTrace(Error* error);
  // To those whom the options name; nobody where they name none.
  std::function<void(const std::string&)> Warner() const;
  std::string FallbackText() const;
  std::string FallbackComplaint() const;
  bool Owns(const void* block) const { return pool_ != nullptr && pool_->Owns(block); }
  ::rocksdb::Status ConfigureOptions(const ::rocksdb::ConfigOptions& config,
                                     const std::unordered_map<std::string, std::string>& options,
                                     std::unordered_map<std::string, std::string>* unused) override;
  ::rocksdb::Status ParseStringOptions(const ::rocksdb::ConfigOptions& config, const std::string& text) override;
  // Every way to set an option ends here.
  ::rocksdb::Status ParseOption(const ::rocksdb::ConfigOptions& config, const ::rocksdb::OptionTypeInfo& type,
                                const std::string& name, const std::string& value, void* address) override;

  // These are set before anybody allocates, and not changed again.
  AllocatorOptions options_;
  std::shared_ptr<Pool> pool_;
  std::unique_ptr<TraceWriter> trace_;  // where record_sizes names a file
  struct alignas(64) Shard {
    std::atomic<uint64_t> count{0};
  };
  std::array<Shard, 16> allocation_counts_;
  std::atomic<uint64_t> fallback_count_{0};
  std::atomic<uint64_t> fallback_bytes_{0};
  std::atomic<uint64_t> returned_count_{0};
  std::atomic<uint64_t> returned_bytes_{0};
  std::unique_ptr<PoolWatch> watch_;  // the last member: it looks at the others until it has ended
};

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ROCKSDB_ADAPTER_POOL_ALLOCATOR_H_
