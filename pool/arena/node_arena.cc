#include "arena/node_arena.h"

namespace hugepool::internal {
namespace {

constexpr uint32_t MaskOf(size_t slot_count, size_t first) {
  const uint32_t low = slot_count >= kSlotsPerHugePage ? UINT32_MAX : (uint32_t{1} << slot_count) - 1;
  return low << first;
}

constexpr Backing Below(Backing rung) { return static_cast<Backing>(static_cast<uint8_t>(rung) + 1); }

}  // namespace

NodeArena::NodeArena(NodeBacking& backing, CommitBudget& budget, AddressMap& map, HugePage* pages)
    : backing_(backing),
      budget_(budget),
      map_(map),
      first_slot_(map.SlotOf(backing.AddressOf(ToPageIndex(0)))),
      pages_(pages, backing.page_count(), backing.hugetlb_page_count()) {}

void NodeArena::Mark(size_t slot_in_window, size_t slot_count, SlotTag tag) {
  const size_t slot = first_slot_ + slot_in_window;
  if (tag == kRunHead) {
    map_.MarkRun(slot, slot_count);
  } else {
    map_.MarkSlab(slot, slot_count, tag);
  }
}

void* NodeArena::TakeInside(size_t slot_count, SlotTag tag) {
  std::optional<size_t> slot;
  bool ahead_wanted = false;
  {
    MutexLock lock(mutex_);
    slot = pages_.TakeSlots(slot_count);
    if (slot) Mark(*slot, slot_count, tag);
    ahead_wanted = pages_.empty_count(backing_.top_rung()) == 0;
  }
  if (!slot) {
    const PageIndex page = Grow();
    if (page == kNoPage) return nullptr;
    MutexLock lock(mutex_);
    pages_.PutPopulated(page);
    slot = pages_.TakeSlotsIn(page, slot_count);
    Mark(*slot, slot_count, tag);
  }
  if (ahead_wanted) KeepOneAhead();
  return map_.AddressOfSlot(first_slot_ + *slot);
}

void* NodeArena::AllocateSlab(size_t slot_count, SlotTag tag) { return TakeInside(slot_count, tag); }

void* NodeArena::AllocateRun(size_t slot_count) {
  if (slot_count <= kSlotsPerHugePage) return TakeInside(slot_count, kRunHead);
  for (const Region region : {Region::kHugetlb, Region::kFallback}) {
    if (!backing_.UsesRegion(region)) continue;
    if (void* run = AllocateSpan(slot_count, region)) return run;
  }
  return nullptr;
}

// A populated page that nobody else knows of yet; kNoPage when neither rung nor budget gives one.
PageIndex NodeArena::Grow() {
  for (const Region region : {Region::kHugetlb, Region::kFallback}) {
    if (!backing_.UsesRegion(region) || !backing_.WorthTrying(region)) continue;
    const PageIndex page = PopulateOne(region);
    if (page != kNoPage) return page;
  }
  return kNoPage;
}

PageIndex NodeArena::PopulateOne(Region region) {
  if (!budget_.TryTake(kHugePageBytes)) return kNoPage;
  std::optional<PageIndex> page;
  {
    MutexLock lock(mutex_);
    page = pages_.TakeVacant(region);
  }
  if (page) {
    const std::optional<PopulatedPage> populated = backing_.Populate(*page, region);
    MutexLock lock(mutex_);
    if (populated) {
      HugePage& entry = pages_.page(*page);
      entry.backing = populated->backing;
      entry.unverified = populated->unverified;
      unverified_count_ += populated->unverified ? 1 : 0;
      return *page;
    }
    pages_.PutVacant(*page);
  }
  budget_.Return(kHugePageBytes);
  return kNoPage;
}

void NodeArena::KeepOneAhead() {
  const Region region = RegionOf(backing_.top_rung());
  if (!backing_.WorthTrying(region)) return;
  if (ahead_busy_.exchange(true, std::memory_order_relaxed)) return;
  const PageIndex page = PopulateOne(region);
  if (page != kNoPage) {
    MutexLock lock(mutex_);
    pages_.PutPopulated(page);
  }
  ahead_busy_.store(false, std::memory_order_relaxed);
}

size_t NodeArena::PopulateAhead(size_t page_count) {
  for (size_t i = 0; i < page_count; ++i) {
    const PageIndex page = Grow();
    if (page == kNoPage) return i;
    MutexLock lock(mutex_);
    pages_.PutPopulated(page);
  }
  return page_count;
}

void* NodeArena::AllocateSpan(size_t slot_count, Region region) {
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
// empty page elsewhere is given back and its memory populated here.
bool NodeArena::PopulateSpan(const Span& span) {
  const Region region = ToSize(span.first) < backing_.hugetlb_page_count() ? Region::kHugetlb : Region::kFallback;
  for (size_t i = 0; i < span.page_count(); ++i) {
    const PageIndex page = ToPageIndex(ToSize(span.first) + i);
    {
      MutexLock lock(mutex_);
      if (pages_.page(page).present) continue;
    }
    while (!budget_.TryTake(kHugePageBytes)) {
      if (!GiveBackOne(Backing::kHugetlb)) return false;
    }
    std::optional<PopulatedPage> populated = backing_.Populate(page, region);
    while (!populated && GiveBackOne(Backing::kHugetlb)) populated = backing_.Populate(page, region);
    if (!populated) {
      budget_.Return(kHugePageBytes);
      return false;
    }
    MutexLock lock(mutex_);
    HugePage& entry = pages_.page(page);
    entry.present = true;
    entry.backing = populated->backing;
    entry.unverified = populated->unverified;
    unverified_count_ += populated->unverified ? 1 : 0;
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
    } else {
      pages_.PutVacant(page);
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
  {
    MutexLock lock(mutex_);
    map_.MarkFree(slot, slot_count);
    while (slot_count != 0) {
      const PageIndex page = ToPageIndex(slot_in_window / kSlotsPerHugePage);
      const size_t first = slot_in_window % kSlotsPerHugePage;
      const size_t here = slot_count < kSlotsPerHugePage - first ? slot_count : kSlotsPerHugePage - first;
      const bool empty = pages_.FreeSlots(page, MaskOf(here, first));
      degraded_empty |= empty && pages_.page(page).backing > backing_.top_rung();
      slot_in_window += here;
      slot_count -= here;
    }
  }
  while (degraded_empty && GiveBackOne(Below(backing_.top_rung()))) {
  }
}

bool NodeArena::GiveBackOne(Backing highest) {
  std::optional<PageIndex> page;
  {
    MutexLock lock(mutex_);
    page = pages_.TakeEmpty(highest);
  }
  if (!page) return false;
  const bool given_back = backing_.GiveBack(*page);
  {
    MutexLock lock(mutex_);
    if (!given_back) {
      pages_.PutPopulated(*page);
      return false;
    }
    unverified_count_ -= pages_.page(*page).unverified ? 1 : 0;
    pages_.PutVacant(*page);
  }
  budget_.Return(kHugePageBytes);
  return true;
}

void NodeArena::Trim(size_t target_bytes) {
  while (budget_.committed_bytes() > target_bytes && GiveBackOne(Backing::kHugetlb)) {
  }
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
