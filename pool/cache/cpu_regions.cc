#include "cache/cpu_regions.h"

#include <sys/mman.h>

#include <new>

#include "cache/magazine_batch.h"
#include "os/report.h"

namespace hugepool::internal {

// Zeros that nobody writes, mapped once for all pools of the process.
Magazine* CpuRegions::ClosedMagazines(Error* error) {
  static std::atomic<char*> shared{nullptr};  // release by who mapped it, acquire by readers
  char* zeros = shared.load(std::memory_order_acquire);
  if (zeros == nullptr) {
    OsMemory& os = SystemMemory();
    const size_t bytes = RowBytes(os.CpuIdLimit());
    void* address = nullptr;
    int refused = os.Reserve(bytes, &address);
    if (refused == 0) refused = os.AllowReading(address, bytes);
    if (refused != 0) {
      *error = Error{.code = ErrorCode::kNoAddressSpace,
                     .operation = "mmap",
                     .errno_value = refused,
                     .bytes = bytes,
                     .message = "address space for the caches of the CPUs was refused",
                     .mend = "Raise RLIMIT_AS (ulimit -v unlimited)."};
      if (address != nullptr) (void)os.Unmap(address, bytes);
      return nullptr;
    }
    if (shared.compare_exchange_strong(zeros, static_cast<char*>(address), std::memory_order_acq_rel)) {
      zeros = static_cast<char*>(address);
    } else {
      (void)os.Unmap(address, bytes);
    }
  }
  return reinterpret_cast<Magazine*>(zeros + (kGuardCount << kRegionShift));
}

std::unique_ptr<CpuRegions> CpuRegions::Create(CpuCacheMode mode, size_t row_count, size_t budget_bytes, OsMemory& os,
                                               MetadataMemory& metadata, Error* error) {
  std::unique_ptr<CpuRegions> regions(new CpuRegions(row_count, budget_bytes, os, metadata));
  if (!regions->Start(mode, error)) return nullptr;
  return regions;
}

bool CpuRegions::Start(CpuCacheMode mode, Error* error) {
  cpus_ = std::vector<std::atomic<Cpu*>>(cpu_limit_);
  if (mode == CpuCacheMode::kLocked) return true;
  const char* operation = "rseq";
  int refused = os_.HasRseq();
  if (refused == 0) {
    operation = "membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)";
    refused = os_.RegisterRseqFence();
  }
  if (refused == 0) {
    const size_t bytes = row_count_ * RowBytes(cpu_limit_);
    Error inner;
    rows_ = static_cast<char*>(metadata_.Reserve(bytes, &inner));
    operation = "mmap";
    refused = inner.errno_value;
    if (rows_ != nullptr) {
      // A forked child has none of its parent's blocks: its magazines are empty, and every call takes the slow path.
      operation = "madvise(MADV_WIPEONFORK)";
      refused = os_.Advise(rows_, bytes, MADV_WIPEONFORK);
    }
  }
  if (refused == 0) {
    mode_ = CpuCacheMode::kRseq;
    return true;
  }
  if (mode == CpuCacheMode::kAuto) return true;
  *error = Error{.code = ErrorCode::kSystem,
                 .operation = operation,
                 .errno_value = refused,
                 .message = "cpu_cache = rseq: restartable sequences are not to be had here",
                 .mend =
                     "Choose cpu_cache = auto; or run on Linux 5.10 with glibc 2.35 or newer, without "
                     "glibc.pthread.rseq=0, valgrind or ThreadSanitizer, and allow rseq and membarrier in the seccomp "
                     "profile."};
  return false;
}

CpuRegions::~CpuRegions() {
  for (const auto& cpu : cpus_) {
    const std::unique_ptr<Cpu> state(cpu.load(std::memory_order_acquire));
    if (state == nullptr) continue;
    for (const auto& row : state->rows) delete row.load(std::memory_order_acquire);
  }
}

CpuRegions::Cpu* CpuRegions::Find(int cpu) {
  const size_t index = static_cast<size_t>(cpu);
  if (index >= cpus_.size()) return nullptr;
  Cpu* state = cpus_[index].load(std::memory_order_acquire);
  if (state != nullptr) return state;
  std::unique_ptr<Cpu> fresh(new (std::nothrow) Cpu(row_count_));
  if (fresh == nullptr) return nullptr;
  fresh->spare_bytes.store(static_cast<int64_t>(budget_bytes_), std::memory_order_relaxed);
  if (!cpus_[index].compare_exchange_strong(state, fresh.get(), std::memory_order_acq_rel)) return state;
  return fresh.release();
}

Magazine* CpuRegions::MapRegion(size_t row, size_t cpu, int node_id) {
  if (mode_ == CpuCacheMode::kLocked) {
    Error ignored;
    return metadata_.MapArray<Magazine>(kTagCount, node_id, &ignored);
  }
  char* const region = reinterpret_cast<char*>(FirstOf(row)) + (cpu << kRegionShift);
  return metadata_.Open(region, kRegionBytes, node_id) == 0 ? reinterpret_cast<Magazine*>(region) : nullptr;
}

CpuRegions::Region* CpuRegions::FindOrMap(int cpu, size_t row, int node_id) {
  Cpu* const state = Find(cpu);
  if (state == nullptr) return nullptr;
  Region* const known = state->rows[row].load(std::memory_order_acquire);
  if (known != nullptr || state->made[row].exchange(true, std::memory_order_relaxed)) return known;
  std::unique_ptr<Region> region(new (std::nothrow) Region);
  if (region != nullptr) region->magazines = MapRegion(row, static_cast<size_t>(cpu), node_id);
  if (region == nullptr || region->magazines == nullptr) {
    state->made[row].store(false, std::memory_order_relaxed);  // the next miss tries again
    return nullptr;
  }
  state->rows[row].store(region.get(), std::memory_order_release);
  return region.release();
}

size_t CpuRegions::Capacity(const Magazine& magazine) {
  const int32_t capacity =
      std::atomic_ref(const_cast<int32_t&>(magazine.header.capacity)).load(std::memory_order_relaxed);
  return static_cast<size_t>(capacity & ~kStoppedBit);
}

size_t CpuRegions::Count(const Magazine& magazine) {
  const int32_t count = std::atomic_ref(const_cast<int32_t&>(magazine.header.count)).load(std::memory_order_relaxed);
  return static_cast<size_t>(std::max(count, 0));
}

size_t CpuRegions::Peek(size_t cpu, const Region& region, size_t tag, void** objects) const {
  Magazine& magazine = region.magazines[tag];
  if (mode_ == CpuCacheMode::kLocked) {
    MutexLock lock(cpus_[cpu].load(std::memory_order_acquire)->mutex);
    std::copy_n(magazine.objects, Count(magazine), objects);
    return Count(magazine);
  }
  const size_t count = Count(magazine);
  for (size_t i = 0; i < count; ++i) {
    objects[i] = std::atomic_ref(magazine.objects[i]).load(std::memory_order_relaxed);
  }
  return count;
}

size_t CpuRegions::Grow(Magazine& magazine, size_t count, size_t limit) {
  std::atomic_ref capacity(magazine.header.capacity);
  int32_t before = capacity.load(std::memory_order_relaxed);
  while (before >= 0 && static_cast<size_t>(before) < limit) {
    const size_t after = std::min(limit, static_cast<size_t>(before) + count);
    // Release: the magazine's window before its first room, for pushes that look at the room first.
    if (capacity.compare_exchange_weak(before, static_cast<int32_t>(after), std::memory_order_release)) {
      return after - static_cast<size_t>(before);
    }
  }
  return 0;
}

size_t CpuRegions::Shrink(Magazine& magazine, size_t count) {
  std::atomic_ref capacity(magazine.header.capacity);
  int32_t before = capacity.load(std::memory_order_relaxed);
  while (before > 0) {
    const size_t less = std::min(count, static_cast<size_t>(before));
    const int32_t after = before - static_cast<int32_t>(less);
    if (capacity.compare_exchange_weak(before, after, std::memory_order_relaxed)) return less;
  }
  return 0;
}

// No sequence moves anything any more: pushes first, then pops. False: the system refused the fence or the list's memory, nothing is changed.
bool CpuRegions::StopAll(std::vector<Stopped>* stopped) {
  try {
    ForEachRegion([&](size_t, size_t row, Region& region) {
      region.tags.ForEach([&](size_t tag) { stopped->push_back({row, tag, &region.magazines[tag], 0}); });
    });
  } catch (const std::bad_alloc&) {
    return false;
  }
  for (const Stopped& one : *stopped) {
    std::atomic_ref(one.magazine->header.capacity).fetch_or(kStoppedBit, std::memory_order_relaxed);
  }
  // After this fence no sequence is under way that saw the old capacity.
  if (os_.FenceRseq() != 0) {
    for (const Stopped& one : *stopped) {
      std::atomic_ref(one.magazine->header.capacity).fetch_and(~kStoppedBit, std::memory_order_relaxed);
    }
    return false;
  }
  for (Stopped& one : *stopped) {
    one.count = std::atomic_ref(one.magazine->header.count).exchange(-1, std::memory_order_relaxed);
  }
  // A pop that had read the count before may have stored its own over the -1, which then is what is left; such a one
  // leaves the door open again, so until none does.
  bool open = true;
  while (open) {
    Fence();
    open = false;
    for (Stopped& one : *stopped) {
      std::atomic_ref count(one.magazine->header.count);
      if (count.load(std::memory_order_relaxed) == -1) continue;
      one.count = count.exchange(-1, std::memory_order_relaxed);
      open = true;
    }
  }
  return true;
}

void CpuRegions::StartAgain(const std::vector<Stopped>& stopped) {
  for (const Stopped& one : stopped) std::atomic_ref(one.magazine->header.count).store(0, std::memory_order_relaxed);
  // A push reads the count, then the capacity: none may have seen a -1 and go on to see room.
  Fence();
  for (const Stopped& one : stopped) {
    std::atomic_ref(one.magazine->header.capacity).fetch_and(~kStoppedBit, std::memory_order_relaxed);
  }
}

// A fence that the system has granted once: it has no reason to refuse it, and what follows must not go on without.
void CpuRegions::Fence() {
  const int refused = os_.FenceRseq();
  if (refused != 0) Die("membarrier refused", "errno %d in the middle of a drain", refused);
}

size_t CpuRegions::Pop(int cpu, size_t row, size_t tag, void** objects, size_t count) {
  if (mode_ == CpuCacheMode::kRseq) return PercpuPopBatch(FirstOf(row) + tag, objects, count);
  Cpu* const state = Find(cpu);
  Region* const region = state == nullptr ? nullptr : state->rows[row].load(std::memory_order_acquire);
  if (region == nullptr || !state->mutex.TryLock()) return 0;
  Magazine& magazine = region->magazines[tag];
  const size_t held = Count(magazine);
  const size_t taken = std::min(count, held);
  std::copy_n(magazine.objects + held - taken, taken, objects);
  std::atomic_ref(magazine.header.count).store(static_cast<int32_t>(held - taken), std::memory_order_relaxed);
  state->mutex.Unlock();
  return taken;
}

size_t CpuRegions::Push(int cpu, size_t row, size_t tag, void* const* objects, size_t count) {
  if (mode_ == CpuCacheMode::kRseq) return PercpuPushBatch(FirstOf(row) + tag, cpu, objects, count);
  Cpu* const state = Find(cpu);
  Region* const region = state == nullptr ? nullptr : state->rows[row].load(std::memory_order_acquire);
  if (region == nullptr || !state->mutex.TryLock()) return 0;
  Magazine& magazine = region->magazines[tag];
  const size_t held = Count(magazine);
  const size_t capacity = Capacity(magazine);
  const size_t moved = std::min(count, capacity > held ? capacity - held : 0);
  std::copy_n(objects, moved, magazine.objects + held);
  std::atomic_ref(magazine.header.count).store(static_cast<int32_t>(held + moved), std::memory_order_relaxed);
  state->mutex.Unlock();
  return moved;
}

}  // namespace hugepool::internal
