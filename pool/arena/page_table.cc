#include "arena/page_table.h"

#include <algorithm>
#include <bit>

namespace hugepool::internal {
namespace {

constexpr uint32_t kAllTaken = UINT32_MAX;

constexpr uint32_t LowMask(size_t slot_count) {
  return slot_count >= kSlotsPerHugePage ? kAllTaken : (uint32_t{1} << slot_count) - 1;
}

// Bit s of the result: slots s … s + 2^order - 1 are free and s is a multiple of 2^order.
constexpr uint32_t FreeStarts(uint32_t taken, unsigned order) {
  constexpr std::array<uint32_t, 6> kMultiples = {0xffffffff, 0x55555555, 0x11111111,
                                                  0x01010101, 0x00010001, 0x00000001};
  uint32_t starts = ~taken;
  for (unsigned step = 0; step < order; ++step) starts &= starts >> (1U << step);
  return starts & kMultiples[order];
}

// The order of the largest aligned free run; the page has at least one free slot.
constexpr unsigned LargestOrder(uint32_t taken) {
  unsigned order = 0;
  while (order + 1 < 6 && FreeStarts(taken, order + 1) != 0) ++order;
  return order;
}

constexpr unsigned OrderFor(size_t slot_count) { return static_cast<unsigned>(std::bit_width(slot_count - 1)); }

}  // namespace

PageTable::PageTable(HugePage* pages, size_t page_count, size_t hugetlb_page_count)
    : pages_(pages), page_count_(page_count), hugetlb_page_count_(hugetlb_page_count), fallback_border_(page_count) {
  for (auto& orders : lists_) {
    for (List& list : orders) list.heads.fill(kNoPage);
  }
}

PageTable::List& PageTable::ListOf(const HugePage& page) {
  return lists_[static_cast<size_t>(page.backing)][LargestOrder(page.taken)];
}

void PageTable::Link(PageIndex index) {
  HugePage& entry = page(index);
  if (entry.taken == kAllTaken) return;
  List& list = ListOf(entry);
  const size_t free_count = static_cast<size_t>(std::popcount(~entry.taken));
  PageIndex& head = list.heads[free_count];
  entry.next = head;
  entry.previous = kNoPage;
  entry.listed = true;
  if (head != kNoPage) page(head).previous = index;
  head = index;
  list.nonempty |= uint64_t{1} << free_count;
  if (entry.taken == 0) ++empty_counts_[static_cast<size_t>(entry.backing)];
}

void PageTable::Unlink(PageIndex index) {
  HugePage& entry = page(index);
  if (!entry.listed) return;
  List& list = ListOf(entry);
  const size_t free_count = static_cast<size_t>(std::popcount(~entry.taken));
  if (entry.next != kNoPage) page(entry.next).previous = entry.previous;
  if (entry.previous != kNoPage) {
    page(entry.previous).next = entry.next;
  } else {
    list.heads[free_count] = entry.next;
    if (entry.next == kNoPage) list.nonempty &= ~(uint64_t{1} << free_count);
  }
  entry.listed = false;
  if (entry.taken == 0) --empty_counts_[static_cast<size_t>(entry.backing)];
}

void PageTable::TakeMask(PageIndex index, uint32_t mask) {
  Unlink(index);
  page(index).taken |= mask;
  Link(index);
}

std::optional<size_t> PageTable::TakeSlots(size_t slot_count) {
  const unsigned order = OrderFor(slot_count);
  for (auto& orders : lists_) {
    size_t fullest = kFreeCounts;
    const List* found = nullptr;
    for (size_t o = order; o < kOrderCount; ++o) {
      if (orders[o].nonempty == 0) continue;
      const size_t free_count = static_cast<size_t>(std::countr_zero(orders[o].nonempty));
      if (free_count < fullest) {
        fullest = free_count;
        found = &orders[o];
      }
    }
    if (found != nullptr) return TakeSlotsIn(found->heads[fullest], slot_count);
  }
  return std::nullopt;
}

size_t PageTable::TakeSlotsIn(PageIndex index, size_t slot_count) {
  const uint32_t starts = FreeStarts(page(index).taken, OrderFor(slot_count));
  const size_t slot = static_cast<size_t>(std::countr_zero(starts));
  TakeMask(index, LowMask(slot_count) << slot);
  return ToSize(index) * kSlotsPerHugePage + slot;
}

bool PageTable::FreeSlots(PageIndex index, uint32_t mask) {
  Unlink(index);
  page(index).taken &= ~mask;
  Link(index);
  return page(index).taken == 0;
}

std::optional<PageIndex> PageTable::TakeVacant(Region region) {
  PageIndex index = vacant_heads_[static_cast<size_t>(region)];
  if (index != kNoPage) {
    UnlinkVacant(index);
  } else if (region == Region::kHugetlb) {
    if (hugetlb_border_ == hugetlb_page_count_) return std::nullopt;
    index = ToPageIndex(hugetlb_border_++);
  } else {
    if (fallback_border_ == hugetlb_page_count_) return std::nullopt;
    index = ToPageIndex(--fallback_border_);
  }
  page(index).state = PageState::kBusy;
  return index;
}

void PageTable::PutPopulated(PageIndex index) {
  HugePage& entry = page(index);
  entry.state = PageState::kPopulated;
  entry.present = true;
  ++populated_counts_[static_cast<size_t>(entry.backing)];
  Link(index);
}

void PageTable::PutVacant(PageIndex index) {
  HugePage& entry = page(index);
  entry = HugePage{};
  PageIndex& head = vacant_heads_[ToSize(index) < hugetlb_page_count_ ? 0 : 1];
  entry.next = head;
  entry.listed = true;
  if (head != kNoPage) page(head).previous = index;
  head = index;
}

void PageTable::UnlinkVacant(PageIndex index) {
  HugePage& entry = page(index);
  if (entry.next != kNoPage) page(entry.next).previous = entry.previous;
  if (entry.previous != kNoPage) {
    page(entry.previous).next = entry.next;
  } else {
    vacant_heads_[ToSize(index) < hugetlb_page_count_ ? 0 : 1] = entry.next;
  }
  entry.listed = false;
}

std::optional<PageIndex> PageTable::TakeEmpty(Backing highest) {
  for (size_t backing = kBackingCount; backing-- > static_cast<size_t>(highest);) {
    const PageIndex index = lists_[backing][kOrderCount - 1].heads[kSlotsPerHugePage];
    if (index == kNoPage) continue;
    MakeBusy(index);
    return index;
  }
  return std::nullopt;
}

void PageTable::MakeBusy(PageIndex index) {
  Unlink(index);
  HugePage& entry = page(index);
  entry.state = PageState::kBusy;
  --populated_counts_[static_cast<size_t>(entry.backing)];
}

bool PageTable::SpanFits(size_t first, size_t full_page_count, size_t tail_slot_count, size_t end) const {
  const size_t page_count = full_page_count + (tail_slot_count != 0 ? 1 : 0);
  if (first + page_count > end) return false;
  for (size_t i = first; i < first + full_page_count; ++i) {
    if (pages_[i].state == PageState::kBusy || pages_[i].taken != 0) return false;
  }
  if (tail_slot_count == 0) return true;
  const HugePage& tail = pages_[first + full_page_count];
  return tail.state != PageState::kBusy && (tail.taken & LowMask(tail_slot_count)) == 0;
}

Span PageTable::ClaimSpan(size_t first, size_t full_page_count, size_t tail_slot_count) {
  const Span span{ToPageIndex(first), full_page_count, tail_slot_count};
  for (size_t i = first; i < first + span.page_count(); ++i) {
    HugePage& entry = pages_[i];
    const bool tail = i == first + full_page_count;
    if (entry.state == PageState::kVacant) {
      if (entry.listed) UnlinkVacant(ToPageIndex(i));
      entry.state = PageState::kBusy;
    } else if (tail && entry.taken != 0) {
      TakeMask(ToPageIndex(i), LowMask(tail_slot_count));
    } else {
      MakeBusy(ToPageIndex(i));
    }
  }
  return span;
}

std::optional<Span> PageTable::TakeSpan(Region region, size_t full_page_count, size_t tail_slot_count) {
  const size_t needed = full_page_count + (tail_slot_count != 0 ? 1 : 0);
  // Within the used part first, then over its border; never-used pages beyond the border are vacant, in no list.
  if (region == Region::kHugetlb) {
    const size_t last = std::min(hugetlb_page_count_, hugetlb_border_ + needed);
    for (size_t first = 0; first + needed <= last; ++first) {
      if (!SpanFits(first, full_page_count, tail_slot_count, last)) continue;
      hugetlb_border_ = std::max(hugetlb_border_, first + needed);
      return ClaimSpan(first, full_page_count, tail_slot_count);
    }
    return std::nullopt;
  }
  for (size_t first = fallback_border_; first + needed <= page_count_; ++first) {
    if (SpanFits(first, full_page_count, tail_slot_count, page_count_)) {
      return ClaimSpan(first, full_page_count, tail_slot_count);
    }
  }
  const size_t lowest = fallback_border_ - std::min(needed, fallback_border_ - hugetlb_page_count_);
  for (size_t first = fallback_border_; first-- > lowest;) {
    if (!SpanFits(first, full_page_count, tail_slot_count, page_count_)) continue;
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
  for (size_t i = 0; i < page_count_; ++i) {
    if (i == hugetlb_border_ && i < fallback_border_) i = fallback_border_;
    if (i >= page_count_) break;
    const HugePage& entry = pages_[i];
    if (entry.state == PageState::kBusy) return fail(i, "still busy while nobody uses the pool");
    if (entry.state == PageState::kVacant && entry.taken != 0) return fail(i, "vacant, with taken slots");
    if (entry.state == PageState::kVacant && !entry.listed) return fail(i, "vacant, and in no list");
    if (entry.state != PageState::kPopulated) continue;
    if (entry.listed != (entry.taken != kAllTaken)) return fail(i, "listed and full, or unlisted with room");
    if ((i < hugetlb_page_count_) != (entry.backing == Backing::kHugetlb))
      return fail(i, "backing of the other region");
    ++populated[static_cast<size_t>(entry.backing)];
    if (entry.taken == 0) ++empty[static_cast<size_t>(entry.backing)];
  }
  if (populated != populated_counts_) return fail(0, "populated pages do not add up");
  if (empty != empty_counts_) return fail(0, "empty pages do not add up");
  return true;
}

}  // namespace hugepool::internal
