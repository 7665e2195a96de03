#include "cache/cpu_cache.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>

namespace hugepool::internal {
namespace {

// A batch takes no more bytes than this, nor more than this part of a CPU's budget.
constexpr size_t kBatchMaxBytes = size_t{256} << 10;
constexpr size_t kBatchShare = 8;
constexpr size_t kHomeRow = 0;
constexpr size_t OutboxRow(size_t window) { return 1 + window; }
// Of a magazine that is open for no window: no address is that high.
constexpr uint64_t kNoWindowEnd = uint64_t{1} << 63;
// A class with a handle stays closed for no more frees than so many times its used objects.
constexpr size_t kClosedTurnovers = 16;
// Of the objects of a class that stays, this part more than the caches take is kept free, for what varies.
constexpr size_t kKeptFreePart = 64;
// One in so many frees looks whether it may open again.
constexpr int64_t kFreesPerLook = 64;

}  // namespace

std::unique_ptr<CpuCache> CpuCache::Create(CpuCacheMode mode, SlabSet& slabs, PlacementPolicy& placement,
                                           size_t budget_bytes, uint32_t decay_seconds, MetadataMemory& metadata,
                                           Error* error) {
  std::unique_ptr<CpuCache> cache(new CpuCache(slabs, placement, budget_bytes));
  if (budget_bytes == 0 || mode == CpuCacheMode::kOff) return cache;
  ArenaSet& arenas = slabs.arenas();
  cache->regions_ = CpuRegions::Create(mode, 1 + arenas.window_count(), budget_bytes, arenas.os(), metadata, error);
  if (cache->regions_ == nullptr) return nullptr;
  cache->hand_overs_ = std::vector<HandOvers>(arenas.window_count());
  for (size_t window = 0; window < arenas.window_count(); ++window) {
    cache->depots_.push_back(
        DepotSet::Create(arenas.CacheGroupCount(window), budget_bytes, arenas.NodeIdOf(window), metadata, error));
    if (cache->depots_.back() == nullptr) return nullptr;
    cache->piles_.push_back(std::make_unique<Pile>(arenas.NodeIdOf(window), uint64_t{decay_seconds} * 1'000'000'000,
                                                   arenas.os(), metadata));
  }
  return cache;
}

bool CpuCache::FillView(PercpuView* view, Error* error) const {
  view->least_distance = -TakenBytes();
#if HUGEPOOL_PERCPU_INLINE
  view->rseq = {.descriptor = __rseq_offset + static_cast<int64_t>(offsetof(struct rseq, rseq_cs)),
                .cpu_id = __rseq_offset + static_cast<int64_t>(offsetof(struct rseq, cpu_id))};
#endif
  Magazine* const magazines =
      mode() == CpuCacheMode::kRseq ? regions_->magazines_of_cpu_0(kHomeRow) : CpuRegions::ClosedMagazines(error);
  if (magazines == nullptr) return false;
  view->objects = magazines->objects;
  return true;
}

CpuCache::OutboxView CpuCache::Outboxes(const PercpuView& view) const {
  const bool open = mode() == CpuCacheMode::kRseq;
  return {.objects = open ? regions_->magazines_of_cpu_0(OutboxRow(0))->objects : view.objects,
          .row_size = open ? regions_->row_bytes() / sizeof(void*) : 0,
          .least_distance = -uint64_t{slabs_.arenas().window_bytes()},
          .rseq = view.rseq};
}

size_t CpuCache::BatchCount(SizeClass size_class) const {
  const size_t bytes = std::min(kBatchMaxBytes, budget_bytes_ / kBatchShare);
  return std::clamp<size_t>(bytes / BytesOf(size_class), 1, kBatchMaxCount);
}

// What the magazine has room for, a batch at most, and the object that is handed out.
size_t CpuCache::RefillCount(int cpu, SizeClass size_class) {
  const size_t room = CpuRegions::Capacity(RegionOf(cpu, kHomeRow)->magazines[TagOf(size_class)]);
  return std::min(room, BatchCount(size_class)) + 1;
}

// On the CPU's own node, whichever blocks it is for.
CpuRegions::Region* CpuCache::RegionOf(int cpu, size_t row) {
  ArenaSet& arenas = slabs_.arenas();
  return regions_->FindOrMap(cpu, row, arenas.NodeIdOf(arenas.HomeOfCpu(cpu)));
}

void* CpuCache::Allocate(SizeClass size_class, From from, size_t* fetched_count) {
  const int cpu = slabs_.arenas().os().CurrentCpu();
  void* object = nullptr;
  if (regions_ != nullptr && regions_->Pop(cpu, kHomeRow, TagOf(size_class), &object, 1) != 0) return object;
  return Refill(cpu, size_class, from, fetched_count);
}

// One window's blocks: those that this CPU was about to give back first, then what other CPUs gave back, else the slabs'.
size_t CpuCache::FetchFrom(int cpu, size_t window, SizeClass size_class, From from, void** objects, size_t count) {
  size_t taken = 0;
  if (regions_ != nullptr) {
    const size_t group = slabs_.arenas().CacheGroupOfCpu(cpu);
    taken = regions_->Pop(cpu, OutboxRow(window), TagOf(size_class), objects, count);
    if (taken < count) {
      taken += depots_[window]->Take(group, size_class, BytesOf(size_class), objects + taken, count - taken);
    }
    if (taken < count) taken += piles_[window]->Take(size_class, objects + taken, count - taken);
  }
  if (taken == 0) taken = FetchFromSlabs(window, size_class, from, objects, count);
  if (taken != 0) OpenFor(cpu, size_class, window);
  return taken;
}

size_t CpuCache::FetchFromSlabs(size_t window, SizeClass size_class, From from, void** objects, size_t count) {
  SlabBin& bin = slabs_.bin(window, size_class);
  // Before the class takes another slab: what other classes have left may be one, or lend.
  if (!piles_.empty() && !piles_[window]->IsEmpty()) {
    const size_t taken = bin.AllocateListed(objects, count);
    if (taken != 0) return taken;
    (void)SortPile(window, kSortedAtOnceCount);
  }
  // A handle's frees do not look of which class a block is.
  const bool borrows =
      from == From::kLarger && !guarded_[ToSize(size_class)].has_handle.load(std::memory_order_relaxed);
  return borrows ? slabs_.AllocateOrBorrow(window, size_class, objects, count) : bin.Allocate(objects, count);
}

// Blocks of the target, or of the next window that has some, counted as departures.
size_t CpuCache::Fetch(int cpu, size_t target, SizeClass size_class, From from, void** objects, size_t count) {
  size_t taken = FetchFrom(cpu, target, size_class, from, objects, count);
  if (taken != 0) return taken;
  // Rather than to leave the node: all that lies on its pile, and, where only the capacity is exhausted, on those of others.
  const CommitBudget& budget = slabs_.arenas().budget();
  const bool exhausted = budget.committed_bytes() + kHugePageBytes > budget.capacity_bytes();
  if (exhausted ? SortPiles(SIZE_MAX) : !piles_.empty() && SortPile(target, SIZE_MAX)) {
    taken = FetchFrom(cpu, target, size_class, from, objects, count);
    if (taken != 0) return taken;
  }
  placement_.Depart(target, [&](size_t window) -> PlacementPolicy::Given {
    taken = FetchFrom(cpu, window, size_class, from, objects, count);
    if (taken == 0) return {};
    // The first one may be borrowed, from a larger class.
    const size_t first_bytes = BytesOf(slabs_.ClassOf(objects[0]));
    // A full node is asked in vain each time: not for fewer blocks than there may be.
    if (taken < count) {
      taken += FetchFromSlabs(window, size_class, From::kClass, objects + taken, count - taken);
    }
    return {.count = taken, .bytes = first_bytes + (taken - 1) * BytesOf(size_class)};
  });
  return taken;
}

void* CpuCache::Refill(int cpu, SizeClass size_class, From from, size_t* fetched_count) {
  slabs_.classes().NoteFetched(size_class);
  const size_t target = placement_.Target(cpu);
  const size_t tag = TagOf(size_class);
  const bool cached = Caches(size_class) && RegionOf(cpu, kHomeRow) != nullptr && Grow(cpu, kHomeRow, size_class);
  std::array<void*, kBatchMaxCount + 1> objects;
  const size_t wanted_count = cached ? RefillCount(cpu, size_class) : 1;
  size_t taken = Fetch(cpu, target, size_class, from, objects.data(), wanted_count);
  if (taken == 0) {
    EmptyAndRetry([&] { return (taken = Fetch(cpu, target, size_class, from, objects.data(), 1)) != 0; });
  }
  if (taken == 0) return nullptr;
  *fetched_count += taken;
  // Whoever asks for a block writes it. Misses of the whole batch at once take little longer than one. In the order in which
  // the magazine will give them.
  for (size_t i = taken; i > 1; --i) __builtin_prefetch(objects[i - 1], 1);
  if (taken > 1) {
    const size_t kept = regions_->Push(cpu, kHomeRow, tag, objects.data() + 1, taken - 1);
    Return(cpu, size_class, objects.data() + 1 + kept, taken - 1 - kept);
  }
  return objects[0];
}

size_t CpuCache::StartDraining(size_t wanted_bytes, Kept kept) {
  if (kept == Kept::kCaches) (void)SortPiles(SIZE_MAX);
  const size_t window_count = slabs_.arenas().window_count();
  std::array<uint64_t, kMaxClassCount> kept_free_counts{};
  for (size_t i = 0; i < slabs_.classes().class_count(); ++i) {
    const size_t used_count = slabs_.UsedCount(ToSizeClass(i)) / window_count;
    if (kept == Kept::kCaches) {
      kept_free_counts[i] = used_count / kKeptFreePart + capacity_count(ToSizeClass(i)) / window_count;
    } else if (guarded_[i].has_handle.load(std::memory_order_relaxed)) {
      kept_free_counts[i] = kNotDrained;  // its fast path is not closed unasked
    } else {
      kept_free_counts[i] = static_cast<uint64_t>(std::sqrt(static_cast<double>(used_count)));
    }
  }
  const size_t draining_bytes = slabs_.StartDraining(wanted_bytes, kept_free_counts);
  if (kept == Kept::kCaches) CloseForHandles();
  return draining_bytes;
}

void CpuCache::NoteHandle(SizeClass size_class) {
  const bool had_one = guarded_[ToSize(size_class)].has_handle.exchange(true, std::memory_order_relaxed);
  if (!had_one && slabs_.Drains(size_class)) CloseForHandles();
}

void CpuCache::CloseForHandles() {
  if (mode() != CpuCacheMode::kRseq) return;  // without sequences every free takes the slow path
  for (size_t i = 0; i < slabs_.classes().class_count(); ++i) {
    Guarded& guarded = guarded_[i];
    const SizeClass size_class = ToSizeClass(i);
    if (!guarded.has_handle.load(std::memory_order_relaxed) || !slabs_.Drains(size_class)) continue;
    const size_t used_count = slabs_.UsedCount(size_class);
    guarded.frees_left.store(static_cast<int64_t>(used_count * kClosedTurnovers), std::memory_order_relaxed);
    guarded.closed.store(true, std::memory_order_relaxed);
    SetWindows(size_class, true);
  }
}

// Every CPU's magazine and outboxes of the class: open for no window, or for their own again.
void CpuCache::SetWindows(SizeClass size_class, bool closed) {
  regions_->ForEachRegion([&](size_t cpu, size_t row, CpuRegions::Region& region) {
    if (!region.tags.Has(TagOf(size_class))) return;
    std::atomic_ref(region.magazines[TagOf(size_class)].header.window_end)
        .store(closed ? kNoWindowEnd : EndOf(WindowOfRow(static_cast<int>(cpu), row)), std::memory_order_relaxed);
  });
}

// Of frees that took the slow path since the class is closed.
void CpuCache::CountClosedFrees(SizeClass size_class, size_t count) {
  Guarded& guarded = guarded_[ToSize(size_class)];
  const int64_t freed = static_cast<int64_t>(count);
  const int64_t left = guarded.frees_left.fetch_sub(freed, std::memory_order_relaxed) - freed;
  const bool look = left / kFreesPerLook != (left + freed) / kFreesPerLook;
  if (left > 0 && (!look || slabs_.Drains(size_class))) return;
  if (guarded.closed.exchange(false, std::memory_order_relaxed)) SetWindows(size_class, false);
}

// The CPU's empty magazine is about to be filled from this window, and takes back blocks of it, and of no other, from now
// on. What is freed of another one waits in its outbox: so a node that is full, and some of whose blocks come free now
// and then, costs a change of the window for each batch, not for each block.
void CpuCache::OpenFor(int cpu, SizeClass size_class, size_t window) {
  if (regions_ == nullptr || !Spills() || IsClosed(size_class)) return;
  CpuRegions::Region* const region = RegionOf(cpu, kHomeRow);
  if (region == nullptr) return;
  // Relaxed: where a block goes is a matter of cost, not of correctness.
  const std::atomic_ref end(region->magazines[TagOf(size_class)].header.window_end);
  if (end.load(std::memory_order_relaxed) != EndOf(window)) {
    end.store(EndOf(window), std::memory_order_relaxed);
  }
}

// Where this CPU puts free blocks of a window: into the magazine that is open for it, or into the window's outbox.
size_t CpuCache::RowFor(int cpu, size_t window, SizeClass size_class) {
  if (placement_.CachesAnyWindow()) return kHomeRow;
  const CpuRegions::Region* const region = RegionOf(cpu, kHomeRow);
  uint64_t end = 0;
  if (region != nullptr && Spills() && !IsClosed(size_class)) {
    end = std::atomic_ref(region->magazines[TagOf(size_class)].header.window_end).load(std::memory_order_relaxed);
  }
  const bool open = end == 0 ? window == slabs_.arenas().HomeOfCpu(cpu) : end == EndOf(window);
  return open ? kHomeRow : OutboxRow(window);
}

// More room in this magazine, as far as the CPU's budget and, now and then, the classes that miss less give it. False: there
// is no room at all.
bool CpuCache::Grow(int cpu, size_t row, SizeClass size_class) {
  CpuRegions::Cpu& state = *regions_->Find(cpu);
  CpuRegions::Region& region = *state.rows[row].load(std::memory_order_acquire);
  const size_t tag = TagOf(size_class);
  Magazine& magazine = region.magazines[tag];
  region.missed.Add(tag);
  const size_t capacity = CpuRegions::Capacity(magazine);
  if (capacity >= kMagazineMaxCount) return true;
  // An outbox has room for all that a refill brings: what the magazine lost comes back as a whole when it is next open
  // for that window.
  const size_t object_bytes = BytesOf(size_class);
  const size_t batch_count = BatchCount(size_class);
  const size_t limit = row == kHomeRow ? kMagazineMaxCount : batch_count + 1;
  const size_t first = std::min<size_t>(batch_count, std::max<size_t>(kFirstRoomBytes / object_bytes, 1));
  const size_t step = row == kHomeRow ? std::clamp(capacity / 2, first, batch_count) : limit;
  if (capacity >= limit) return true;
  const size_t wanted = std::min(limit - capacity, step);
  int64_t paid_bytes = TakeSpare(state, object_bytes, wanted);
  const int64_t missing_bytes = static_cast<int64_t>(object_bytes * wanted) - paid_bytes;
  if (missing_bytes > 0 && (capacity == 0 || IsTurnToSteal(state))) paid_bytes += Steal(cpu, row, tag, missing_bytes);
  if (paid_bytes == 0) return capacity != 0;
  const size_t count = static_cast<size_t>(paid_bytes) / object_bytes;
  if (count != 0 && capacity == 0) {
    region.tags.Add(tag);
    const uint64_t end = IsClosed(size_class) ? kNoWindowEnd : EndOf(WindowOfRow(cpu, row));
    uint64_t none = 0;
    std::atomic_ref(magazine.header.window_end).compare_exchange_strong(none, end, std::memory_order_relaxed);
  }
  const size_t grown = count == 0 ? 0 : CpuRegions::Grow(magazine, count, limit);
  const int64_t left_bytes = paid_bytes - static_cast<int64_t>(grown * object_bytes);
  if (left_bytes != 0) state.spare_bytes.fetch_add(left_bytes, std::memory_order_relaxed);
  return capacity + grown != 0;
}

// One in kMissesPerSteal. Not counted in one step, which would lock the line: a miss that is lost does no harm.
bool CpuCache::IsTurnToSteal(CpuRegions::Cpu& state) {
  const uint32_t miss_count = state.miss_count.load(std::memory_order_relaxed);
  state.miss_count.store(miss_count + 1, std::memory_order_relaxed);
  return miss_count % kMissesPerSteal == 0;
}

// The bytes of up to `wanted` whole objects, of what no magazine of the CPU has; two threads never take a byte twice.
int64_t CpuCache::TakeSpare(CpuRegions::Cpu& state, size_t object_bytes, size_t wanted) {
  int64_t spare_bytes = state.spare_bytes.load(std::memory_order_relaxed);
  while (spare_bytes >= static_cast<int64_t>(object_bytes)) {
    const size_t count = std::min(static_cast<size_t>(spare_bytes) / object_bytes, wanted);
    const int64_t taken_bytes = static_cast<int64_t>(count * object_bytes);
    if (state.spare_bytes.compare_exchange_weak(spare_bytes, spare_bytes - taken_bytes, std::memory_order_relaxed)) {
      return taken_bytes;
    }
  }
  return 0;
}

// Takes room from magazines of this CPU that did not miss since the hand last passed; what lay there goes back. Returns
// the bytes of room, which may be more than needed.
int64_t CpuCache::Steal(int cpu, size_t row, size_t tag, int64_t needed_bytes) {
  CpuRegions::Cpu& state = *regions_->Find(cpu);
  const size_t row_count = state.rows.size();
  const uint32_t hand = state.hand.load(std::memory_order_relaxed);
  size_t victim_row = hand / kTagCount % row_count;
  size_t from = hand % kTagCount;
  int64_t got_bytes = 0;
  // Every row twice, the first one once more: the first pass may find that everything missed.
  for (size_t left = 2 * row_count + 1; got_bytes < needed_bytes;) {
    CpuRegions::Region* const region = state.rows[victim_row].load(std::memory_order_acquire);
    const size_t victim = region == nullptr ? kTagCount : region->tags.NextFrom(from);
    if (victim == kTagCount) {
      if (--left == 0) break;
      victim_row = (victim_row + 1) % row_count;
      from = 0;
      continue;
    }
    from = victim + 1;
    if ((victim == tag && victim_row == row) || region->missed.Remove(victim)) continue;
    const SizeClass victim_class = ClassOfTag(static_cast<SlotTag>(victim));
    const int64_t victim_bytes = BytesOf(victim_class);
    Magazine& magazine = region->magazines[victim];
    const int64_t wanted = (needed_bytes - got_bytes + victim_bytes - 1) / victim_bytes;
    got_bytes += static_cast<int64_t>(CpuRegions::Shrink(magazine, static_cast<size_t>(wanted))) * victim_bytes;
    ReturnExcess(cpu, victim_row, victim_class, magazine);
  }
  state.hand.store(static_cast<uint32_t>(victim_row * kTagCount + from % kTagCount), std::memory_order_relaxed);
  return got_bytes;
}

// What a magazine holds beyond its capacity goes back. (A thread that is moved in the middle takes a batch from where it
// is then, which costs a little and harms nothing.)
void CpuCache::ReturnExcess(int cpu, size_t row, SizeClass size_class, const Magazine& magazine) {
  std::array<void*, kBatchMaxCount> objects;
  while (IsOn(cpu)) {
    const size_t count = CpuRegions::Count(magazine);
    const size_t capacity = CpuRegions::Capacity(magazine);
    if (count <= capacity) return;
    const size_t taken =
        regions_->Pop(cpu, row, TagOf(size_class), objects.data(), std::min(count - capacity, objects.size()));
    if (taken == 0) return;
    Return(cpu, size_class, objects.data(), taken);
  }
}

// Of what addresses one magazine takes: a window, or all of them.
uint64_t CpuCache::TakenBytes() const {
  const ArenaSet& arenas = slabs_.arenas();
  return arenas.window_bytes() * (placement_.CachesAnyWindow() ? arenas.window_count() : 1);
}

// Where that ends. window: the first, where a magazine takes any.
uint64_t CpuCache::EndOf(size_t window) const {
  return reinterpret_cast<uint64_t>(slabs_.arenas().WindowAddress(window)) + TakenBytes();
}

// The window that a CPU's magazines are open for by themselves (the first, where they take any), or its outboxes of a row.
size_t CpuCache::WindowOfRow(int cpu, size_t row) const {
  if (row != kHomeRow) return row - 1;
  return placement_.CachesAnyWindow() ? 0 : slabs_.arenas().HomeOfCpu(cpu);
}

void CpuCache::Deallocate(void* object, SizeClass size_class) { DeallocateBatch(size_class, &object, 1); }

// All of one class; each goes to this CPU's magazine or to the outbox of its window.
void CpuCache::DeallocateBatch(SizeClass size_class, void* const* objects, size_t count) {
  if (!Caches(size_class)) return Surplus(size_class, objects, count);
  ArenaSet& arenas = slabs_.arenas();
  const AddressMap& map = arenas.map();
  const int cpu = arenas.os().CurrentCpu();
  const size_t tag = TagOf(size_class);
  const size_t batch_count = BatchCount(size_class);
  if (IsClosed(size_class)) CountClosedFrees(size_class, count);
  for (size_t first = 0; first < count;) {
    const size_t window = map.WindowOf(objects[first]);
    size_t last = first + 1;
    while (last < count && (placement_.CachesAnyWindow() || map.WindowOf(objects[last]) == window)) ++last;
    const size_t row = RowFor(cpu, window, size_class);
    while (first < last) {
      size_t kept = regions_->Push(cpu, row, tag, objects + first, last - first);
      first += kept;
      if (first == last) break;
      // Full: room for more, or a batch to the depot; of a magazine no more than half, so that the next few allocations find
      // some there too.
      const bool room = RegionOf(cpu, row) != nullptr && Grow(cpu, row, size_class);
      kept = room ? regions_->Push(cpu, row, tag, objects + first, last - first) : 0;
      first += kept;
      if (kept != 0) continue;
      std::array<void*, kBatchMaxCount> old;
      const bool here = room && IsOn(cpu);
      const size_t half = here ? (CpuRegions::Capacity(RegionOf(cpu, row)->magazines[tag]) + 1) / 2 : 0;
      const size_t most = row == kHomeRow ? std::min(half, batch_count) : batch_count;
      const size_t taken = here ? regions_->Pop(cpu, row, tag, old.data(), most) : 0;
      // Nothing is kept here: drained just now, somebody else's turn, moved to another CPU, or no room in the budget.
      if (taken == 0) {
        Return(cpu, size_class, objects + first, last - first);
        first = last;
      } else {
        Return(cpu, size_class, old.data(), taken);
      }
    }
  }
}

size_t CpuCache::AllocateBatch(SizeClass size_class, From from, void** objects, size_t count, size_t* fetched_count) {
  size_t taken = 0;
  while (taken < count) {
    const int cpu = slabs_.arenas().os().CurrentCpu();
    size_t got =
        regions_ == nullptr ? 0 : regions_->Pop(cpu, kHomeRow, TagOf(size_class), objects + taken, count - taken);
    if (got == 0) {
      slabs_.classes().NoteFetched(size_class);
      got = Fetch(cpu, placement_.Target(cpu), size_class, from, objects + taken, count - taken);
      *fetched_count += got;
    }
    if (got == 0) {
      objects[taken] = Refill(cpu, size_class, from, fetched_count);
      got = objects[taken] == nullptr ? 0 : 1;
    }
    if (got == 0) break;
    taken += got;
  }
  return taken;
}

template <typename Visit>
void CpuCache::ForEachWindow(void* const* objects, size_t count, Visit visit) const {
  const AddressMap& map = slabs_.arenas().map();
  for (size_t first = 0; first < count;) {
    const size_t window = map.WindowOf(objects[first]);
    size_t last = first + 1;
    while (last < count && map.WindowOf(objects[last]) == window) ++last;
    visit(window, objects + first, last - first);
    first = last;
  }
}

// Objects of one class to the depots of their windows, where the CPUs that share this one's cache look first; those that
// drain to their slabs.
void CpuCache::Return(int cpu, SizeClass size_class, void* const* objects, size_t count) {
  const AddressMap& map = slabs_.arenas().map();
  const size_t group = slabs_.arenas().CacheGroupOfCpu(cpu);
  const auto drains = [&map](const void* object) { return map.Tag(map.SlotOf(object)) == kDraining; };
  ForEachWindow(objects, count, [&](size_t window, void* const* some, size_t some_count) {
    if (!hand_overs_.empty() && window != slabs_.arenas().HomeOfCpu(cpu)) {
      hand_overs_[window].count.fetch_add(1, std::memory_order_relaxed);
      hand_overs_[window].block_count.fetch_add(some_count, std::memory_order_relaxed);
    }
    if (!piles_.empty() && piles_[window]->HasIdle()) SortIdle(window);
    SlabBin& bin = slabs_.bin(window, size_class);
    // The count first, which mostly says that there is nothing to look for.
    if (bin.draining_slot_count() != 0 && std::any_of(some, some + some_count, drains)) {
      return bin.Free(some, some_count);
    }
    size_t put = PutInDepot(window, group, size_class, some, some_count);
    if (put < some_count) put += PutOnPile(window, size_class, some + put, some_count - put);
    if (put < some_count) bin.Free(some + put, some_count - put);
  });
}

// Returns how many it took. Where the depots are full of what nobody uses any more, a batch of that goes to its slabs.
size_t CpuCache::PutInDepot(size_t window, size_t group, SizeClass size_class, void* const* objects, size_t count) {
  if (depots_.empty()) return 0;
  DepotSet& depots = *depots_[window];
  const size_t put = depots.Put(group, size_class, BytesOf(size_class), objects, count);
  if (put == count) return put;
  SizeClass idle_class{};
  std::array<void*, kBatchMaxCount> idle;
  const size_t idle_count = depots.TakeIdle(slabs_.classes(), &idle_class, idle.data(), idle.size());
  if (idle_count == 0) return put;
  slabs_.bin(window, idle_class).Free(idle.data(), idle_count);
  return put + depots.Put(group, size_class, BytesOf(size_class), objects + put, count - put);
}

// Returns how many it took: none where memory is wanted now, or where the pages had better empty, since they are on a lower
// rung and the top one may be had.
size_t CpuCache::PutOnPile(size_t window, SizeClass size_class, void* const* objects, size_t count) {
  if (piles_.empty() || BytesOf(size_class) < Pile::kLeastObjectBytes) return 0;
  ArenaSet& arenas = slabs_.arenas();
  if (arenas.budget().Exceeded() || arenas.arena(window).MayClimb()) return 0;
  return piles_[window]->Put(size_class, objects, count);
}

void CpuCache::SortIdlePiles() {
  for (size_t window = 0; window < piles_.size(); ++window) {
    while (piles_[window]->HasIdle()) SortIdle(window);
  }
}

// Some of what lay on the pile through a whole period: the rest at the next calls.
void CpuCache::SortIdle(size_t window) {
  std::array<void*, kBatchMaxCount> objects;
  for (size_t sorted_count = 0; sorted_count < kSortedAtOnceCount;) {
    SizeClass size_class{};
    const size_t taken = piles_[window]->TakeIdle(&size_class, objects.data(), objects.size());
    if (taken == 0) return;
    slabs_.bin(window, size_class).Free(objects.data(), taken);
    sorted_count += taken;
  }
}

// As many as lie there now, most_count at most: what other threads free meanwhile is theirs. Returns how many.
size_t CpuCache::SortPileOf(size_t window, SizeClass size_class, size_t most_count) {
  std::array<void*, kBatchMaxCount> objects;
  size_t sorted_count = 0;
  for (size_t left = std::min(piles_[window]->count(size_class), most_count); left != 0;) {
    const size_t taken = piles_[window]->Take(size_class, objects.data(), std::min(left, objects.size()));
    if (taken == 0) break;
    slabs_.bin(window, size_class).Free(objects.data(), taken);
    left -= taken;
    sorted_count += taken;
  }
  return sorted_count;
}

// True: there were some.
bool CpuCache::SortPile(size_t window, size_t most_count) {
  if (piles_[window]->IsEmpty()) return false;
  for (size_t i = 0; i < kMaxClassCount && most_count != 0; ++i) {
    most_count -= SortPileOf(window, ToSizeClass(i), most_count);
  }
  return true;
}

bool CpuCache::SortPiles(size_t most_count) {
  bool sorted = false;
  for (size_t window = 0; window < piles_.size(); ++window) sorted |= SortPile(window, most_count);
  return sorted;
}

// Objects of one class to their slabs; neighbours in the batch that share a window go under one lock.
void CpuCache::Surplus(SizeClass size_class, void* const* objects, size_t count) {
  ForEachWindow(objects, count, [&](size_t window, void* const* some, size_t some_count) {
    slabs_.bin(window, size_class).Free(some, some_count);
  });
}

bool CpuCache::Drain(size_t most_piled_count) {
  if (regions_ == nullptr) return false;
  bool waited = false;
  while (drain_owned_.exchange(true, std::memory_order_acquire)) {
    drain_owned_.wait(true, std::memory_order_relaxed);
    waited = true;
  }
  bool drained = regions_->Drain([this](size_t, size_t tag, void* const* objects, size_t count) {
    Surplus(ClassOfTag(static_cast<SlotTag>(tag)), objects, count);
  });
  std::array<void*, kBatchMaxCount> objects;
  for (const auto& depot : depots_) {
    for (size_t i = 0; i < kMaxClassCount; ++i) {
      // As many as are there now: what other threads free meanwhile is theirs.
      for (size_t left = depot->count(ToSizeClass(i)); left != 0;) {
        const size_t taken =
            depot->Take(0, ToSizeClass(i), BytesOf(ToSizeClass(i)), objects.data(), std::min(left, objects.size()));
        if (taken == 0) break;
        drained = true;
        Surplus(ToSizeClass(i), objects.data(), taken);
        left -= taken;
      }
    }
  }
  drained |= SortPiles(most_piled_count);
  drain_owned_.store(false, std::memory_order_release);
  drain_owned_.notify_all();
  return drained || waited;
}

void CpuCache::CloseUnused() {
  if (regions_ == nullptr) return;
  bool found = false;
  const ClassTable& classes = slabs_.classes();
  regions_->ForEachRegion([&](size_t cpu, size_t, CpuRegions::Region& region) {
    region.tags.ForEach([&](size_t tag) {
      const SizeClass size_class = ClassOfTag(static_cast<SlotTag>(tag));
      if (!IsUnused(size_class)) return;
      Magazine& magazine = region.magazines[tag];
      const size_t room_count = CpuRegions::Shrink(magazine, kMagazineMaxCount);
      regions_->Find(static_cast<int>(cpu))
          ->spare_bytes.fetch_add(static_cast<int64_t>(room_count * BytesOf(size_class)), std::memory_order_relaxed);
      found |= CpuRegions::Count(magazine) != 0;
    });
  });
  for (size_t i = 0; i < classes.class_count(); ++i) {
    if (!IsUnused(ToSizeClass(i))) continue;
    for (const auto& depot : depots_) found |= depot->count(ToSizeClass(i)) != 0;
    if (!classes.IsRetired(ToSizeClass(i))) continue;  // what a dormant one has on piles is sorted as any other's
    for (size_t window = 0; window < piles_.size(); ++window) (void)SortPileOf(window, ToSizeClass(i), SIZE_MAX);
  }
  if (found) (void)Drain(0);
}

}  // namespace hugepool::internal
