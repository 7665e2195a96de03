#include "cache/pile.h"

#include <algorithm>

namespace hugepool::internal {

bool Pile::IsStale() const {
  return decay_ns_ != 0 && !IsEmpty() && os_.NowNs() - used_ns_.load(std::memory_order_relaxed) >= decay_ns_;
}

size_t Pile::Put(SizeClass size_class, void* const* objects, size_t count) {
  Stack& stack = stacks_[ToSize(size_class)];
  if (IsEmpty()) used_ns_.store(os_.NowNs(), std::memory_order_relaxed);
  size_t put = 0;
  Chunk* fresh = nullptr;
  do {
    MutexLock lock(stack.mutex);
    if (fresh != nullptr) {
      fresh->below = stack.top;
      stack.top = fresh;
    }
    if (stack.top == nullptr) continue;
    Chunk& top = *stack.top;
    const size_t here = std::min(count - put, Chunk::kMaxCount - top.count);
    std::copy_n(objects + put, here, top.objects.data() + top.count);
    top.count += here;
    stack.count.store(stack.count.load(std::memory_order_relaxed) + here, std::memory_order_relaxed);
    put += here;
  } while (put < count && (fresh = TakeSpareChunk()) != nullptr);
  total_count_.fetch_add(put, std::memory_order_relaxed);
  return put;
}

size_t Pile::Take(SizeClass size_class, void** objects, size_t count) {
  Stack& stack = stacks_[ToSize(size_class)];
  if (stack.count.load(std::memory_order_relaxed) == 0) return 0;
  Chunk* emptied = nullptr;
  size_t taken = 0;
  {
    MutexLock lock(stack.mutex);
    while (taken < count && stack.top != nullptr) {
      Chunk& top = *stack.top;
      const size_t here = std::min(count - taken, top.count);
      std::copy_n(top.objects.data() + top.count - here, here, objects + taken);
      top.count -= here;
      taken += here;
      if (top.count != 0) continue;
      stack.top = top.below;
      top.below = emptied;
      emptied = &top;
    }
    stack.count.store(stack.count.load(std::memory_order_relaxed) - taken, std::memory_order_relaxed);
  }
  if (emptied != nullptr) PutSpareChunks(emptied);
  total_count_.fetch_sub(taken, std::memory_order_relaxed);
  used_ns_.store(os_.NowNs(), std::memory_order_relaxed);
  return taken;
}

Pile::Chunk* Pile::TakeSpareChunk() {
  {
    MutexLock lock(spare_mutex_);
    if (spare_ != nullptr) {
      Chunk* const chunk = spare_;
      spare_ = chunk->below;
      return chunk;
    }
  }
  Error ignored;
  Chunk* const chunks = metadata_.MapArray<Chunk>(kChunksPerMapping, node_id_, &ignored);
  if (chunks == nullptr) return nullptr;
  for (size_t i = 1; i + 1 < kChunksPerMapping; ++i) chunks[i].below = &chunks[i + 1];
  PutSpareChunks(&chunks[1]);
  return &chunks[0];
}

void Pile::PutSpareChunks(Chunk* first) {
  Chunk* last = first;
  while (last->below != nullptr) last = last->below;
  MutexLock lock(spare_mutex_);
  last->below = spare_;
  spare_ = first;
}

}  // namespace hugepool::internal
