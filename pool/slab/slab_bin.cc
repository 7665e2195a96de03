#include "slab/slab_bin.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "os/report.h"

namespace hugepool::internal {
namespace {

// A bin with fewer slabs than this takes short ones.
constexpr size_t kShortSlabCount = 4;
// Slabs without used objects that a bin of objects up to 32 KiB keeps: one, and one more for so many slabs, up to a page.
constexpr size_t kSlabsPerKeptOne = 16;
// What leaves a bin or comes back is told in such steps.
constexpr size_t kMovedStepBytes = size_t{1} << 20;
// Objects whose books are fetched ahead before the first is put back.
constexpr size_t kAheadCount = 64;

}  // namespace

SlabBin::SlabBin(const Window& window, SizeClass size_class, const SizeClassInfos& infos)
    : window_(window), size_class_(size_class), infos_(infos) {
  heads_.fill(kNoSlab);
}

size_t SlabBin::SlotCount() const { return std::accumulate(slot_counts_.begin(), slot_counts_.end(), size_t{0}); }

size_t SlabBin::KeptEmptyCount() const {
  // Long slabs of few objects, each of which costs its user more than a slab costs us.
  if (InfoOfKind(SlabKind::kNormal).object_bytes > kMaxTableBytes) return 0;
  const size_t of_a_page = kSlotsPerHugePage / InfoOfKind(SlabKind::kNormal).slot_count();
  return std::clamp<size_t>(slab_count_ / kSlabsPerKeptOne, 1, of_a_page);
}

uint32_t SlabBin::Window::FirstSlotOf(const void* object) const {
  const size_t slot = arenas->map().SlotOf(object) - number * arenas->slots_per_window();
  return static_cast<uint32_t>(slot - slots_to_first[slot]);
}

char* SlabBin::AddressOf(uint32_t slot) const {
  return window_.arenas->WindowAddress(window_.number) + (size_t{slot} << kSlotShift);
}

void SlabBin::GiveBack(uint32_t slot) {
  window_.arenas->Free(AddressOf(slot), InfoOfSlab(window_.slabs[slot]).slot_count());
}

uint8_t SlabBin::ListFor(const Slab& slab, bool drains) const {
  const SizeClassInfo& info = InfoOfSlab(slab);
  if (slab.used_count == 0) return drains ? kDrainedList : kEmptyList;
  if (slab.used_count == info.object_count) return drains ? kDrainingFullList : kFullList;
  if (drains) return kDrainingList;
  const size_t eighths = size_t{slab.used_count} * info.object_bytes >> (kSlotShift + info.slab_order - 3);
  return static_cast<uint8_t>(kFirstPartialList + eighths);
}

void SlabBin::Link(uint32_t slot, uint8_t list) {
  Slab& slab = window_.slabs[slot];
  uint32_t& head = heads_[list];
  slab.next = head;
  slab.previous = kNoSlab;
  slab.list = list;
  if (head != kNoSlab) window_.slabs[head].previous = slot;
  head = slot;
  if (list == kEmptyList) ++empty_slab_count_;
}

void SlabBin::Unlink(uint32_t slot) {
  const Slab& slab = window_.slabs[slot];
  if (slab.next != kNoSlab) window_.slabs[slab.next].previous = slab.previous;
  if (slab.previous != kNoSlab) {
    window_.slabs[slab.previous].next = slab.next;
  } else {
    heads_[slab.list] = slab.next;
  }
  if (slab.list == kEmptyList) --empty_slab_count_;
}

void SlabBin::Settle(uint32_t slot) {
  const Slab& slab = window_.slabs[slot];
  const uint8_t list = ListFor(slab, Drains(slab));
  if (list == slab.list) return;
  Unlink(slot);
  Link(slot, list);
}

void SlabBin::SetDraining(uint32_t slot, bool drains) {
  const Slab& slab = window_.slabs[slot];
  const int64_t free_count = int64_t{InfoOfSlab(slab).object_count} - slab.used_count;
  AddFree(drains ? -free_count : free_count);
  draining_used_count_ = drains ? draining_used_count_ + slab.used_count : draining_used_count_ - slab.used_count;
  Unlink(slot);
  Link(slot, ListFor(slab, drains));
  CountDraining(slab, drains);
  window_.arenas->Mark(window_.number, slot, InfoOfSlab(slab).slot_count(), drains ? kDraining : TagOf(size_class_));
}

void SlabBin::AddFree(int64_t count) {
  free_count_.store(free_count_.load(std::memory_order_relaxed) + static_cast<size_t>(count),
                    std::memory_order_relaxed);
}

void SlabBin::CountDraining(const Slab& slab, bool drains) {
  const size_t slot_count = InfoOfSlab(slab).slot_count();
  const size_t before = draining_slot_count_.load(std::memory_order_relaxed);
  draining_slot_count_.store(drains ? before + slot_count : before - slot_count, std::memory_order_relaxed);
}

uint32_t SlabBin::FullestSlab() const {
  for (size_t list = kLastPartialList; list >= kFirstPartialList; --list) {
    if (heads_[list] != kNoSlab) return heads_[list];
  }
  return heads_[kEmptyList];
}

size_t SlabBin::TakeListed(void** objects, size_t count) {
  size_t taken = 0;
  while (taken < count) {
    const uint32_t slot = FullestSlab();
    if (slot == kNoSlab) break;
    Slab& slab = window_.slabs[slot];
    const SizeClassInfo& info = InfoOfSlab(slab);
    char* const start = AddressOf(slot);
    while (taken < count && slab.summary != 0) {
      objects[taken++] = start + slab.Take(window_.rows[slot], info) * info.object_bytes;
    }
    Settle(slot);
  }
  used_count_ += taken;
  AddFree(-static_cast<int64_t>(taken));
  CountMoved(taken);
  return taken;
}

void SlabBin::CountMoved(size_t count) {
  const size_t moved_bytes = (moved_count_ += count) * InfoOfKind(SlabKind::kNormal).object_bytes;
  if (moved_bytes < kMovedStepBytes) return;
  moved_count_ = 0;
  window_.moved_bytes->fetch_add(moved_bytes, std::memory_order_relaxed);
}

size_t SlabBin::AllocateListed(void** objects, size_t count) {
  MutexLock lock(mutex_);
  return TakeListed(objects, count);
}

bool SlabBin::CountBorrowed() {
  MutexLock lock(mutex_);
  const size_t slab_object_count = InfoOfKind(SlabKind::kNormal).object_count;
  return ++borrowed_count_ <= std::max(slab_object_count, used_count_);
}

void SlabBin::AddSlab(void* run, SlabKind kind, Backing backing) {
  const size_t slot = window_.arenas->map().SlotOf(run) - window_.number * window_.arenas->slots_per_window();
  const uint32_t index = static_cast<uint32_t>(slot);
  Slab& slab = window_.slabs[index];
  slab.kind = kind;
  slab.backing = backing;
  slab.size_class = size_class_;
  const SizeClassInfo& info = InfoOfSlab(slab);
  slab.Reset(window_.rows[index], info);
  for (size_t i = 0; i < info.slot_count(); ++i) window_.slots_to_first[index + i] = static_cast<uint8_t>(i);
  ++slab_count_;
  AddFree(info.object_count);
  borrowed_count_ = 0;
  // A class that grows has one slab that is not full.
  kept_count_.store(info.object_count, std::memory_order_relaxed);
  slot_counts_[static_cast<size_t>(backing)] += info.slot_count();
  Link(index, kEmptyList);
}

// From a slab that drains, which then does no more.
size_t SlabBin::TakeBack(void** objects, size_t count) {
  uint32_t slot = kNoSlab;
  size_t taken = 0;
  {
    MutexLock lock(mutex_);
    slot = heads_[kDrainingList];
    if (slot == kNoSlab) return 0;
    SetDraining(slot, false);
    taken = TakeListed(objects, count);
  }
  window_.arenas->arena(window_.number).StopDraining(AddressOf(slot));
  return taken;
}

size_t SlabBin::Allocate(void** objects, size_t count) {
  SlabKind kind;
  bool drains = false;
  {
    MutexLock lock(mutex_);
    const size_t taken = TakeListed(objects, count);
    if (taken != 0) return taken;
    kind = slab_count_ < kShortSlabCount ? SlabKind::kShort : SlabKind::kNormal;
    drains = heads_[kDrainingList] != kNoSlab;
  }
  const auto allocate = [&] {
    return window_.arenas->AllocateSlab(window_.number, InfoOfKind(kind).slot_count(), TagOf(size_class_));
  };
  void* run = nullptr;
  if (drains) {
    // Room in a page that stays costs nothing; else rather a page that was to be given back than another one.
    run = window_.arenas->arena(window_.number).AllocateSlabInUse(InfoOfKind(kind).slot_count(), TagOf(size_class_));
    const size_t taken = run == nullptr ? TakeBack(objects, count) : 0;
    if (taken != 0) return taken;
  }
  // Holes that no long slab fits into take short ones before another page is begun: they waste less than the hole is. Not where
  // a slab is a whole page: any page in use is a hole to it, and one slab that is given back may make it whole.
  const size_t slot_count = InfoOfKind(kind).slot_count();
  const bool may_be_short = slot_count < kSlotsPerHugePage && InfoOfKind(SlabKind::kShort).slot_count() < slot_count;
  if (run == nullptr && may_be_short) {
    NodeArena& arena = window_.arenas->arena(window_.number);
    for (const SlabKind fitting : {SlabKind::kNormal, SlabKind::kShort}) {
      run = arena.AllocateSlabInHole(InfoOfKind(fitting).slot_count(), TagOf(size_class_));
      if (run == nullptr) continue;
      kind = fitting;
      break;
    }
  }
  if (run == nullptr) run = allocate();
  // A long slab may be too much to ask of a node that is nearly full.
  if (run == nullptr && kind == SlabKind::kNormal) {
    const size_t refused_slot_count = InfoOfKind(kind).slot_count();
    kind = SlabKind::kShort;
    if (InfoOfKind(kind).slot_count() < refused_slot_count) run = allocate();
  }
  const Backing backing = run == nullptr ? Backing::kSmall : window_.arenas->BackingOf(run);
  MutexLock lock(mutex_);
  if (run != nullptr) AddSlab(run, kind, backing);
  // Without a run, another thread may have freed something meanwhile.
  return TakeListed(objects, count);
}

void SlabBin::Put(void* object, uint32_t first) {
  const size_t offset = static_cast<size_t>(static_cast<char*>(object) - AddressOf(first));
  Slab& slab = window_.slabs[first];
  const SizeClassInfo& info = InfoOfSlab(slab);
  const size_t index = info.IndexOf(offset);
  ExternalRow& row = window_.rows[first];
  if (index * info.object_bytes != offset || index >= info.object_count) {
    Die("interior pointer freed", "%p is %zu bytes into an object of %u bytes (slab %p, node %d)", object,
        offset - index * info.object_bytes, info.object_bytes, static_cast<void*>(AddressOf(first)),
        window_.arenas->NodeIdOf(window_.number));
  }
  if (!slab.live || slab.IsFree(index, row, info)) {
    Die("double free", "%p, an object of %u bytes (slab %p, node %d), is free already", object, info.object_bytes,
        static_cast<void*>(AddressOf(first)), window_.arenas->NodeIdOf(window_.number));
  }
  slab.Put(index, row, info);
  --used_count_;
  if (Drains(slab)) {
    --draining_used_count_;
  } else {
    AddFree(1);
  }
  Settle(first);
}

uint32_t SlabBin::TakeEmptySlab(size_t keep) {
  if (heads_[kDrainedList] == kNoSlab && empty_slab_count_ <= keep) return kNoSlab;
  const uint32_t slot = heads_[heads_[kDrainedList] != kNoSlab ? kDrainedList : kEmptyList];
  Unlink(slot);
  Slab& slab = window_.slabs[slot];
  if (Drains(slab)) {
    CountDraining(slab, false);
  } else {
    AddFree(-int64_t{InfoOfSlab(slab).object_count});
  }
  slab.live = false;
  --slab_count_;
  slot_counts_[static_cast<size_t>(slab.backing)] -= InfoOfSlab(slab).slot_count();
  return slot;
}

void SlabBin::Free(void* const* objects, size_t count) {
  uint32_t empty = kNoSlab;
  std::array<uint32_t, kAheadCount> firsts;
  {
    MutexLock lock(mutex_);
    for (size_t begin = 0; begin < count; begin += kAheadCount) {
      const size_t here = std::min(kAheadCount, count - begin);
      for (size_t i = 0; i < here; ++i) {
        firsts[i] = window_.FirstSlotOf(objects[begin + i]);
        __builtin_prefetch(&window_.slabs[firsts[i]], 1);
      }
      for (size_t i = 0; i < here; ++i) Put(objects[begin + i], firsts[i]);
    }
    CountMoved(count);
    borrowed_count_ = 0;
    empty = TakeEmptySlab(KeptEmptyCount());
  }
  while (empty != kNoSlab) {
    GiveBack(empty);
    MutexLock lock(mutex_);
    empty = TakeEmptySlab(KeptEmptyCount());
  }
}

void SlabBin::ReleaseDrained() {
  const auto take = [this] {
    MutexLock lock(mutex_);
    return TakeEmptySlab(SIZE_MAX);
  };
  for (uint32_t drained = take(); drained != kNoSlab; drained = take()) GiveBack(drained);
}

bool SlabBin::ReleaseEmpty() {
  bool released = false;
  while (true) {
    uint32_t empty = kNoSlab;
    {
      MutexLock lock(mutex_);
      empty = TakeEmptySlab(0);
    }
    if (empty == kNoSlab) return released;
    GiveBack(empty);
    released = true;
  }
}

void SlabBin::AddUse(std::vector<SlabUse>* uses) {
  MutexLock lock(mutex_);
  // No memory is asked for under the lock: of more slabs than that the last ones are left out.
  size_t left = uses->capacity() - uses->size();
  for (uint8_t list = kEmptyList; list <= kFullList; ++list) {
    for (uint32_t slot = heads_[list]; slot != kNoSlab && left != 0; slot = window_.slabs[slot].next, --left) {
      const Slab& slab = window_.slabs[slot];
      const SizeClassInfo& info = InfoOfSlab(slab);
      uses->push_back({.size_class = size_class_,
                       .slot = slot,
                       .slot_count = static_cast<uint16_t>(info.slot_count()),
                       .object_count = info.object_count,
                       .used_count = slab.used_count,
                       .object_bytes = info.object_bytes});
    }
  }
}

void SlabBin::StartDraining(uint32_t slot) {
  MutexLock lock(mutex_);
  // Whose header it is says the tag: that of another class's slab, or of none, is not for this bin to read.
  if (window_.arenas->Tag(window_.number, slot) != TagOf(size_class_)) return;
  if (window_.slabs[slot].live) SetDraining(slot, true);
}

size_t SlabBin::used_count() {
  MutexLock lock(mutex_);
  return used_count_;
}

size_t SlabBin::draining_used_count() {
  MutexLock lock(mutex_);
  return draining_used_count_;
}

size_t SlabBin::slab_bytes() {
  MutexLock lock(mutex_);
  return SlotCount() * kSlotBytes;
}

void SlabBin::AddStats(ClassStats* stats) {
  MutexLock lock(mutex_);
  stats->slab_count += slab_count_;
  stats->slab_bytes += SlotCount() * kSlotBytes;
  stats->used_count += used_count_;
  for (size_t i = 0; i < kBackingCount; ++i) stats->slab_bytes_by_backing[i] += slot_counts_[i] * kSlotBytes;
}

size_t SlabBin::slab_count() {
  MutexLock lock(mutex_);
  return slab_count_;
}

bool SlabBin::Check(size_t* slot_count, std::string* why) {
  MutexLock lock(mutex_);
  const AddressMap& map = window_.arenas->map();
  const size_t first_slot = window_.number * window_.arenas->slots_per_window();
  const auto fail = [&](uint32_t slot, const char* what) {
    *why = "class of " + std::to_string(InfoOfKind(SlabKind::kNormal).object_bytes) + " bytes, node " +
           std::to_string(window_.arenas->NodeIdOf(window_.number)) + ", slab at slot " + std::to_string(slot) + ": " +
           what;
    return false;
  };
  // Slots tagged with a class that has no slab are found by the sum over all bins (SlabSet::Check).
  if (slab_count_ == 0) {
    const bool empty = used_count_ == 0 && SlotCount() == 0 &&
                       std::all_of(heads_.begin(), heads_.end(), [](uint32_t head) { return head == kNoSlab; });
    return empty ? true : fail(0, "no slab, and something in the books");
  }
  size_t used_count = 0;
  size_t slab_count = 0;
  const size_t slot_count_before = *slot_count;
  std::array<size_t, kListCount> list_counts{};
  size_t draining_slot_count = 0;
  size_t all_free_count = 0;
  size_t draining_used_count = 0;
  for (uint32_t slot = 0; slot < window_.arenas->slots_per_window(); ++slot) {
    const SlotTag tag = map.Tag(first_slot + slot);
    Slab& slab = window_.slabs[slot];
    const bool drains = tag == kDraining && window_.slots_to_first[slot] == 0 && slab.size_class == size_class_;
    if (tag != TagOf(size_class_) && !drains) continue;
    if (!slab.live) return fail(slot, "tagged, and not live");
    const SizeClassInfo& info = InfoOfSlab(slab);
    const size_t free_count = slab.FreeCount(window_.rows[slot], info);
    if (slab.used_count + free_count != info.object_count) return fail(slot, "used + free is not the object count");
    if (slab.list != ListFor(slab, drains)) return fail(slot, "in the wrong list");
    draining_slot_count += drains ? info.slot_count() : 0;
    if (!drains) all_free_count += free_count;
    if (drains) draining_used_count += slab.used_count;
    used_count += slab.used_count;
    ++list_counts[slab.list];
    ++slab_count;
    *slot_count += info.slot_count();
    slot += static_cast<uint32_t>(info.slot_count()) - 1;
  }
  for (size_t list = 0; list < kListCount; ++list) {
    size_t in_list = 0;
    for (uint32_t slot = heads_[list]; slot != kNoSlab; slot = window_.slabs[slot].next) ++in_list;
    if (in_list != list_counts[list]) return fail(0, "a list and the slabs that should stand in it differ");
  }
  if (draining_slot_count != draining_slot_count_.load(std::memory_order_relaxed))
    return fail(0, "draining slots do not add up");
  if (all_free_count != free_count_.load(std::memory_order_relaxed)) return fail(0, "free objects do not add up");
  if (draining_used_count != draining_used_count_) return fail(0, "used objects of draining slabs do not add up");
  if (used_count != used_count_) return fail(0, "used objects do not add up");
  if (slab_count != slab_count_) return fail(0, "slabs do not add up");
  if (*slot_count - slot_count_before != SlotCount()) return fail(0, "slots do not add up");
  if (list_counts[kEmptyList] != empty_slab_count_) return fail(0, "empty slabs do not add up");
  return true;
}

}  // namespace hugepool::internal
