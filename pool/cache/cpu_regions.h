// CpuRegions: the magazines of every CPU, and the moves that may be made on them.
//
// Shape      rows: row 0 holds a CPU's magazines, row 1 + w its outboxes for window w. In rseq mode a row is one stretch of
//            address space, 1 MiB per CPU (hugepool/internal/percpu.h), of which a CPU's part is opened for writing when
//            it first needs it; in locked mode each part is a mapping of its own, and each CPU has a lock that is only
//            tried.
// Units      pointers
// Owner      the CpuCache
// Threads    any
// Invariant  while a magazine is being drained its capacity has kStoppedBit and its count is -1: nothing enters or leaves
//            it but by the drainer's hand
// Errors     Create fills an Error; Pop and Push answer 0 for a CPU without a region, a magazine that is being drained,
//            and a CPU whose lock somebody holds
// Cost       Pop and Push: a restartable sequence, or an uncontended lock. Drain: three membarriers for all CPUs.
#ifndef HUGEPOOL_CACHE_CPU_REGIONS_H_
#define HUGEPOOL_CACHE_CPU_REGIONS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/metadata_memory.h"
#include "hugepool/error.h"
#include "hugepool/internal/percpu.h"
#include "hugepool/types.h"
#include "os/mutex.h"
#include "os/os_memory.h"

namespace hugepool::internal {

inline constexpr size_t kTagCount = 256;

// A set of slot tags that grows.
class TagSet {
 public:
  // Relaxed: a tag stands here before its magazine has room, which its own release publishes.
  bool Has(size_t tag) const { return (words_[tag / 64].load(std::memory_order_relaxed) >> tag % 64 & 1) != 0; }
  // The smallest from this tag on; kTagCount: none.
  size_t NextFrom(size_t tag) const {
    for (size_t word = tag / 64; word < words_.size(); ++word) {
      const uint64_t above = word == tag / 64 ? ~uint64_t{0} << tag % 64 : ~uint64_t{0};
      const uint64_t left = words_[word].load(std::memory_order_relaxed) & above;
      if (left != 0) return word * 64 + static_cast<size_t>(std::countr_zero(left));
    }
    return kTagCount;
  }
  // Mostly it stands there already, and a read is cheaper.
  void Add(size_t tag) {
    if (!Has(tag)) words_[tag / 64].fetch_or(uint64_t{1} << tag % 64, std::memory_order_relaxed);
  }
  bool Remove(size_t tag) {
    const uint64_t bit = uint64_t{1} << tag % 64;
    return Has(tag) && (words_[tag / 64].fetch_and(~bit, std::memory_order_relaxed) & bit) != 0;
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t tag = NextFrom(0); tag != kTagCount; tag = NextFrom(tag + 1)) visit(tag);
  }

 private:
  std::array<std::atomic<uint64_t>, kTagCount / 64> words_{};
};

class CpuRegions {
 public:
  // The magazines of one CPU in one row.
  struct Region {
    Magazine* magazines = nullptr;  // by tag
    TagSet tags;                    // those that ever had room
    TagSet missed;                  // those that were empty or full since the budget's hand last passed
  };
  struct alignas(64) Cpu {
    Mutex mutex{LockRank::kCpuCache};        // locked mode: guards count and objects of every magazine of this CPU
    std::atomic<int64_t> spare_bytes{0};     // of the CPU's budget, not given to any capacity. Relaxed: a count
    std::atomic<uint32_t> miss_count{0};     // of misses that found nothing spare, or might have. Relaxed: a hint
    std::atomic<uint32_t> hand{0};           // row × 256 + tag at which the next steal begins. Relaxed: a hint
    std::vector<std::atomic<Region*>> rows;  // nullptr: not mapped yet. Release by FindOrMap, acquire by readers
    std::vector<std::atomic<bool>> made;     // somebody maps it, or has. Relaxed: only the first to set it goes on
    explicit Cpu(size_t row_count) : rows(row_count), made(row_count) {}
  };

  // mode: kRseq or kLocked; kAuto takes what there is. kRseq is refused where sequences are not to be had.
  static std::unique_ptr<CpuRegions> Create(CpuCacheMode mode, size_t row_count, size_t budget_bytes, OsMemory& os,
                                            MetadataMemory& metadata, Error* error);
  ~CpuRegions();

  CpuCacheMode mode() const { return mode_; }

  // cpu: the one that runs the caller, as far as it knows. Locked mode goes by it; in rseq mode Pop takes from where the
  // caller runs now, and Push moves nothing where that is another CPU, whose home may be another node. Pop takes the
  // newest; both move as many as there are, or as there is room for.
  size_t Pop(int cpu, size_t row, size_t tag, void** objects, size_t count);
  size_t Push(int cpu, size_t row, size_t tag, void* const* objects, size_t count);

  // The state of a CPU, made when it is first asked for; nullptr: a CPU id beyond the table, or no memory.
  Cpu* Find(int cpu);
  // Its region of a row, mapped on node_id when it is first asked for; nullptr: not yet, or no memory.
  Region* FindOrMap(int cpu, size_t row, int node_id);

  // Room for `count` more objects, up to a capacity of `limit`; returns how many more it became. Shrink: less room for
  // `count`, down to 0. Neither touches a magazine that is being drained. Any CPU.
  static size_t Grow(Magazine& magazine, size_t count, size_t limit);
  static size_t Shrink(Magazine& magazine, size_t count);
  // Copies what a magazine of that CPU holds, kMagazineMaxCount at most, into objects, and leaves it there; returns how
  // many. In rseq mode its CPU goes on meanwhile: a pointer that has just left stands as well as one that has just come.
  size_t Peek(size_t cpu, const Region& region, size_t tag, void** objects) const;
  static size_t Capacity(const Magazine& magazine);
  static size_t Count(const Magazine& magazine);

  // Empties every magazine: visit(row, tag, objects, count), with no lock held, for some of them at a time. What other
  // threads free meanwhile may stay. One drain at a time. True: there were some.
  template <typename Visit>
  bool Drain(Visit visit);

  // visit(cpu, row, region): every region there is.
  template <typename Visit>
  void ForEachRegion(Visit visit) const;

  // For the fast path, in rseq mode: a row's magazines of CPU 0, and how far it is to the next row's. Without sequences,
  // as many zeros as there may be CPUs, mapped once for all pools of the process.
  Magazine* magazines_of_cpu_0(size_t row) const { return FirstOf(row); }
  size_t row_bytes() const { return RowBytes(cpu_limit_); }
  static Magazine* ClosedMagazines(Error* error);

 private:
  static constexpr size_t kGuardCount = 2;  // CPU ids -1 and -2
  static constexpr size_t kRegionBytes = kTagCount * sizeof(Magazine);
  static constexpr int32_t kStoppedBit = INT32_MIN;
  static constexpr size_t kDrainBatch = 64;

  struct Stopped {
    size_t row;
    size_t tag;
    Magazine* magazine;
    int32_t count;
  };

  CpuRegions(size_t row_count, size_t budget_bytes, OsMemory& os, MetadataMemory& metadata)
      : cpu_limit_(os.CpuIdLimit()), row_count_(row_count), budget_bytes_(budget_bytes), os_(os), metadata_(metadata) {}

  bool Start(CpuCacheMode mode, Error* error);
  static size_t RowBytes(size_t cpu_limit) { return (kGuardCount + cpu_limit) << kRegionShift; }
  Magazine* FirstOf(size_t row) const {
    return reinterpret_cast<Magazine*>(rows_ + row * RowBytes(cpu_limit_) + (kGuardCount << kRegionShift));
  }
  Magazine* MapRegion(size_t row, size_t cpu, int node_id);
  bool StopAll(std::vector<Stopped>* stopped);
  void StartAgain(const std::vector<Stopped>& stopped);
  void Fence();

  CpuCacheMode mode_ = CpuCacheMode::kLocked;
  const size_t cpu_limit_;
  const size_t row_count_;
  const size_t budget_bytes_;
  OsMemory& os_;
  MetadataMemory& metadata_;
  char* rows_ = nullptr;  // rseq mode
  // By CPU id; release by Find, acquire by readers.
  std::vector<std::atomic<Cpu*>> cpus_;
};

template <typename Visit>
void CpuRegions::ForEachRegion(Visit visit) const {
  for (size_t cpu = 0; cpu < cpus_.size(); ++cpu) {
    Cpu* const state = cpus_[cpu].load(std::memory_order_acquire);
    if (state == nullptr) continue;
    for (size_t row = 0; row < row_count_; ++row) {
      Region* const region = state->rows[row].load(std::memory_order_acquire);
      if (region != nullptr) visit(cpu, row, *region);
    }
  }
}

template <typename Visit>
bool CpuRegions::Drain(Visit visit) {
  bool drained = false;
  const auto take = [&](size_t row, size_t tag, void* const* objects, size_t count) {
    if (count == 0) return;
    drained = true;
    visit(row, tag, objects, count);
  };
  if (mode_ == CpuCacheMode::kLocked) {
    ForEachRegion([&](size_t cpu, size_t row, Region& region) {
      Cpu& state = *cpus_[cpu].load(std::memory_order_acquire);
      region.tags.ForEach([&](size_t tag) {
        Magazine& magazine = region.magazines[tag];
        // As many as are there now: what other threads free meanwhile is theirs.
        size_t left = SIZE_MAX;
        while (left != 0) {
          std::array<void*, kDrainBatch> objects;
          size_t count = 0;
          {
            MutexLock lock(state.mutex);
            left = std::min(left, Count(magazine));
            count = std::min(left, objects.size());
            const size_t kept = Count(magazine) - count;
            std::copy_n(magazine.objects + kept, count, objects.data());
            std::atomic_ref(magazine.header.count).store(static_cast<int32_t>(kept), std::memory_order_relaxed);
          }
          left -= count;
          take(row, tag, objects.data(), count);
        }
      });
    });
    return drained;
  }
  std::vector<Stopped> stopped;
  if (StopAll(&stopped)) {
    for (const Stopped& one : stopped) take(one.row, one.tag, one.magazine->objects, static_cast<size_t>(one.count));
    StartAgain(stopped);
  }
  return drained;
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_CPU_REGIONS_H_
