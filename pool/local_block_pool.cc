#include "hugepool/local_block_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <vector>

#include "os/report.h"

namespace hugepool {
namespace {

constexpr size_t kMinChunkBytes = 4096;
constexpr size_t kMaxChunkBytes = size_t{1} << 30;

}  // namespace

std::optional<LocalBlockPool> LocalBlockPool::Create(std::shared_ptr<Pool> pool, size_t object_bytes, Error* error,
                                                     size_t alignment_bytes, const LocalPoolOptions& options) {
  const auto refuse = [error](std::string message, std::string mend) {
    if (error != nullptr) {
      *error = Error{.code = ErrorCode::kInvalidArgument,
                     .operation = "LocalBlockPool::Create",
                     .message = std::move(message),
                     .mend = std::move(mend)};
    }
    return std::nullopt;
  };
  if (pool == nullptr) return refuse("pool is null", "Create the Pool first.");
  if (options.max_chunk_bytes < kMinChunkBytes || options.max_chunk_bytes > kMaxChunkBytes) {
    return refuse("max_chunk_bytes = " + std::to_string(options.max_chunk_bytes) + " is out of range",
                  "Allowed: 4K to 1G.");
  }
  if (options.first_chunk_bytes < kMinChunkBytes || options.first_chunk_bytes > options.max_chunk_bytes) {
    return refuse("first_chunk_bytes = " + std::to_string(options.first_chunk_bytes) + " is out of range",
                  "Allowed: 4K to max_chunk_bytes, which is " + FormatBytes(options.max_chunk_bytes) + ".");
  }
  if (object_bytes == 0 || object_bytes > options.max_chunk_bytes) {
    return refuse("object_bytes = " + std::to_string(object_bytes) + " is out of range",
                  "Allowed: 1 to max_chunk_bytes, which is " + FormatBytes(options.max_chunk_bytes) + ".");
  }
  if (!std::has_single_bit(alignment_bytes) || alignment_bytes > kMaxAlignmentBytes) {
    return refuse("alignment_bytes = " + std::to_string(alignment_bytes) + " is out of range",
                  "Allowed: powers of two from 1 to 4096.");
  }
  LocalBlockPool local;
  local.object_bytes_ = object_bytes;
  local.alignment_bytes_ = std::max(alignment_bytes, IsBlock(object_bytes) ? kCacheLineBytes : alignof(Link));
  local.stride_bytes_ = (object_bytes + local.alignment_bytes_ - 1) & ~(local.alignment_bytes_ - 1);
  local.options_ = options;
  local.next_chunk_bytes_ = options.first_chunk_bytes;
  local.pool_ = std::move(pool);
  return local;
}

LocalBlockPool::LocalBlockPool(LocalBlockPool&& other) noexcept { TakeFrom(other); }

LocalBlockPool& LocalBlockPool::operator=(LocalBlockPool&& other) noexcept {
  if (this != &other) {
    Clear();
    TakeFrom(other);
  }
  return *this;
}

LocalBlockPool::~LocalBlockPool() { Clear(); }

// This pool holds nothing; `other` holds nothing afterwards, not even the Pool.
void LocalBlockPool::TakeFrom(LocalBlockPool& other) noexcept {
  free_list_ = std::exchange(other.free_list_, nullptr);
  live_record_count_ = std::exchange(other.live_record_count_, 0);
  free_blocks_ = std::exchange(other.free_blocks_, nullptr);
  free_top_ = std::exchange(other.free_top_, nullptr);
  fresh_ = std::exchange(other.fresh_, nullptr);
  fresh_end_ = std::exchange(other.fresh_end_, nullptr);
  stride_bytes_ = other.stride_bytes_;
  object_bytes_ = other.object_bytes_;
  free_capacity_ = std::exchange(other.free_capacity_, 0);
  chunks_ = std::exchange(other.chunks_, nullptr);
  chunk_count_ = std::exchange(other.chunk_count_, 0);
  chunk_capacity_ = std::exchange(other.chunk_capacity_, 0);
  object_count_ = std::exchange(other.object_count_, 0);
  held_bytes_ = std::exchange(other.held_bytes_, 0);
  next_chunk_bytes_ = other.next_chunk_bytes_;
  alignment_bytes_ = other.alignment_bytes_;
  options_ = other.options_;
  pool_ = std::move(other.pool_);
}

// Growing ------------------------------------------------------------------------------------------------------------

bool LocalBlockPool::Grow() noexcept {
  if (pool_ == nullptr) return false;
  for (;;) {
    const size_t wanted_count = std::max<size_t>(next_chunk_bytes_ / stride_bytes_, 1);
    if (AddChunk(wanted_count)) {
      next_chunk_bytes_ = std::min(2 * next_chunk_bytes_, options_.max_chunk_bytes);
      return true;
    }
    if (wanted_count == 1 || next_chunk_bytes_ <= kMinChunkBytes) return false;
    next_chunk_bytes_ = std::max(next_chunk_bytes_ / 2, kMinChunkBytes);
  }
}

// Either the chunk with its place in table and array is there, or nothing has changed.
bool LocalBlockPool::AddChunk(size_t wanted_count) noexcept {
  if (chunk_count_ == chunk_capacity_) {
    const size_t capacity = std::max<size_t>(2 * chunk_capacity_, 8);
    void* const table = std::realloc(chunks_, capacity * sizeof(Chunk));
    if (table == nullptr) return false;
    chunks_ = static_cast<Chunk*>(table);
    chunk_capacity_ = capacity;
  }
  void* const memory = pool_->Allocate(wanted_count * stride_bytes_, alignment_bytes_);
  if (memory == nullptr) return false;
  const size_t usable_bytes = pool_->UsableSize(memory);
  const size_t count = usable_bytes / stride_bytes_;
  if (IsBlock(object_bytes_) && free_capacity_ < object_count_ + count) {
    const size_t capacity = object_count_ + count;
    if (!ResizeFreeBlocks(capacity + capacity / 2) && !ResizeFreeBlocks(capacity)) {
      pool_->Deallocate(memory);
      return false;
    }
  }
  std::byte* const begin = static_cast<std::byte*>(memory);
  Chunk* const place = std::upper_bound(chunks_, chunks_ + chunk_count_, begin,
                                        [](const std::byte* a, const Chunk& b) { return a < b.begin; });
  std::move_backward(place, chunks_ + chunk_count_, chunks_ + chunk_count_ + 1);
  *place = Chunk{.begin = begin, .object_count = count, .idle_count = 0};
  ++chunk_count_;
  object_count_ += count;
  held_bytes_ += usable_bytes;
  fresh_ = begin;
  fresh_end_ = begin + count * stride_bytes_;
  return true;
}

bool LocalBlockPool::ResizeFreeBlocks(size_t capacity) noexcept {
  void* const memory = pool_->Allocate(capacity * sizeof(void*));
  if (memory == nullptr) return false;
  void** const resized = static_cast<void**>(memory);
  free_top_ = std::copy(free_blocks_, free_top_, resized);
  pool_->Deallocate(free_blocks_);
  free_blocks_ = resized;
  free_capacity_ = pool_->UsableSize(memory) / sizeof(void*);
  return true;
}

// Giving back --------------------------------------------------------------------------------------------------------

void LocalBlockPool::Clear() noexcept {
  const Visit visit(this);
  for (size_t i = 0; i < chunk_count_; ++i) pool_->Deallocate(chunks_[i].begin);
  ForgetAll();
}

// The chunks are given back: gives back the books of them too.
void LocalBlockPool::ForgetAll() noexcept {
  if (free_blocks_ != nullptr) pool_->Deallocate(free_blocks_);
  std::free(chunks_);
  free_list_ = nullptr;
  free_blocks_ = free_top_ = nullptr;
  fresh_ = fresh_end_ = nullptr;
  chunks_ = nullptr;
  live_record_count_ = free_capacity_ = chunk_count_ = chunk_capacity_ = object_count_ = held_bytes_ = 0;
  next_chunk_bytes_ = options_.first_chunk_bytes;
}

// Calls each(object) for the free objects, stops where it returns false.
template <typename Each>
void LocalBlockPool::ForFree(Each each) const {
  for (Link* link = free_list_; link != nullptr; link = link->next) {
    if (!each(link)) return;
  }
  for (void** block = free_blocks_; block != free_top_; ++block) {
    if (!each(*block)) return;
  }
}

// Forgets the free objects for which keep(object) is false; the others stay in their order.
template <typename Keep>
void LocalBlockPool::KeepFree(Keep keep) noexcept {
  Link** end = &free_list_;
  for (Link* link = free_list_; link != nullptr; link = link->next) {
    if (!keep(link)) continue;
    *end = link;
    end = &link->next;
  }
  *end = nullptr;
  void** kept_top = free_blocks_;
  for (void** block = free_blocks_; block != free_top_; ++block) {
    if (keep(*block)) *kept_top++ = *block;
  }
  free_top_ = kept_top;
}

size_t LocalBlockPool::Trim() noexcept {
  const Visit visit(this);
  for (size_t i = 0; i < chunk_count_; ++i) chunks_[i].idle_count = 0;
  ForFree([this](const void* object) {
    ++FindChunk(object)->idle_count;
    return true;
  });
  if (fresh_ != fresh_end_) FindChunk(fresh_)->idle_count += FreshCount();
  const auto is_idle = [](const Chunk& chunk) { return chunk.idle_count == chunk.object_count; };
  if (std::none_of(chunks_, chunks_ + chunk_count_, is_idle)) return footprint_bytes();
  KeepFree([this, is_idle](const void* object) { return !is_idle(*FindChunk(object)); });
  if (fresh_ != fresh_end_ && is_idle(*FindChunk(fresh_))) fresh_ = fresh_end_ = nullptr;
  size_t kept_count = 0;
  for (size_t i = 0; i < chunk_count_; ++i) {
    const Chunk chunk = chunks_[i];
    if (!is_idle(chunk)) {
      chunks_[kept_count++] = chunk;
      continue;
    }
    object_count_ -= chunk.object_count;
    held_bytes_ -= pool_->UsableSize(chunk.begin);
    pool_->Deallocate(chunk.begin);
  }
  chunk_count_ = kept_count;
  next_chunk_bytes_ = std::clamp(held_bytes_, options_.first_chunk_bytes, options_.max_chunk_bytes);
  if (chunk_count_ == 0) {
    ForgetAll();
  } else if (free_capacity_ > 2 * object_count_) {
    // Where a shorter array is refused the longer one stays.
    (void)ResizeFreeBlocks(object_count_);
  }
  return footprint_bytes();
}

size_t LocalBlockPool::live_count() const noexcept {
  if (!IsBlock(object_bytes_)) return live_record_count_;
  return object_count_ - FreshCount() - static_cast<size_t>(free_top_ - free_blocks_);
}

size_t LocalBlockPool::footprint_bytes() const noexcept {
  const size_t array_bytes = free_blocks_ == nullptr ? 0 : pool_->UsableSize(free_blocks_);
  return held_bytes_ + array_bytes + chunk_capacity_ * sizeof(Chunk);
}

// Checking -----------------------------------------------------------------------------------------------------------

// The chunk in which the address lies, or nullptr.
LocalBlockPool::Chunk* LocalBlockPool::FindChunk(const void* object) const noexcept {
  const std::byte* const address = static_cast<const std::byte*>(object);
  Chunk* const next = std::upper_bound(chunks_, chunks_ + chunk_count_, address,
                                       [](const std::byte* a, const Chunk& b) { return a < b.begin; });
  if (next == chunks_) return nullptr;
  Chunk* const chunk = next - 1;
  return address < chunk->begin + chunk->object_count * stride_bytes_ ? chunk : nullptr;
}

bool LocalBlockPool::CheckInvariants(std::string* why) const {
  size_t chunk_objects = 0;
  for (size_t i = 0; i < chunk_count_; ++i) {
    chunk_objects += chunks_[i].object_count;
    if (i != 0 && chunks_[i - 1].begin + chunks_[i - 1].object_count * stride_bytes_ > chunks_[i].begin) {
      *why = "chunks " + std::to_string(i - 1) + " and " + std::to_string(i) + " overlap";
      return false;
    }
  }
  if (chunk_objects != object_count_) {
    *why = "the chunks hold " + std::to_string(chunk_objects) + " objects, the count says " +
           std::to_string(object_count_);
    return false;
  }
  if (IsBlock(object_bytes_) && free_capacity_ < object_count_) {
    *why =
        "the array has room for " + std::to_string(free_capacity_) + " free blocks of " + std::to_string(object_count_);
    return false;
  }
  const auto is_object = [this](const void* object) {
    const Chunk* const chunk = FindChunk(object);
    return chunk != nullptr &&
           static_cast<size_t>(static_cast<const std::byte*>(object) - chunk->begin) % stride_bytes_ == 0;
  };
  std::vector<const void*> free_objects;
  bool is_inside = true;
  // A record that was freed twice closes the list into a ring: no more than all are looked at.
  ForFree([&](const void* object) {
    free_objects.push_back(object);
    is_inside = is_object(object);
    return is_inside && free_objects.size() <= object_count_;
  });
  if (!is_inside) {
    *why = "a free object lies in no chunk, or inside of another object";
    return false;
  }
  std::sort(free_objects.begin(), free_objects.end());
  if (std::adjacent_find(free_objects.begin(), free_objects.end()) != free_objects.end()) {
    *why = "an object was freed twice";
    return false;
  }
  if (live_count() + free_objects.size() + FreshCount() != object_count_) {
    *why = "live " + std::to_string(live_count()) + " + free " + std::to_string(free_objects.size()) + " + fresh " +
           std::to_string(FreshCount()) + " are not the objects, " + std::to_string(object_count_);
    return false;
  }
  return true;
}

void LocalBlockPool::DieUnlessLive(const void* object) const {
  const Chunk* const chunk = FindChunk(object);
  if (chunk == nullptr) {
    internal::Die("foreign pointer freed", "%p is not in this LocalBlockPool (%zu objects of %zu bytes in pool '%s')",
                  object, object_count_, object_bytes_, pool_ == nullptr ? "none" : pool_->options().name.c_str());
  }
  const std::byte* const address = static_cast<const std::byte*>(object);
  if (static_cast<size_t>(address - chunk->begin) % stride_bytes_ != 0) {
    internal::Die("interior pointer freed", "%p lies inside of an object of %zu bytes of a LocalBlockPool", object,
                  object_bytes_);
  }
  const bool is_fresh = address >= fresh_ && address < fresh_end_;
  const bool is_last_freed = object == free_list_ || (free_top_ != free_blocks_ && object == free_top_[-1]);
  if (is_fresh || is_last_freed || live_count() == 0) {
    internal::Die("double free", "%p, an object of %zu bytes of a LocalBlockPool, is free already", object,
                  object_bytes_);
  }
}

void LocalBlockPool::DieOfTwoThreads() const {
  internal::Die("two threads at once",
                "a LocalBlockPool of %zu-byte objects has one owner; put a lock around it, or use "
                "ObjectCache or SlabCache",
                object_bytes_);
}

}  // namespace hugepool
