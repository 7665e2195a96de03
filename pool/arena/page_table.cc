#include "arena/page_table.h"

#include <algorithm>
#include <bit>

namespace hugepool::internal {
namespace {

constexpr uint32_t kAllTaken = UINT32_MAX;

constexpr uint32_t LowMask(size_t slot_count) {
  return slot_count >= kSlotsPerHugePage ? kAllTaken : (uint32_t{1} << slot_count) - 1;
}

// Calls handle(first, slot_count) for each stretch of free slots that ends at a taken one or at the page's end.
template <typename Handle>
constexpr void ForEachFreeStretch(uint32_t taken, Handle handle) {
  for (size_t slot = 0; slot < kSlotsPerHugePage;) {
    const size_t free_count = static_cast<size_t>(std::countr_zero(taken >> slot | (uint64_t{1} << (32 - slot))));
    if (free_count != 0) handle(slot, free_count);
    slot += free_count;
    if (slot < kSlotsPerHugePage) slot += static_cast<size_t>(std::countr_one(taken >> slot));
  }
}

constexpr size_t LongestStretch(uint32_t taken) {
  size_t longest = 0;
  ForEachFreeStretch(taken, [&](size_t, size_t slot_count) { longest = std::max(longest, slot_count); });
  return longest;
}

}  // namespace

PageTable::PageTable(HugePage* pages, size_t page_count, size_t hugetlb_page_count, size_t hugetlb_unit_page_count)
    : pages_(pages),
      page_count_(page_count),
      hugetlb_page_count_(hugetlb_page_count),
      hugetlb_unit_page_count_(hugetlb_unit_page_count),
      fallback_border_(page_count) {
  for (auto& stretches : lists_) {
    for (List& list : stretches) list.heads.fill(kNoPage);
  }
  partly_empty_heads_.fill(kNoPage);
  empty_heads_.fill(kNoPage);
}

PageIndex PageTable::UnitOf(PageIndex index) const {
  return ToPageIndex(ToSize(index) - ToSize(index) % UnitPageCount(index));
}

void PageTable::Push(PageIndex* head, PageIndex index, PageLinks HugePage::*links) {
  page(index).*links = PageLinks{*head, kNoPage};
  if (*head != kNoPage) (page(*head).*links).previous = index;
  *head = index;
}

void PageTable::Remove(PageIndex* head, PageIndex index, PageLinks HugePage::*links) {
  const PageLinks entry = page(index).*links;
  if (entry.next != kNoPage) (page(entry.next).*links).previous = entry.previous;
  if (entry.previous != kNoPage) {
    (page(entry.previous).*links).next = entry.next;
  } else {
    *head = entry.next;
  }
}

PageTable::List& PageTable::ListOf(const HugePage& page) {
  return lists_[static_cast<size_t>(page.backing)][LongestStretch(page.taken)];
}

void PageTable::Link(PageIndex index) {
  HugePage& entry = page(index);
  if (entry.taken == kAllTaken || (entry.taken != 0 && page(UnitOf(index)).draining)) return;
  entry.listed = true;
  if (entry.taken == 0) {
    const PageIndex unit = UnitOf(index);
    Push(&page(unit).first_empty, index, &HugePage::links);
    CountEmpty(unit, page(unit).empty_count + 1);
    ++empty_counts_[static_cast<size_t>(entry.backing)];
    return;
  }
  List& list = ListOf(entry);
  const int free_count = std::popcount(~entry.taken);
  Push(&list.heads[static_cast<size_t>(free_count)], index, &HugePage::links);
  list.nonempty |= uint32_t{1} << free_count;
}

void PageTable::Unlink(PageIndex index) {
  HugePage& entry = page(index);
  if (!entry.listed) return;
  entry.listed = false;
  if (entry.taken == 0) {
    const PageIndex unit = UnitOf(index);
    Remove(&page(unit).first_empty, index, &HugePage::links);
    CountEmpty(unit, page(unit).empty_count - 1);
    --empty_counts_[static_cast<size_t>(entry.backing)];
    return;
  }
  List& list = ListOf(entry);
  const int free_count = std::popcount(~entry.taken);
  PageIndex* const head = &list.heads[static_cast<size_t>(free_count)];
  Remove(head, index, &HugePage::links);
  if (*head == kNoPage) list.nonempty &= ~(uint32_t{1} << free_count);
}

// Of the list that the unit stands in.
PageIndex* PageTable::HeadOf(PageIndex unit) {
  const HugePage& entry = page(unit);
  if (entry.unit_list == UnitList::kVacant) return &vacant_heads_[ToSize(unit) < hugetlb_page_count_ ? 0 : 1];
  auto& heads = entry.unit_list == UnitList::kEmpty ? empty_heads_ : partly_empty_heads_;
  return &heads[static_cast<size_t>(entry.backing)];
}

void PageTable::MoveUnit(PageIndex unit, UnitList list) {
  HugePage& entry = page(unit);
  if (entry.unit_list == list) return;
  if (entry.unit_list != UnitList::kNone) Remove(HeadOf(unit), unit, &HugePage::unit_links);
  entry.unit_list = list;
  if (list != UnitList::kNone) Push(HeadOf(unit), unit, &HugePage::unit_links);
}

void PageTable::CountEmpty(PageIndex unit, size_t empty_count) {
  page(unit).empty_count = static_cast<uint32_t>(empty_count);
  MoveUnit(unit, ListOfUnit(unit));
}

UnitList PageTable::ListOfUnit(PageIndex unit) const {
  const HugePage& entry = page(unit);
  if (entry.empty_count == UnitPageCount(unit)) return UnitList::kEmpty;
  return entry.empty_count == 0 || entry.draining ? UnitList::kNone : UnitList::kPartlyEmpty;
}

void PageTable::TakeMask(PageIndex index, uint32_t mask) {
  Unlink(index);
  page(index).taken |= mask;
  Link(index);
}

PageIndex PageTable::PageInUse(size_t backing, size_t slot_count) const {
  for (size_t longest = slot_count; longest < kSlotsPerHugePage; ++longest) {
    const List& list = lists_[backing][longest];
    if (list.nonempty != 0) return list.heads[static_cast<size_t>(std::countr_zero(list.nonempty))];
  }
  return kNoPage;
}

std::optional<size_t> PageTable::TakeSlotsInUse(size_t slot_count, Backing lowest_rung) {
  for (size_t backing = 0; backing <= static_cast<size_t>(lowest_rung); ++backing) {
    const PageIndex found = PageInUse(backing, slot_count);
    if (found != kNoPage) return TakeSlotsIn(found, slot_count);
    const PageIndex unit = partly_empty_heads_[backing];
    if (unit != kNoPage) return TakeSlotsIn(page(unit).first_empty, slot_count);
  }
  return std::nullopt;
}

std::optional<size_t> PageTable::TakeSlots(size_t slot_count) {
  for (size_t backing = 0; backing < kBackingCount; ++backing) {
    const PageIndex found = PageInUse(backing, slot_count);
    if (found != kNoPage) return TakeSlotsIn(found, slot_count);
    for (const PageIndex unit : {partly_empty_heads_[backing], empty_heads_[backing]}) {
      if (unit != kNoPage) return TakeSlotsIn(page(unit).first_empty, slot_count);
    }
  }
  return std::nullopt;
}

size_t PageTable::TakeSlotsIn(PageIndex index, size_t slot_count) {
  size_t best_slot = 0;
  size_t best_count = SIZE_MAX;
  ForEachFreeStretch(page(index).taken, [&](size_t first, size_t free_count) {
    if (free_count < slot_count || free_count >= best_count) return;
    // At an end of the page where it can: what lies between is then whole once it is free.
    const bool at_the_end = first != 0 && first + free_count == kSlotsPerHugePage;
    best_slot = at_the_end ? kSlotsPerHugePage - slot_count : first;
    best_count = free_count;
  });
  TakeMask(index, LowMask(slot_count) << best_slot);
  return ToSize(index) * kSlotsPerHugePage + best_slot;
}

bool PageTable::FreeSlots(PageIndex index, uint32_t mask) {
  Unlink(index);
  page(index).taken &= ~mask;
  Link(index);
  return page(index).taken == 0;
}

bool PageTable::StartDraining(PageIndex unit, size_t taken_slot_count) {
  HugePage& first = page(unit);
  if (first.state != PageState::kPopulated || first.draining || taken_slot_count == 0) return false;
  const size_t page_count = UnitPageCount(unit);
  size_t taken = 0;
  for (size_t i = 0; i < page_count; ++i) {
    const HugePage& entry = pages_[ToSize(unit) + i];
    if (entry.state != PageState::kPopulated) return false;
    taken += static_cast<size_t>(std::popcount(entry.taken));
  }
  if (taken != taken_slot_count) return false;
  SetDraining(unit, true);
  return true;
}

void PageTable::StopDraining(PageIndex unit) {
  if (page(unit).draining) SetDraining(unit, false);
}

bool PageTable::EndDrain(PageIndex unit) {
  if (!page(unit).draining || page(unit).unit_list != UnitList::kEmpty) return false;
  SetDraining(unit, false);
  return true;
}

void PageTable::SetDraining(PageIndex unit, bool draining) {
  const size_t page_count = UnitPageCount(unit);
  for (size_t i = 0; i < page_count; ++i) Unlink(ToPageIndex(ToSize(unit) + i));
  page(unit).draining = draining;
  for (size_t i = 0; i < page_count; ++i) Link(ToPageIndex(ToSize(unit) + i));
  draining_count_ = draining ? draining_count_ + page_count : draining_count_ - page_count;
}

std::optional<PageIndex> PageTable::TakeVacant(Region region) {
  PageIndex unit = vacant_heads_[static_cast<size_t>(region)];
  if (unit == kNoPage && region == Region::kHugetlb) {
    if (hugetlb_border_ == hugetlb_page_count_) return std::nullopt;
    unit = ToPageIndex(hugetlb_border_);
    hugetlb_border_ += hugetlb_unit_page_count_;
  } else if (unit == kNoPage) {
    if (fallback_border_ == hugetlb_page_count_) return std::nullopt;
    unit = ToPageIndex(--fallback_border_);
  }
  MakeUnitBusy(unit);
  return unit;
}

// A vacant unit.
void PageTable::MakeUnitBusy(PageIndex unit) {
  MoveUnit(unit, UnitList::kNone);
  std::fill_n(&page(unit), UnitPageCount(unit), HugePage{.state = PageState::kBusy});
}

// An empty populated page.
void PageTable::MakeBusy(PageIndex index) {
  Unlink(index);
  HugePage& entry = page(index);
  entry.state = PageState::kBusy;
  --populated_counts_[static_cast<size_t>(entry.backing)];
}

void PageTable::MarkPresent(PageIndex unit, Backing backing, bool unverified) {
  for (size_t i = 0; i < UnitPageCount(unit); ++i) {
    HugePage& entry = pages_[ToSize(unit) + i];
    entry.present = true;
    entry.backing = backing;
    entry.unverified = unverified;
  }
}

void PageTable::PutPopulated(PageIndex index) {
  HugePage& entry = page(index);
  entry.state = PageState::kPopulated;
  ++populated_counts_[static_cast<size_t>(entry.backing)];
  Link(index);
}

// The lowest page ends at the head of the unit's list: a fresh unit fills from the bottom.
void PageTable::PutUnitPopulated(PageIndex unit) {
  for (size_t i = UnitPageCount(unit); i-- > 0;) PutPopulated(ToPageIndex(ToSize(unit) + i));
}

void PageTable::PutVacant(PageIndex unit) {
  std::fill_n(&page(unit), UnitPageCount(unit), HugePage{});
  MoveUnit(unit, UnitList::kVacant);
}

std::optional<PageIndex> PageTable::TakeEmpty(Backing highest) {
  for (size_t backing = kBackingCount; backing-- > static_cast<size_t>(highest);) {
    const PageIndex unit = empty_heads_[backing];
    if (unit == kNoPage) continue;
    for (size_t i = 0; i < UnitPageCount(unit); ++i) MakeBusy(ToPageIndex(ToSize(unit) + i));
    return unit;
  }
  return std::nullopt;
}

// The lowest page that keeps a span from lying here.
std::optional<size_t> PageTable::FirstInTheWay(size_t first, size_t full_page_count, size_t tail_slot_count) const {
  const size_t tail = first + full_page_count;
  for (size_t i = first; i < tail; ++i) {
    if (pages_[i].state == PageState::kBusy || pages_[i].taken != 0 || page(UnitOf(ToPageIndex(i))).draining) return i;
  }
  if (tail_slot_count == 0) return std::nullopt;
  const bool fits = pages_[tail].state != PageState::kBusy && !page(UnitOf(ToPageIndex(tail))).draining &&
                    (pages_[tail].taken & LowMask(tail_slot_count)) == 0;
  return fits ? std::nullopt : std::optional<size_t>(tail);
}

size_t PageTable::VacantUnitCount(size_t first, size_t page_count) const {
  size_t count = 0;
  for (size_t i = ToSize(UnitOf(ToPageIndex(first))); i < first + page_count; i += UnitPageCount(ToPageIndex(i))) {
    count += pages_[i].state == PageState::kVacant ? 1 : 0;
  }
  return count;
}

// Where in [first, last) a span may lie. Of a stretch of free pages it is enough to try its start and the starts of
// the units in it: whatever lies between needs the same units or more.
std::optional<size_t> PageTable::FindSpan(size_t first, size_t last, size_t full_page_count,
                                          size_t tail_slot_count) const {
  const size_t needed = full_page_count + (tail_slot_count != 0 ? 1 : 0);
  std::optional<size_t> found;
  size_t fewest = SIZE_MAX;
  while (first + needed <= last && fewest != 0) {
    if (const auto in_the_way = FirstInTheWay(first, full_page_count, tail_slot_count)) {
      first = *in_the_way + 1;
      continue;
    }
    const PageIndex unit = UnitOf(ToPageIndex(first));
    if (UnitPageCount(unit) == 1) return first;
    if (const size_t count = VacantUnitCount(first, needed); count < fewest) {
      fewest = count;
      found = first;
    }
    first = ToSize(unit) + UnitPageCount(unit);
  }
  return found;
}

Span PageTable::ClaimSpan(size_t first, size_t full_page_count, size_t tail_slot_count) {
  const Span span{ToPageIndex(first), full_page_count, tail_slot_count};
  for (size_t i = first; i < first + span.page_count(); ++i) {
    const PageIndex index = ToPageIndex(i);
    HugePage& entry = pages_[i];
    if (entry.state == PageState::kVacant) {
      MakeUnitBusy(UnitOf(index));
    } else if (entry.state == PageState::kBusy) {
      continue;  // of a unit that was vacant
    } else if (entry.taken != 0) {
      TakeMask(index, LowMask(tail_slot_count));
    } else {
      MakeBusy(index);
    }
  }
  return span;
}

std::optional<Span> PageTable::TakeSpan(Region region, size_t full_page_count, size_t tail_slot_count) {
  const size_t needed = full_page_count + (tail_slot_count != 0 ? 1 : 0);
  // Never-used pages beyond the border are vacant, in no list.
  if (region == Region::kHugetlb) {
    const size_t last = std::min(hugetlb_page_count_, hugetlb_border_ + needed);
    const auto first = FindSpan(0, last, full_page_count, tail_slot_count);
    if (!first) return std::nullopt;
    while (hugetlb_border_ < *first + needed) hugetlb_border_ += hugetlb_unit_page_count_;
    return ClaimSpan(*first, full_page_count, tail_slot_count);
  }
  // Within the used part first, then over its border.
  if (const auto first = FindSpan(fallback_border_, page_count_, full_page_count, tail_slot_count)) {
    return ClaimSpan(*first, full_page_count, tail_slot_count);
  }
  const size_t lowest = fallback_border_ - std::min(needed, fallback_border_ - hugetlb_page_count_);
  for (size_t first = fallback_border_; first-- > lowest;) {
    if (first + needed > page_count_ || FirstInTheWay(first, full_page_count, tail_slot_count)) continue;
    fallback_border_ = first;
    return ClaimSpan(first, full_page_count, tail_slot_count);
  }
  return std::nullopt;
}

bool PageTable::Check(std::string* why) const {
  std::array<size_t, kBackingCount> populated{};
  std::array<size_t, kBackingCount> empty{};
  const auto fail = [why](size_t index, const char* what) {
    *why = "huge page " + std::to_string(index) + ": " + what;
    return false;
  };
  size_t unit_empty_count = 0;
  size_t draining_count = 0;
  for (size_t i = 0; i < page_count_; ++i) {
    if (i == hugetlb_border_ && i < fallback_border_) i = fallback_border_;
    if (i >= page_count_) break;
    const HugePage& entry = pages_[i];
    const HugePage& unit = page(UnitOf(ToPageIndex(i)));
    if (&entry == &unit) unit_empty_count = 0;
    if (entry.state == PageState::kBusy) return fail(i, "still busy while nobody uses the pool");
    if (entry.present != (entry.state == PageState::kPopulated))
      return fail(i, "populated and not present, or vacant and present");
    if (entry.state != unit.state || entry.backing != unit.backing || entry.unverified != unit.unverified) {
      return fail(i, "not as the first page of its unit");
    }
    if (entry.state == PageState::kVacant) {
      if (entry.taken != 0) return fail(i, "vacant, with taken slots");
      if (unit.unit_list != UnitList::kVacant) return fail(i, "vacant, and its unit in no list");
      continue;
    }
    const bool offered = entry.taken == 0 || (entry.taken != kAllTaken && !unit.draining);
    if (entry.listed != offered) return fail(i, "listed and full or draining, or unlisted with room");
    draining_count += unit.draining ? 1 : 0;
    if ((i < hugetlb_page_count_) != (entry.backing == Backing::kHugetlb))
      return fail(i, "backing of the other region");
    ++populated[static_cast<size_t>(entry.backing)];
    if (entry.taken == 0) {
      ++empty[static_cast<size_t>(entry.backing)];
      ++unit_empty_count;
    }
    const size_t unit_page_count = UnitPageCount(ToPageIndex(i));
    if (i + 1 != ToSize(UnitOf(ToPageIndex(i))) + unit_page_count) continue;
    if (unit_empty_count != unit.empty_count) return fail(i, "empty pages of its unit do not add up");
    if (unit.unit_list != ListOfUnit(UnitOf(ToPageIndex(i)))) return fail(i, "its unit stands in the wrong list");
    if (unit.draining && unit.unit_list == UnitList::kEmpty) return fail(i, "its unit is empty and still drains");
  }
  if (draining_count != draining_count_) return fail(0, "draining pages do not add up");
  if (populated != populated_counts_) return fail(0, "populated pages do not add up");
  if (empty != empty_counts_) return fail(0, "empty pages do not add up");
  return true;
}

}  // namespace hugepool::internal
