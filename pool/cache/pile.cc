#include "cache/pile.h"

#include <algorithm>
#include <new>

namespace hugepool::internal {

size_t Pile::Put(SizeClass size_class, void* const* objects, size_t count) {
  Stack& stack = stacks_[ToSize(size_class)];
  total_count_.fetch_add(count, std::memory_order_relaxed);
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
  if (put < count) total_count_.fetch_sub(count - put, std::memory_order_relaxed);
  return put;
}

size_t Pile::TakeLocked(Stack& stack, void** objects, size_t count, Chunk** emptied) {
  size_t taken = 0;
  while (taken < count && stack.top != nullptr) {
    Chunk& top = *stack.top;
    const size_t here = std::min(count - taken, top.count);
    std::copy_n(top.objects.data() + top.count - here, here, objects + taken);
    top.count -= here;
    taken += here;
    if (top.count != 0) continue;
    stack.top = top.below;
    top.below = *emptied;
    *emptied = &top;
  }
  stack.count.store(stack.count.load(std::memory_order_relaxed) - taken, std::memory_order_relaxed);
  return taken;
}

size_t Pile::Take(SizeClass size_class, void** objects, size_t count) {
  Stack& stack = stacks_[ToSize(size_class)];
  if (stack.count.load(std::memory_order_relaxed) == 0) return 0;
  Chunk* emptied = nullptr;
  size_t taken = 0;
  {
    MutexLock lock(stack.mutex);
    taken = TakeLocked(stack, objects, count, &emptied);
    const uint64_t left = stack.count.load(std::memory_order_relaxed);
    stack.least_count = std::min(stack.least_count, left);
    if (stack.idle_count.load(std::memory_order_relaxed) > left) {
      stack.idle_count.store(left, std::memory_order_relaxed);
    }
  }
  if (emptied != nullptr) PutSpareChunks(emptied);
  total_count_.fetch_sub(taken, std::memory_order_relaxed);
  return taken;
}

bool Pile::HasIdle() {
  if (decay_ns_ == 0 || IsEmpty()) return false;
  uint64_t start_ns = period_start_ns_.load(std::memory_order_relaxed);
  const uint64_t now_ns = os_.NowNs();
  if (now_ns < start_ns || now_ns - start_ns < decay_ns_) return has_idle_.load(std::memory_order_relaxed);
  if (period_start_ns_.compare_exchange_strong(start_ns, now_ns, std::memory_order_relaxed)) {
    for (Stack& stack : stacks_) {
      if (stack.count.load(std::memory_order_relaxed) == 0) continue;
      MutexLock lock(stack.mutex);
      stack.idle_count.store(stack.least_count, std::memory_order_relaxed);
      stack.least_count = stack.count.load(std::memory_order_relaxed);
      if (stack.idle_count.load(std::memory_order_relaxed) != 0) has_idle_.store(true, std::memory_order_relaxed);
    }
  }
  return has_idle_.load(std::memory_order_relaxed);
}

size_t Pile::TakeIdle(SizeClass* size_class, void** objects, size_t count) {
  // Before the look: a period that begins meanwhile sets it again.
  has_idle_.store(false, std::memory_order_relaxed);
  for (size_t i = 0; i < kMaxClassCount; ++i) {
    Stack& stack = stacks_[i];
    if (stack.idle_count.load(std::memory_order_relaxed) == 0) continue;
    Chunk* emptied = nullptr;
    size_t taken = 0;
    {
      MutexLock lock(stack.mutex);
      const uint64_t idle_count = stack.idle_count.load(std::memory_order_relaxed);
      taken = TakeLocked(stack, objects, std::min<uint64_t>(count, idle_count), &emptied);
      stack.idle_count.store(idle_count - taken, std::memory_order_relaxed);
      stack.least_count -= std::min<uint64_t>(stack.least_count, taken);
    }
    if (emptied != nullptr) PutSpareChunks(emptied);
    total_count_.fetch_sub(taken, std::memory_order_relaxed);
    *size_class = ToSizeClass(i);
    if (taken == 0) continue;
    has_idle_.store(true, std::memory_order_relaxed);  // there may be more
    return taken;
  }
  return 0;
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
  Chunk* chunks = nullptr;
  try {
    Error ignored;
    chunks = metadata_.MapArray<Chunk>(kChunksPerMapping, node_id_, &ignored);
  } catch (const std::bad_alloc&) {
    // Not even for the words of the refusal.
  }
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
