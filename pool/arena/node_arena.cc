#include "arena/node_arena.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

constexpr uint32_t MaskOf(size_t slot_count, size_t first) {
  const uint32_t low = slot_count >= kSlotsPerHugePage ? UINT32_MAX : (uint32_t{1} << slot_count) - 1;
  return low << first;
}

// A turn at populating giant pages, of which one serves many: 512 threads that each populated one would take 512 GiB.
// No Mutex, since it is held over system calls; whoever waits for it holds no lock of the pool.
class GrowthTurn {
 public:
  // nullptr: needs no turn.
  explicit GrowthTurn(std::atomic<int>* taken) : taken_(taken) {
    // Acquire, with the release below: one turn sees what the turn before it did.
    while (taken_ != nullptr && taken_->exchange(1, std::memory_order_acquire) != 0) {
      taken_->wait(1, std::memory_order_relaxed);
    }
  }
  ~GrowthTurn() {
    if (taken_ == nullptr) return;
    taken_->store(0, std::memory_order_release);
    taken_->notify_one();
  }
  GrowthTurn(const GrowthTurn&) = delete;
  GrowthTurn& operator=(const GrowthTurn&) = delete;

 private:
  std::atomic<int>* const taken_;
};

// Idle units that one call gives back at most: a few hundred microseconds.
constexpr size_t kIdleUnitsPerCall = 2;

constexpr Backing Below(Backing rung) { return static_cast<Backing>(static_cast<uint8_t>(rung) + 1); }

}  // namespace

NodeArena::NodeArena(NodeBacking& backing, CommitBudget& budget, AddressMap& map, HugePage* pages, OsMemory& os,
                     uint32_t decay_seconds)
    : backing_(backing),
      budget_(budget),
      map_(map),
      first_slot_(map.SlotOf(backing.AddressOf(ToPageIndex(0)))),
      pages_(pages, backing.page_count(), backing.hugetlb_page_count(),
             backing.UnitBytes(Region::kHugetlb) / kHugePageBytes),
      os_(os),
      decay_ns_(uint64_t{decay_seconds} * 1'000'000'000) {}

void NodeArena::Mark(size_t slot_in_window, size_t slot_count, SlotTag tag) {
  const size_t slot = first_slot_ + slot_in_window;
  if (tag == kRunHead) {
    map_.MarkRun(slot, slot_count);
  } else {
    map_.MarkSlab(slot, slot_count, tag);
  }
}

void* NodeArena::TakeInside(size_t slot_count, SlotTag tag) {
  bool ahead_wanted = false;
  std::optional<size_t> slot = TakePopulated(slot_count, tag, &ahead_wanted);
  for (const Region region : {Region::kHugetlb, Region::kFallback}) {
    if (!slot && backing_.UsesRegion(region)) slot = TakeFresh(slot_count, tag, region);
  }
  // Rather less memory for others later than none for this caller now.
  if (!slot && StopDrainingAll()) slot = TakePopulated(slot_count, tag, &ahead_wanted);
  if (!slot) return nullptr;
  if (ahead_wanted) KeepOneAhead();
  return map_.AddressOfSlot(first_slot_ + *slot);
}

// The run, marked; *last_empty: no empty page of the top rung is left.
std::optional<size_t> NodeArena::TakePopulated(size_t slot_count, SlotTag tag, bool* last_empty) {
  std::optional<size_t> slot;
  size_t idle_count = 0;
  {
    MutexLock lock(mutex_);
    slot = pages_.TakeSlots(slot_count);
    if (slot) Mark(*slot, slot_count, tag);
    *last_empty = pages_.empty_count(backing_.top_rung()) == 0;
    idle_count = NextIdleCount();
  }
  while (idle_count != 0 && GiveBackOne(Backing::kHugetlb)) --idle_count;
  return slot;
}

// The same in a page populated for it.
std::optional<size_t> NodeArena::TakeFresh(size_t slot_count, SlotTag tag, Region region) {
  const GrowthTurn turn(GrowsInTurns(region) ? &growth_turn_ : nullptr);
  bool last_empty = false;
  if (GrowsInTurns(region)) {
    // Whoever had the turn before may have populated enough for all that wait.
    if (const auto slot = TakePopulated(slot_count, tag, &last_empty)) return slot;
  }
  if (!backing_.WorthTrying(region)) return std::nullopt;
  const PageIndex unit = PopulateOne(region);
  if (unit == kNoPage) return std::nullopt;
  MutexLock lock(mutex_);
  pages_.PutUnitPopulated(unit);
  const size_t slot = pages_.TakeSlotsIn(unit, slot_count);
  Mark(slot, slot_count, tag);
  return slot;
}

bool NodeArena::StartDraining(const void* address, size_t taken_slot_count) {
  MutexLock lock(mutex_);
  return pages_.StartDraining(pages_.UnitOf(PageOf(address)), taken_slot_count);
}

void NodeArena::StopDraining(const void* address) {
  MutexLock lock(mutex_);
  pages_.StopDraining(pages_.UnitOf(PageOf(address)));
}

// True: some did.
bool NodeArena::StopDrainingAll() {
  MutexLock lock(mutex_);
  if (pages_.draining_count() == 0) return false;
  for (size_t i = 0; i < pages_.page_count() && pages_.draining_count() != 0;
       i += pages_.UnitPageCount(ToPageIndex(i))) {
    if (i == pages_.hugetlb_border() && i < pages_.fallback_border()) i = pages_.fallback_border();
    if (i < pages_.page_count()) pages_.StopDraining(ToPageIndex(i));
  }
  return true;
}

void* NodeArena::AllocateSlab(size_t slot_count, SlotTag tag) { return TakeInside(slot_count, tag); }

void* NodeArena::AllocateSlabInUse(size_t slot_count, SlotTag tag) {
  return TakeInUse(slot_count, tag, Backing::kSmall);
}

void* NodeArena::AllocateSlabInHole(size_t slot_count, SlotTag tag) {
  return TakeInUse(slot_count, tag, backing_.top_rung());
}

void* NodeArena::TakeInUse(size_t slot_count, SlotTag tag, Backing lowest_rung) {
  MutexLock lock(mutex_);
  const std::optional<size_t> slot = pages_.TakeSlotsInUse(slot_count, lowest_rung);
  if (!slot) return nullptr;
  Mark(*slot, slot_count, tag);
  return map_.AddressOfSlot(first_slot_ + *slot);
}

void* NodeArena::AllocateRun(size_t slot_count) {
  if (slot_count <= kSlotsPerHugePage) return TakeInside(slot_count, kRunHead);
  for (const Region region : {Region::kHugetlb, Region::kFallback}) {
    if (!backing_.UsesRegion(region)) continue;
    if (void* run = AllocateSpan(slot_count, region)) return run;
  }
  return nullptr;
}

// A populated unit that nobody else knows of yet; kNoPage when neither rung nor budget gives one.
PageIndex NodeArena::Grow() {
  for (const Region region : {Region::kHugetlb, Region::kFallback}) {
    if (!backing_.UsesRegion(region) || !backing_.WorthTrying(region)) continue;
    const PageIndex unit = PopulateOne(region);
    if (unit != kNoPage) return unit;
  }
  return kNoPage;
}

PageIndex NodeArena::PopulateOne(Region region) {
  if (!budget_.TryTake(backing_.UnitBytes(region))) return kNoPage;
  std::optional<PageIndex> unit;
  {
    MutexLock lock(mutex_);
    unit = pages_.TakeVacant(region);
  }
  if (unit) {
    const std::optional<PopulatedPage> populated = backing_.Populate(*unit, region);
    MutexLock lock(mutex_);
    if (populated) {
      NotePopulated(*unit, *populated);
      return *unit;
    }
    pages_.PutVacant(*unit);
  }
  budget_.Return(backing_.UnitBytes(region));
  return kNoPage;
}

void NodeArena::NotePopulated(PageIndex unit, const PopulatedPage& populated) {
  pages_.MarkPresent(unit, populated.backing, populated.unverified);
  unverified_count_ += populated.unverified ? pages_.UnitPageCount(unit) : 0;
  if (populated.backing > backing_.top_rung()) {
    degraded_count_.fetch_add(pages_.UnitPageCount(unit), std::memory_order_relaxed);
  }
}

// A giant page ahead of need would be memory that nobody may ever use: there is none.
void NodeArena::KeepOneAhead() {
  const Region region = RegionOf(backing_.top_rung());
  if (GrowsInTurns(region) || !backing_.WorthTrying(region)) return;
  if (ahead_busy_.exchange(true, std::memory_order_relaxed)) return;
  const PageIndex page = PopulateOne(region);
  if (page != kNoPage) {
    MutexLock lock(mutex_);
    pages_.PutUnitPopulated(page);
  }
  ahead_busy_.store(false, std::memory_order_relaxed);
}

void NodeArena::PopulateAhead(size_t bytes) {
  size_t populated_bytes = 0;
  while (populated_bytes < bytes) {
    const PageIndex unit = Grow();
    if (unit == kNoPage) return;
    populated_bytes += backing_.UnitBytes(backing_.RegionAt(unit));
    MutexLock lock(mutex_);
    pages_.PutUnitPopulated(unit);
  }
}

// On giant pages long runs take turns as a whole: two at once would each claim, and populate, units of their own.
void* NodeArena::AllocateSpan(size_t slot_count, Region region) {
  const GrowthTurn turn(GrowsInTurns(region) ? &growth_turn_ : nullptr);
  std::optional<Span> span;
  {
    MutexLock lock(mutex_);
    span = pages_.TakeSpan(region, slot_count / kSlotsPerHugePage, slot_count % kSlotsPerHugePage);
  }
  if (!span) return nullptr;
  const bool populated = PopulateSpan(*span);
  FinishSpan(*span, populated);
  if (!populated) {
    // What was populated in vain on a lower rung does not stay.
    while (backing_.top_rung() != Backing::kSmall && GiveBackOne(Below(backing_.top_rung()))) {
    }
    return nullptr;
  }
  return map_.AddressOfSlot(first_slot_ + ToSize(span->first) * kSlotsPerHugePage);
}

// Populates what is not present of a claimed span. Contiguity is only virtual: where budget or node are exhausted, an
// empty unit elsewhere is given back and its memory populated here.
bool NodeArena::PopulateSpan(const Span& span) {
  const Region region = backing_.RegionAt(span.first);
  const size_t first = ToSize(span.first);
  const size_t end = first + span.page_count();
  for (size_t i = first; i < end; ++i) {
    PageIndex unit;
    {
      MutexLock lock(mutex_);
      if (pages_.page(ToPageIndex(i)).present) continue;
      unit = pages_.UnitOf(ToPageIndex(i));
    }
    while (!budget_.TryTake(backing_.UnitBytes(region))) {
      if (!GiveBackOne(Backing::kHugetlb)) return false;
    }
    std::optional<PopulatedPage> populated = backing_.Populate(unit, region);
    while (!populated && GiveBackOne(Backing::kHugetlb)) populated = backing_.Populate(unit, region);
    if (!populated) {
      budget_.Return(backing_.UnitBytes(region));
      return false;
    }
    MutexLock lock(mutex_);
    NotePopulated(unit, *populated);
    // What the unit has beyond the ends of the span is anybody's.
    for (size_t k = ToSize(unit); k < ToSize(unit) + pages_.UnitPageCount(unit); ++k) {
      if (k < first || k >= end) pages_.PutPopulated(ToPageIndex(k));
    }
  }
  return true;
}

// Ends what TakeSpan began: keeps the span as a run, or puts everything back.
void NodeArena::FinishSpan(const Span& span, bool keep) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < span.page_count(); ++i) {
    const PageIndex page = ToPageIndex(ToSize(span.first) + i);
    const uint32_t mask = i < span.full_page_count ? UINT32_MAX : MaskOf(span.tail_slot_count, 0);
    HugePage& entry = pages_.page(page);
    if (entry.state == PageState::kPopulated) {  // a shared tail: its slots were taken when the span was claimed
      if (!keep) pages_.FreeSlots(page, mask);
    } else if (entry.present) {
      entry.taken = keep ? mask : 0;
      pages_.PutPopulated(page);
    } else if (entry.state == PageState::kBusy) {
      pages_.PutVacant(pages_.UnitOf(page));
    }
  }
  if (keep) {
    const size_t slot_count = span.full_page_count * kSlotsPerHugePage + span.tail_slot_count;
    Mark(ToSize(span.first) * kSlotsPerHugePage, slot_count, kRunHead);
  }
}

void NodeArena::Free(void* run, size_t slot_count) {
  const size_t slot = map_.SlotOf(run);
  size_t slot_in_window = slot - first_slot_;
  bool degraded_empty = false;
  size_t unneeded_count = 0;
  {
    MutexLock lock(mutex_);
    map_.MarkFree(slot, slot_count);
    while (slot_count != 0) {
      const PageIndex page = ToPageIndex(slot_in_window / kSlotsPerHugePage);
      const size_t first = slot_in_window % kSlotsPerHugePage;
      const size_t here = slot_count < kSlotsPerHugePage - first ? slot_count : kSlotsPerHugePage - first;
      const bool empty = pages_.FreeSlots(page, MaskOf(here, first));
      degraded_empty |= empty && pages_.page(page).backing > backing_.top_rung();
      unneeded_count += empty && pages_.EndDrain(pages_.UnitOf(page)) ? 1 : 0;
      slot_in_window += here;
      slot_count -= here;
    }
    unneeded_count += NextIdleCount();
  }
  while (degraded_empty && GiveBackOne(Below(backing_.top_rung()))) {
  }
  while (unneeded_count != 0 && GiveBackOne(Backing::kHugetlb)) --unneeded_count;
  // The capacity was lowered: what becomes empty goes until it is kept.
  while (budget_.Exceeded() && GiveBackOne(Backing::kHugetlb)) {
  }
}

void NodeArena::GiveBackIdle() {
  size_t count = 0;
  {
    MutexLock lock(mutex_);
    for (size_t more = NextIdleCount(); more != 0; more = idle_count_ == 0 ? 0 : NextIdleCount()) count += more;
  }
  while (count != 0 && GiveBackOne(Backing::kHugetlb)) --count;
}

// How many units the caller should give back because they stood empty through a whole period; one page stays ahead.
size_t NodeArena::NextIdleCount() {
  if (decay_ns_ == 0) return 0;
  size_t empty_count = 0;
  for (size_t i = 0; i < kBackingCount; ++i) empty_count += pages_.empty_count(static_cast<Backing>(i));
  least_empty_count_ = std::min(least_empty_count_, empty_count);
  const uint64_t now_ns = os_.NowNs();
  if (now_ns - period_start_ns_ >= decay_ns_) {
    const size_t spare_count = least_empty_count_ - std::min<size_t>(least_empty_count_, 1);
    idle_count_ = spare_count * kHugePageBytes / backing_.UnitBytes(backing_.RegionAt(ToPageIndex(0)));
    least_empty_count_ = empty_count;
    period_start_ns_ = now_ns;
  }
  const size_t count = std::min(idle_count_, kIdleUnitsPerCall);
  idle_count_ -= count;
  return count;
}

bool NodeArena::GiveBackOne(Backing highest) {
  std::optional<PageIndex> unit;
  {
    MutexLock lock(mutex_);
    unit = pages_.TakeEmpty(highest);
  }
  if (!unit) return false;
  const bool given_back = backing_.GiveBack(*unit);
  {
    MutexLock lock(mutex_);
    if (!given_back) {
      pages_.PutUnitPopulated(*unit);
      return false;
    }
    unverified_count_ -= pages_.page(*unit).unverified ? pages_.UnitPageCount(*unit) : 0;
    if (pages_.page(*unit).backing > backing_.top_rung()) {
      degraded_count_.fetch_sub(pages_.UnitPageCount(*unit), std::memory_order_relaxed);
    }
    pages_.PutVacant(*unit);
  }
  budget_.Return(backing_.UnitBytes(backing_.RegionAt(*unit)));
  return true;
}

void NodeArena::Trim(size_t target_bytes) {
  while (budget_.committed_bytes() > target_bytes && GiveBackOne(Backing::kHugetlb)) {
  }
}

Backing NodeArena::BackingOf(const void* address) {
  MutexLock lock(mutex_);
  return pages_.page(PageOf(address)).backing;
}

size_t NodeArena::draining_bytes() {
  MutexLock lock(mutex_);
  return pages_.draining_count() * kHugePageBytes;
}

void NodeArena::AddStats(NodeStats* stats) {
  stats->node_id = backing_.node_id();
  stats->misplaced_count = backing_.misplaced_count();
  MutexLock lock(mutex_);
  for (size_t i = 0; i < kBackingCount; ++i) {
    const Backing backing = static_cast<Backing>(i);
    const uint64_t bytes = pages_.populated_count(backing) * kHugePageBytes;
    const uint64_t empty_bytes = pages_.empty_count(backing) * kHugePageBytes;
    stats->committed_bytes[i] = bytes;
    stats->empty_bytes += empty_bytes;
    stats->used_bytes += bytes - empty_bytes;
    stats->degraded_bytes += backing > backing_.top_rung() ? bytes : 0;
    stats->refused_count[i] = backing_.refused_count(backing);
  }
  stats->draining_bytes = pages_.draining_count() * kHugePageBytes;
  stats->unverified_bytes = unverified_count_ * kHugePageBytes;
}

bool NodeArena::Check(std::string* why) {
  MutexLock lock(mutex_);
  if (!pages_.Check(why)) return false;
  // Every taken slot is marked, every other one of the used pages is not.
  for (size_t i = 0; i < pages_.page_count(); ++i) {
    if (i == pages_.hugetlb_border() && i < pages_.fallback_border()) i = pages_.fallback_border();
    if (i >= pages_.page_count()) break;
    for (size_t s = 0; s < kSlotsPerHugePage; ++s) {
      const bool taken = (pages_.page(ToPageIndex(i)).taken >> s & 1) != 0;
      const size_t slot = first_slot_ + i * kSlotsPerHugePage + s;
      if (taken != (map_.Tag(slot) != kFree)) {
        *why =
            "slot " + std::to_string(slot) + ": taken in the page's books and free in the map, or the other way round";
        return false;
      }
    }
  }
  return true;
}

}  // namespace hugepool::internal
