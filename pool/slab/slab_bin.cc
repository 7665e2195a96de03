#include "slab/slab_bin.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "os/report.h"

namespace hugepool::internal {
namespace {

// A bin with fewer slabs than this takes short ones, one with this many bytes whole pages.
constexpr size_t kShortSlabCount = 4;
constexpr size_t kLongSlabsFromBytes = size_t{64} << 20;
// Slabs without used objects that a bin keeps: one, and one more for so many slabs, up to a page.
constexpr size_t kSlabsPerKeptOne = 16;
// Objects whose books are fetched ahead before the first is put back.
constexpr size_t kAheadCount = 64;

}  // namespace

SlabBin::SlabBin(const Window& window, SizeClass size_class, const SizeClassInfos& infos)
    : window_(window), size_class_(size_class), infos_(infos) {}

SlabKind SlabBin::NextKind() const {
  if (slab_count_ < kShortSlabCount) return SlabKind::kShort;
  return SlotCount() * kSlotBytes < kLongSlabsFromBytes ? SlabKind::kNormal : SlabKind::kLong;
}

size_t SlabBin::SlotCount() const { return std::accumulate(slot_counts_.begin(), slot_counts_.end(), size_t{0}); }

size_t SlabBin::KeptEmptyCount() const {
  const size_t of_a_page = kSlotsPerHugePage / InfoOfKind(SlabKind::kNormal).slot_count();
  return std::clamp<size_t>(slab_count_ / kSlabsPerKeptOne, 1, of_a_page);
}

uint32_t SlabBin::FirstSlotOf(const void* object) const {
  const size_t slot = window_.arenas->map().SlotOf(object) - window_.number * window_.arenas->slots_per_window();
  return static_cast<uint32_t>(slot - window_.slots_to_first[slot]);
}

char* SlabBin::AddressOf(uint32_t slot) const {
  return window_.arenas->WindowAddress(window_.number) + (size_t{slot} << kSlotShift);
}

void SlabBin::GiveBack(uint32_t slot) {
  window_.arenas->Free(AddressOf(slot), InfoOfSlab(window_.slabs[slot]).slot_count());
}

uint32_t& SlabBin::HeadFor(const Slab& slab) { return slab.used_count == 0 ? empty_head_ : partial_head_; }

void SlabBin::Link(uint32_t slot) {
  Slab& slab = window_.slabs[slot];
  uint32_t& head = HeadFor(slab);
  slab.next = head;
  slab.previous = kNoSlab;
  slab.listed = true;
  if (head != kNoSlab) window_.slabs[head].previous = slot;
  head = slot;
  if (slab.used_count == 0) ++empty_slab_count_;
}

void SlabBin::Unlink(uint32_t slot) {
  Slab& slab = window_.slabs[slot];
  if (slab.next != kNoSlab) window_.slabs[slab.next].previous = slab.previous;
  if (slab.previous != kNoSlab) {
    window_.slabs[slab.previous].next = slab.next;
  } else {
    HeadFor(slab) = slab.next;
  }
  slab.listed = false;
  if (slab.used_count == 0) --empty_slab_count_;
}

size_t SlabBin::TakeListed(void** objects, size_t count) {
  size_t taken = 0;
  while (taken < count) {
    const uint32_t slot = partial_head_ != kNoSlab ? partial_head_ : empty_head_;
    if (slot == kNoSlab) break;
    Slab& slab = window_.slabs[slot];
    const SizeClassInfo& info = InfoOfSlab(slab);
    char* const start = AddressOf(slot);
    Unlink(slot);
    while (taken < count && slab.summary != 0) {
      objects[taken++] = start + slab.Take(window_.rows[slot], info) * info.object_bytes;
    }
    if (slab.summary != 0) Link(slot);
  }
  used_count_ += taken;
  return taken;
}

void SlabBin::AddSlab(void* run, SlabKind kind, Backing backing) {
  const size_t slot = window_.arenas->map().SlotOf(run) - window_.number * window_.arenas->slots_per_window();
  const uint32_t index = static_cast<uint32_t>(slot);
  Slab& slab = window_.slabs[index];
  slab.kind = kind;
  slab.backing = backing;
  const SizeClassInfo& info = InfoOfSlab(slab);
  slab.Reset(window_.rows[index], info);
  for (size_t i = 0; i < info.slot_count(); ++i) window_.slots_to_first[index + i] = static_cast<uint8_t>(i);
  ++slab_count_;
  slot_counts_[static_cast<size_t>(backing)] += info.slot_count();
  Link(index);
}

size_t SlabBin::Allocate(void** objects, size_t count) {
  SlabKind kind;
  {
    MutexLock lock(mutex_);
    const size_t taken = TakeListed(objects, count);
    if (taken != 0) return taken;
    kind = NextKind();
  }
  const auto allocate = [&] {
    return window_.arenas->AllocateSlab(window_.number, InfoOfKind(kind).slot_count(), TagOf(size_class_));
  };
  void* run = allocate();
  // A whole page may be too much to ask of a node that is nearly full.
  while (run == nullptr && kind != SlabKind::kShort) {
    kind = static_cast<SlabKind>(static_cast<size_t>(kind) - 1);
    run = allocate();
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
  const bool moves = !slab.listed || slab.used_count == 1;
  if (moves && slab.listed) Unlink(first);
  slab.Put(index, row, info);
  --used_count_;
  if (moves) Link(first);
}

uint32_t SlabBin::TakeEmptySlab(size_t keep) {
  if (empty_slab_count_ <= keep) return kNoSlab;
  const uint32_t slot = empty_head_;
  Unlink(slot);
  Slab& slab = window_.slabs[slot];
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
        firsts[i] = FirstSlotOf(objects[begin + i]);
        __builtin_prefetch(&window_.slabs[firsts[i]], 1);
      }
      for (size_t i = 0; i < here; ++i) Put(objects[begin + i], firsts[i]);
    }
    empty = TakeEmptySlab(KeptEmptyCount());
  }
  while (empty != kNoSlab) {
    GiveBack(empty);
    MutexLock lock(mutex_);
    empty = TakeEmptySlab(KeptEmptyCount());
  }
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

size_t SlabBin::used_count() {
  MutexLock lock(mutex_);
  return used_count_;
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
    const bool empty = used_count_ == 0 && SlotCount() == 0 && partial_head_ == kNoSlab && empty_head_ == kNoSlab;
    return empty ? true : fail(0, "no slab, and something in the books");
  }
  size_t used_count = 0;
  size_t slab_count = 0;
  const size_t slot_count_before = *slot_count;
  size_t empty_count = 0;
  size_t listed_count = 0;
  for (uint32_t slot = 0; slot < window_.arenas->slots_per_window(); ++slot) {
    if (map.Tag(first_slot + slot) != TagOf(size_class_)) continue;
    Slab& slab = window_.slabs[slot];
    if (!slab.live) return fail(slot, "tagged, and not live");
    const SizeClassInfo& info = InfoOfSlab(slab);
    const size_t free_count = slab.FreeCount(window_.rows[slot], info);
    if (slab.used_count + free_count != info.object_count) return fail(slot, "used + free is not the object count");
    if (slab.listed != (free_count != 0)) return fail(slot, "listed and full, or unlisted with a free object");
    used_count += slab.used_count;
    empty_count += slab.used_count == 0 ? 1 : 0;
    listed_count += slab.listed ? 1 : 0;
    ++slab_count;
    *slot_count += info.slot_count();
    slot += static_cast<uint32_t>(info.slot_count()) - 1;
  }
  size_t in_list = 0;
  for (const uint32_t head : {partial_head_, empty_head_}) {
    for (uint32_t slot = head; slot != kNoSlab; slot = window_.slabs[slot].next) ++in_list;
  }
  if (used_count != used_count_) return fail(0, "used objects do not add up");
  if (slab_count != slab_count_) return fail(0, "slabs do not add up");
  if (*slot_count - slot_count_before != SlotCount()) return fail(0, "slots do not add up");
  if (empty_count != empty_slab_count_) return fail(0, "empty slabs do not add up");
  if (in_list != listed_count) return fail(0, "the lists and the listed slabs differ");
  return true;
}

}  // namespace hugepool::internal
