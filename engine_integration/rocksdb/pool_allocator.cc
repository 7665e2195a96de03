#include "rocksdb_adapter/pool_allocator.h"

#include <malloc.h>
#include <rocksdb/env.h>
#include <rocksdb/utilities/object_registry.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "rocksdb_adapter/allocator_options.h"

namespace hugepool::rocksdb {

using ::rocksdb::ConfigOptions;
using ::rocksdb::Status;

PoolAllocator::PoolAllocator() { RegisterOptions(&options_, &AllocatorOptionTypes()); }

PoolAllocator::PoolAllocator(std::shared_ptr<Pool> pool) : PoolAllocator() {
  static_cast<PoolOptions&>(options_) = pool->options();
  pool_ = std::move(pool);
}

bool PoolAllocator::MakePool(const AllocatorOptions& options, Error* error) {
  std::shared_ptr<Pool> pool = Pool::Create(options, error);
  if (pool == nullptr) return false;
  for (const size_t bytes : options.block_bytes) {
    if (pool->AddSizeClass(bytes, error) == 0) return false;
  }
  options_ = options;
  pool_ = std::move(pool);
  if (StartTrace(error) && StartPoolWatch(error)) return true;
  trace_.reset();
  pool_.reset();
  return false;
}

std::function<void(const std::string&)> PoolAllocator::Warner() const {
  if (options_.info_log == nullptr && !options_.on_warning) return nullptr;
  return [log = options_.info_log, tell = options_.on_warning](const std::string& warning) {
    if (log != nullptr) ::rocksdb::Warn(log, "HugepoolAllocator: %s", warning.c_str());
    if (tell) tell(warning);
  };
}

bool PoolAllocator::StartTrace(Error* error) {
  if (options_.record_sizes.empty()) return true;
  trace_ = TraceWriter::Create(options_.record_sizes, kTraceMostBytes, Warner(), error);
  return trace_ != nullptr;
}

bool PoolAllocator::StartPoolWatch(Error* error) {
  if (options_.info_log != nullptr) {
    ::rocksdb::Info(options_.info_log, "HugepoolAllocator: %s", ToString(ConfigOptions()).c_str());
  }
  PoolWatchOptions watch;
  watch.file = options_.stats_file;
  watch.interval_seconds = options_.watch_interval_seconds;
  watch.on_warning = Warner();
  watch.more_text = [this] { return FallbackText(); };
  watch.more_complaint = [this] { return FallbackComplaint(); };
  watch_ = PoolWatch::Start(pool_, watch, error);
  return watch_ != nullptr;
}

// As PoolStats::ToPrometheus writes the pool's own.
std::string PoolAllocator::FallbackText() const {
  const FallbackStats stats = Fallback();
  std::string label = "{pool=\"";
  for (const char c : pool_->options().name) {
    if (c == '"' || c == '\\') label += '\\';
    c == '\n' ? label += "\\n" : label += c;
  }
  label += "\"} ";
  std::string text;
  const auto add = [&](const char* metric, const char* type, const char* help, uint64_t value) {
    text += std::string("# HELP ") + metric + " " + help + "\n# TYPE " + metric + " " + type + "\n" + metric + label +
            std::to_string(value) + "\n";
  };
  add("hugepool_rocksdb_allocations_total", "counter", "Blocks that RocksDB asked for.", AllocationCount());
  add("hugepool_rocksdb_fallback_blocks_total", "counter", "Blocks that malloc served in the pool's place.",
      stats.count);
  add("hugepool_rocksdb_fallback_bytes_total", "counter", "Their memory.", stats.bytes);
  add("hugepool_rocksdb_fallback_live_blocks", "gauge", "Those of them that RocksDB still has.", stats.live_count);
  add("hugepool_rocksdb_fallback_live_bytes", "gauge", "Their memory.", stats.live_bytes);
  return text;
}

std::string PoolAllocator::FallbackComplaint() const {
  const FallbackStats stats = Fallback();
  if (stats.live_count == 0) return {};
  return "pool '" + pool_->options().name + "': " + std::to_string(stats.live_count) + " blocks of RocksDB, " +
         std::to_string(stats.live_bytes >> 20) +
         " MiB, lie on malloc's memory, because the pool refused them. Raise capacity (now " +
         FormatBytes(pool_->Stats().capacity_bytes) + "), or reserve more huge pages where they are required.";
}

Status PoolAllocator::ConfigureOptions(const ConfigOptions& config,
                                       const std::unordered_map<std::string, std::string>& options,
                                       std::unordered_map<std::string, std::string>* unused) {
  const Status status = MemoryAllocator::ConfigureOptions(config, options, unused);
  if (!status.IsNotFound()) return status;
  return Status::NotFound(status.getState(), "Allowed: " + AllocatorOptionNames() + ".");
}

Status PoolAllocator::ParseStringOptions(const ConfigOptions&, const std::string& text) {
  return Status::InvalidArgument("'" + text + "' has no '='", "Write name=value, separated by ';'.");
}

Status PoolAllocator::ParseOption(const ConfigOptions& config, const ::rocksdb::OptionTypeInfo& type,
                                  const std::string& name, const std::string& value, void* address) {
  if (pool_ == nullptr) return MemoryAllocator::ParseOption(config, type, name, value, address);
  return Status::InvalidArgument(name + ": the options of a HugepoolAllocator are fixed once it is made",
                                 "Make another one; for the capacity, PoolOf(allocator)->SetCapacity.");
}

Status PoolAllocator::PrepareOptions(const ConfigOptions& config) {
  Error error;
  if (pool_ == nullptr && !MakePool(options_, &error)) return ToStatus(error);
  return MemoryAllocator::PrepareOptions(config);
}

void* PoolAllocator::Allocate(size_t bytes) {
  static std::atomic<size_t> thread_count{0};
  thread_local const size_t thread_number = thread_count.fetch_add(1, std::memory_order_relaxed);
  allocation_counts_[thread_number % allocation_counts_.size()].count.fetch_add(1, std::memory_order_relaxed);
  void* block = pool_ == nullptr ? nullptr : pool_->Allocate(bytes);
  if (block != nullptr && pool_->Owns(block)) [[likely]] {
    if (trace_ != nullptr) [[unlikely]]
      trace_->Allocated(block, bytes);
    return block;
  }
  // A pool inherited over fork hands out malloc's blocks: those are fall-back as well, and take the same way back.
  if (block == nullptr) block = std::malloc(std::max<size_t>(bytes, 1));
  if (block == nullptr) return nullptr;
  fallback_count_.fetch_add(1, std::memory_order_relaxed);
  fallback_bytes_.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
  if (trace_ != nullptr) trace_->Allocated(block, bytes);
  return block;
}

void PoolAllocator::Deallocate(void* block) {
  if (block == nullptr) return;
  if (trace_ != nullptr) [[unlikely]]
    trace_->Freed(block);
  if (Owns(block)) [[likely]] {
    pool_->Deallocate(block);
    return;
  }
  returned_count_.fetch_add(1, std::memory_order_relaxed);
  returned_bytes_.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

size_t PoolAllocator::UsableSize(void* block, size_t allocation_bytes) const {
  if (!Owns(block)) return malloc_usable_size(block);
  const size_t taken_bytes = pool_->UsableSize(block);
  return std::max(allocation_bytes, taken_bytes - taken_bytes / kUnchargedPart);
}

uint64_t PoolAllocator::AllocationCount() const {
  uint64_t count = 0;
  for (const Shard& shard : allocation_counts_) count += shard.count.load(std::memory_order_relaxed);
  return count;
}

FallbackStats PoolAllocator::Fallback() const {
  // Returned is read first: a block counted as returned was counted as served before.
  const uint64_t returned_count = returned_count_.load(std::memory_order_relaxed);
  const uint64_t returned_bytes = returned_bytes_.load(std::memory_order_relaxed);
  FallbackStats stats;
  stats.count = fallback_count_.load(std::memory_order_relaxed);
  stats.bytes = fallback_bytes_.load(std::memory_order_relaxed);
  stats.live_count = stats.count - std::min(stats.count, returned_count);
  stats.live_bytes = stats.bytes - std::min(stats.bytes, returned_bytes);
  return stats;
}

namespace {

std::shared_ptr<::rocksdb::MemoryAllocator> Register(std::shared_ptr<PoolAllocator> allocator) {
  // The registry keeps a weak reference. A refusal only means that ToString() does not lead back to the object.
  ::rocksdb::ObjectRegistry::Default()->SetManagedObject<::rocksdb::MemoryAllocator>(allocator).PermitUncheckedError();
  return allocator;
}

}  // namespace

std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(const AllocatorOptions& options, Error* error) {
  auto allocator = std::make_shared<PoolAllocator>();
  return allocator->MakePool(options, error) ? Register(std::move(allocator)) : nullptr;
}

std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(std::shared_ptr<Pool> pool) {
  return pool == nullptr ? nullptr : Register(std::make_shared<PoolAllocator>(std::move(pool)));
}

std::optional<uint64_t> AllocationCount(const ::rocksdb::MemoryAllocator& allocator) {
  const PoolAllocator* own = allocator.CheckedCast<PoolAllocator>();
  if (own == nullptr) return std::nullopt;
  return own->AllocationCount();
}

std::optional<FallbackStats> Fallback(const ::rocksdb::MemoryAllocator& allocator) {
  const PoolAllocator* own = allocator.CheckedCast<PoolAllocator>();
  if (own == nullptr) return std::nullopt;
  return own->Fallback();
}

std::shared_ptr<Pool> PoolOf(const ::rocksdb::MemoryAllocator& allocator) {
  const PoolAllocator* own = allocator.CheckedCast<PoolAllocator>();
  return own == nullptr ? nullptr : own->pool();
}

int RegisterHugepool(::rocksdb::ObjectLibrary& library, const std::string&) {
  library.AddFactory<::rocksdb::MemoryAllocator>(
      // "HugepoolAllocator@0x7f…#pid" as well, as ToString writes it.
      ::rocksdb::ObjectLibrary::PatternEntry::AsIndividualId(PoolAllocator::kClassName()),
      [](const std::string&, std::unique_ptr<::rocksdb::MemoryAllocator>* guard, std::string*) {
        guard->reset(new PoolAllocator());
        return guard->get();
      });
  return 1;
}

}  // namespace hugepool::rocksdb
