// PageTable: the books of one node's huge pages: which are populated, on what backing, and which of their slots are
// taken.
//
// Shape      pages 0 … hugetlb_page_count - 1 are the hugetlb region and are used from the bottom up; the rest is the
//            fall-back region and is used from the top down. Populated pages in use that have a free slot stand in
//            lists by (backing, longest stretch of free slots, free slots): a run goes to the page whose longest stretch
//            is the shortest that fits, the fullest of those, and there to the shortest stretch that fits. So long
//            stretches stay whole, and pages that hold little come empty. Pages become present and are given back by unit: one page, or the 512 of a giant page. Empty pages
//            stand in a list of their unit; units stand in lists by what they hold: nothing, some empty pages, only
//            empty pages. So a unit without runs is broken into only when no other unit has room.
// Units      pages are 2 MiB, slots 64 KiB; page indexes count from the bottom of the window; a unit is named by its
//            first page
// Owner      one NodeArena; metadata memory is given by it, zeroed
// Threads    none of its own: the NodeArena calls it under its lock
// Invariant  populated page: listed exactly when it is empty, or has a free slot and its unit does not drain;
//            taken = 0 ⇔ counted in its unit's empty_count and in empty_count()
//            the pages of a unit are present together or not at all, on one backing
//            vacant unit: beyond the region's used border, or in the region's vacant list
//            busy page: in no list; somebody populates its unit or gives it back without the lock
// Cost       O(1) for each page of a unit; TakeSpan walks the region's used pages
#ifndef HUGEPOOL_ARENA_PAGE_TABLE_H_
#define HUGEPOOL_ARENA_PAGE_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "arena/address_map.h"
#include "hugepool/types.h"

namespace hugepool::internal {

enum class PageIndex : uint32_t {};
inline constexpr PageIndex kNoPage = static_cast<PageIndex>(UINT32_MAX);
constexpr size_t ToSize(PageIndex page) { return static_cast<size_t>(page); }
constexpr PageIndex ToPageIndex(size_t index) { return static_cast<PageIndex>(index); }

enum class Region : uint8_t { kHugetlb, kFallback };
constexpr Region RegionOf(Backing backing) {
  return backing == Backing::kHugetlb ? Region::kHugetlb : Region::kFallback;
}

enum class PageState : uint8_t { kVacant, kBusy, kPopulated };

// The list that a unit stands in; kNone: it has no empty page, drains, is busy, or was never used.
enum class UnitList : uint8_t { kNone, kVacant, kPartlyEmpty, kEmpty };

struct PageLinks {
  PageIndex next = kNoPage;
  PageIndex previous = kNoPage;
};

struct HugePage {
  uint32_t taken = 0;  // bit s: slot s belongs to a run
  PageState state = PageState::kVacant;
  Backing backing = Backing::kHugetlb;
  bool present = false;     // populated; a busy page may be either
  bool unverified = false;  // the kernel would not say where the page lies
  bool listed = false;
  PageLinks links{};  // in the list that the page stands in
  // The first page of a unit keeps the unit's books.
  bool draining = false;  // nothing is taken from it any more; ends when the unit is empty
  UnitList unit_list = UnitList::kNone;
  uint32_t empty_count = 0;
  PageIndex first_empty = kNoPage;
  PageLinks unit_links{};
};

// Runs of more than one page: pages [first, first + full_page_count) whole, and the lowest tail_slot_count slots
// behind.
struct Span {
  PageIndex first = kNoPage;
  size_t full_page_count = 0;
  size_t tail_slot_count = 0;
  size_t page_count() const { return full_page_count + (tail_slot_count != 0 ? 1 : 0); }
};

class PageTable {
 public:
  // pages: page_count zeroed entries. hugetlb_unit_page_count: pages of a unit in the hugetlb region, which is whole
  // units; in the fall-back region every page is a unit.
  PageTable(HugePage* pages, size_t page_count, size_t hugetlb_page_count, size_t hugetlb_unit_page_count);

  HugePage& page(PageIndex index) { return pages_[ToSize(index)]; }
  const HugePage& page(PageIndex index) const { return pages_[ToSize(index)]; }
  // The unit of a page, and how many pages it has.
  PageIndex UnitOf(PageIndex index) const;
  size_t UnitPageCount(PageIndex index) const {
    return ToSize(index) < hugetlb_page_count_ ? hugetlb_unit_page_count_ : 1;
  }

  // A run of slot_count (1 to 32) in a populated page, upper rungs first, on any slot. Returns page × 32 + slot.
  std::optional<size_t> TakeSlots(size_t slot_count);
  // The same, but of units that hold a run already and lie on `lowest_rung` or above.
  std::optional<size_t> TakeSlotsInUse(size_t slot_count, Backing lowest_rung);
  // The same in this page, which has room.
  size_t TakeSlotsIn(PageIndex index, size_t slot_count);
  // Frees slots of one page. True: the page is empty now.
  bool FreeSlots(PageIndex index, uint32_t mask);

  // A populated unit of whose slots exactly taken_slot_count are taken, and at least one is: no slot of it is taken from
  // now on, until it is empty or StopDraining. False: it is not such a unit.
  bool StartDraining(PageIndex unit, size_t taken_slot_count);
  void StopDraining(PageIndex unit);
  // True: the unit was draining and is empty now, from here on as any other.
  bool EndDrain(PageIndex unit);

  // A unit to populate: its pages are busy from now on.
  std::optional<PageIndex> TakeVacant(Region region);
  // A busy unit was populated; its pages stay busy.
  void MarkPresent(PageIndex unit, Backing backing, bool unverified);
  // A busy page that is present, or all pages of such a unit: they join the lists.
  void PutPopulated(PageIndex index);
  void PutUnitPopulated(PageIndex unit);
  // A busy unit that holds nothing.
  void PutVacant(PageIndex unit);
  // A populated unit of empty pages on the rung `highest` or below, lowest rung first: busy from now on.
  std::optional<PageIndex> TakeEmpty(Backing highest);

  // Contiguous pages for a span in a region. Whole pages become busy; the units among them that are not present are
  // still to be populated, and are busy beyond the ends of the span too. A tail page that is in use gets its slots
  // taken at once and stays listed; a vacant or empty one becomes busy like the rest. Where units are single pages the
  // first place that fits is taken, since empty pages can move; else the one that needs the fewest new units.
  std::optional<Span> TakeSpan(Region region, size_t full_page_count, size_t tail_slot_count);

  size_t empty_count(Backing backing) const { return empty_counts_[static_cast<size_t>(backing)]; }
  size_t populated_count(Backing backing) const { return populated_counts_[static_cast<size_t>(backing)]; }
  // Pages of units that drain.
  size_t draining_count() const { return draining_count_; }

  // Recounts everything; false: *why.
  bool Check(std::string* why) const;

  // Pages that were ever used, for walks: [0, hugetlb_border) and [fallback_border, page_count).
  size_t hugetlb_border() const { return hugetlb_border_; }
  size_t fallback_border() const { return fallback_border_; }
  size_t page_count() const { return page_count_; }

 private:
  static constexpr size_t kFreeCounts = kSlotsPerHugePage;  // of a page in use: 1 to 31

  struct List {
    std::array<PageIndex, kFreeCounts> heads;
    uint32_t nonempty = 0;  // bit f: heads[f] is a page
  };

  void Push(PageIndex* head, PageIndex index, PageLinks HugePage::*links);
  void Remove(PageIndex* head, PageIndex index, PageLinks HugePage::*links);
  List& ListOf(const HugePage& page);
  PageIndex PageInUse(size_t backing, size_t slot_count) const;
  void Link(PageIndex index);
  void Unlink(PageIndex index);
  PageIndex* HeadOf(PageIndex unit);
  void MoveUnit(PageIndex unit, UnitList list);
  void CountEmpty(PageIndex unit, size_t empty_count);
  UnitList ListOfUnit(PageIndex unit) const;
  void SetDraining(PageIndex unit, bool draining);
  void MakeBusy(PageIndex index);
  void MakeUnitBusy(PageIndex unit);
  void TakeMask(PageIndex index, uint32_t mask);
  std::optional<size_t> FirstInTheWay(size_t first, size_t full_page_count, size_t tail_slot_count) const;
  size_t VacantUnitCount(size_t first, size_t page_count) const;
  std::optional<size_t> FindSpan(size_t first, size_t last, size_t full_page_count, size_t tail_slot_count) const;
  Span ClaimSpan(size_t first, size_t full_page_count, size_t tail_slot_count);

  HugePage* const pages_;
  const size_t page_count_;
  const size_t hugetlb_page_count_;
  const size_t hugetlb_unit_page_count_;
  size_t hugetlb_border_ = 0;                                       // pages below were used at least once; whole units
  size_t fallback_border_;                                          // pages from here on were used at least once
  std::array<PageIndex, 2> vacant_heads_{kNoPage, kNoPage};         // by Region; units
  std::array<std::array<List, kFreeCounts>, kBackingCount> lists_;  // by longest stretch
  std::array<PageIndex, kBackingCount> partly_empty_heads_;         // units
  std::array<PageIndex, kBackingCount> empty_heads_;                // units
  std::array<size_t, kBackingCount> empty_counts_{};
  std::array<size_t, kBackingCount> populated_counts_{};
  size_t draining_count_ = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_PAGE_TABLE_H_
