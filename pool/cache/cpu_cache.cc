#include "cache/cpu_cache.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

// No class may fill more than this part of a CPU's budget.
constexpr size_t kClassShare = 8;

size_t MagazineCapacity(size_t object_bytes, size_t budget_bytes) {
  return std::min(kMagazineMaxCount, budget_bytes / kClassShare / object_bytes);
}

}  // namespace

std::unique_ptr<CpuCache> CpuCache::Create(SlabSet& slabs, PlacementPolicy& placement, size_t budget_bytes,
                                           MetadataMemory& metadata, Error* error) {
  std::unique_ptr<CpuCache> cache(new CpuCache(slabs, placement, budget_bytes));
  if (budget_bytes == 0) return cache;
  size_t slot_count = 0;
  for (const SizeClassInfo& info : kSizeClasses) slot_count += MagazineCapacity(info.object_bytes, budget_bytes);
  ArenaSet& arenas = slabs.arenas();
  for (size_t cpu = 0; cpu < std::max<size_t>(arenas.cpu_limit(), 1); ++cpu) {
    const int node_id = arenas.NodeIdOf(arenas.HomeOfCpu(static_cast<int>(cpu)));
    void** slots = slot_count == 0 ? nullptr : metadata.MapArray<void*>(slot_count, node_id, error);
    if (slot_count != 0 && slots == nullptr) return nullptr;
    auto shard = std::make_unique<Shard>();
    MutexLock lock(shard->mutex);
    shard->outboxes.resize(arenas.window_count());
    for (size_t i = 0; i < kClassCount; ++i) {
      Magazine& magazine = shard->magazines[i];
      magazine.objects = slots;
      magazine.capacity = static_cast<uint16_t>(MagazineCapacity(kSizeClasses[i].object_bytes, budget_bytes));
      slots += magazine.capacity;
    }
    cache->shards_.push_back(std::move(shard));
  }
  return cache;
}

void* CpuCache::Allocate(SizeClass size_class) {
  const int cpu = slabs_.arenas().os().CurrentCpu();
  Shard* const shard = ShardOf(cpu);
  if (shard != nullptr && shard->mutex.TryLock()) {
    Magazine& magazine = shard->magazines[ToSize(size_class)];
    if (magazine.count != 0) {
      void* const object = magazine.Pop();
      shard->cached_bytes -= InfoOf(size_class).object_bytes;
      --shard->cached_count;
      shard->mutex.Unlock();
      return object;
    }
    shard->mutex.Unlock();
  }
  return Refill(cpu, size_class);
}

// Objects of the target window, or one of a neighbour, which is counted; 0 when nothing is left anywhere allowed.
size_t CpuCache::AllocateFromSlabs(size_t target, SizeClass size_class, void** objects, size_t count) {
  size_t taken = slabs_.bin(target, size_class).Allocate(objects, count);
  if (taken != 0) return taken;
  placement_.Depart(target, InfoOf(size_class).object_bytes, [&](size_t window) {
    taken = slabs_.bin(window, size_class).Allocate(objects, 1);
    return taken != 0;
  });
  return taken;
}

void* CpuCache::Refill(int cpu, SizeClass size_class) {
  Shard* const shard = ShardOf(cpu);
  const size_t capacity = MagazineCapacity(InfoOf(size_class).object_bytes, budget_bytes_);
  const size_t wanted = shard == nullptr ? 1 : std::clamp<size_t>(capacity / 2, 1, kBatchMaxCount);
  const size_t target = placement_.Target(cpu);
  std::array<void*, kBatchMaxCount> objects;
  size_t taken = AllocateFromSlabs(target, size_class, objects.data(), wanted);
  // Starved: what the caches of all CPUs hold back, and slabs without a used object, may be all that is left.
  if (taken == 0) {
    const bool drained = Drain();
    const bool released = slabs_.ReleaseEmpty();
    if (drained || released) taken = AllocateFromSlabs(target, size_class, objects.data(), 1);
  }
  if (taken == 0) return nullptr;
  if (taken > 1) {
    Batch overflow;
    if (shard->mutex.TryLock()) {
      Keep(*shard, size_class, objects.data() + 1, taken - 1, &overflow);
      shard->mutex.Unlock();
    } else {
      overflow.count = taken - 1;
      std::copy_n(objects.data() + 1, overflow.count, overflow.objects.data());
    }
    Return(overflow);
  }
  return objects[0];
}

// Into the magazine as far as it and the budget allow; the rest into *overflow.
void CpuCache::Keep(Shard& shard, SizeClass size_class, void** objects, size_t count, Batch* overflow) {
  Magazine& magazine = shard.magazines[ToSize(size_class)];
  const size_t object_bytes = InfoOf(size_class).object_bytes;
  for (size_t i = 0; i < count; ++i) {
    if (magazine.Full() || shard.cached_bytes + object_bytes > budget_bytes_) {
      overflow->objects[overflow->count++] = objects[i];
      continue;
    }
    magazine.Push(objects[i]);
    shard.cached_bytes += object_bytes;
    ++shard.cached_count;
  }
}

void CpuCache::TakeOutbox(Shard& shard, size_t window, Batch* batch) {
  Outbox& outbox = shard.outboxes[window];
  const AddressMap& map = slabs_.arenas().map();
  for (size_t i = 0; i < outbox.count; ++i) {
    shard.cached_bytes -= InfoOf(ClassOfTag(map.Tag(map.SlotOf(outbox.objects[i])))).object_bytes;
  }
  shard.cached_count -= outbox.count;
  std::copy_n(outbox.objects.data(), outbox.count, batch->objects.data() + batch->count);
  batch->count += outbox.count;
  outbox.count = 0;
}

// Makes room in the budget: whole magazines of other classes in turn, then outboxes, as far as one batch reaches.
void CpuCache::TakeVictims(Shard& shard, size_t needed_bytes, Batch* batch) {
  const auto room = [batch] { return kVictimMaxCount - batch->count; };
  for (size_t i = 0; i < kClassCount && shard.cached_bytes + needed_bytes > budget_bytes_ && room() != 0; ++i) {
    Magazine& magazine = shard.magazines[shard.victim];
    const size_t taken = magazine.TakeOldest(batch->objects.data() + batch->count, room());
    batch->count += taken;
    shard.cached_count -= taken;
    shard.cached_bytes -= taken * kSizeClasses[shard.victim].object_bytes;
    if (magazine.count == 0) shard.victim = (shard.victim + 1) % kClassCount;
  }
  for (size_t window = 0; window < shard.outboxes.size(); ++window) {
    if (shard.cached_bytes + needed_bytes <= budget_bytes_ || room() < kBatchMaxCount) break;
    TakeOutbox(shard, window, batch);
  }
}

void CpuCache::Deallocate(void* object, SizeClass size_class) {
  ArenaSet& arenas = slabs_.arenas();
  const size_t window = arenas.map().WindowOf(object);
  const int cpu = arenas.os().CurrentCpu();
  Shard* const shard = ShardOf(cpu);
  Batch batch;
  if (shard == nullptr || !shard->mutex.TryLock()) {
    slabs_.bin(window, size_class).Free(&object, 1);
    return;
  }
  const size_t object_bytes = InfoOf(size_class).object_bytes;
  Magazine& magazine = shard->magazines[ToSize(size_class)];
  if (shard->cached_bytes + object_bytes > budget_bytes_) TakeVictims(*shard, object_bytes, &batch);
  if (magazine.capacity == 0 || shard->cached_bytes + object_bytes > budget_bytes_) {
    batch.objects[batch.count++] = object;
  } else {
    if (placement_.CachesAnyWindow() || window == arenas.HomeOfCpu(cpu)) {
      if (magazine.Full()) {
        const size_t taken =
            magazine.TakeOldest(batch.objects.data() + batch.count, (magazine.capacity + size_t{1}) / 2);
        batch.count += taken;
        shard->cached_count -= taken;
        shard->cached_bytes -= taken * object_bytes;
      }
      magazine.Push(object);
    } else {
      Outbox& outbox = shard->outboxes[window];
      if (outbox.count == outbox.objects.size()) TakeOutbox(*shard, window, &batch);
      outbox.objects[outbox.count++] = object;
    }
    shard->cached_bytes += object_bytes;
    ++shard->cached_count;
  }
  shard->mutex.Unlock();
  Return(batch);
}

// Back to the slabs: neighbours in the batch that share node and class go under one lock.
void CpuCache::Return(const Batch& batch) {
  const AddressMap& map = slabs_.arenas().map();
  size_t first = 0;
  while (first < batch.count) {
    const size_t window = map.WindowOf(batch.objects[first]);
    const SlotTag tag = map.Tag(map.SlotOf(batch.objects[first]));
    size_t last = first + 1;
    while (last < batch.count && map.WindowOf(batch.objects[last]) == window &&
           map.Tag(map.SlotOf(batch.objects[last])) == tag) {
      ++last;
    }
    slabs_.bin(window, ClassOfTag(tag)).Free(batch.objects.data() + first, last - first);
    first = last;
  }
}

bool CpuCache::Drain() {
  bool drained = false;
  for (const auto& shard : shards_) {
    // As many as are there now: what other threads free meanwhile is theirs.
    size_t left = SIZE_MAX;
    while (left != 0) {
      Batch batch;
      {
        MutexLock lock(shard->mutex);
        left = std::min(left, shard->cached_count);
        // A budget of nothing: everything is a victim.
        TakeVictims(*shard, budget_bytes_ + 1, &batch);
      }
      if (batch.count == 0) break;
      left -= std::min(left, batch.count);
      drained = true;
      Return(batch);
    }
  }
  return drained;
}

uint64_t CpuCache::cached_bytes() {
  uint64_t sum = 0;
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    sum += shard->cached_bytes;
  }
  return sum;
}

uint64_t CpuCache::cached_count() {
  uint64_t sum = 0;
  for (const auto& shard : shards_) {
    MutexLock lock(shard->mutex);
    sum += shard->cached_count;
  }
  return sum;
}

}  // namespace hugepool::internal
