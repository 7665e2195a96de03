// PageTable: a random walk against naive books, and the choice of pages.
#include "arena/page_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::kSanitized;
using ::hugepool::testing::Seed;

constexpr uint32_t MaskOf(size_t slot_count, size_t first) {
  return (slot_count == 32 ? UINT32_MAX : (uint32_t{1} << slot_count) - 1) << first;
}

bool HasRoom(uint32_t taken, size_t slot_count) {
  for (size_t first = 0; first + slot_count <= 32; ++first) {
    if ((taken & MaskOf(slot_count, first)) == 0) return true;
  }
  return false;
}

// Of the stretches of free slots in a page: the longest, and that around a free slot.
size_t LongestIn(uint32_t taken) {
  size_t longest = 0;
  while (longest < 32 && HasRoom(taken, longest + 1)) ++longest;
  return longest;
}
size_t StretchAround(uint32_t taken, size_t slot) {
  size_t first = slot, last = slot;
  while (first > 0 && (taken >> (first - 1) & 1) == 0) --first;
  while (last < 31 && (taken >> (last + 1) & 1) == 0) ++last;
  return last - first + 1;
}

// A PageTable with zeroed entries, as the pool gives them, and naive books beside it.
class PageTableWalk {
 public:
  PageTableWalk(size_t page_count, size_t hugetlb_page_count, size_t unit_page_count, uint64_t seed)
      : entries_(static_cast<HugePage*>(std::calloc(page_count, sizeof(HugePage))), std::free),
        table(entries_.get(), page_count, hugetlb_page_count, unit_page_count),
        taken_(page_count),
        populated_(page_count),
        hugetlb_page_count_(hugetlb_page_count),
        unit_page_count_(unit_page_count),
        random_(seed) {}

  void Step() {
    switch (Below(10)) {
      case 0: return Populate();
      case 1: return TakeEmpty();
      case 2: return TakeSpan();
      case 8: return StartDraining();
      case 9: return StopDraining();
      case 3:
      case 4:
      case 5: return FreeOne();
      default: return TakeRun();
    }
  }

  void ExpectSame() {
    std::string why;
    ASSERT_TRUE(table.Check(&why)) << why;
    std::array<size_t, kBackingCount> populated{};
    std::array<size_t, kBackingCount> empty{};
    for (size_t i = 0; i < taken_.size(); ++i) {
      const HugePage& page = table.page(ToPageIndex(i));
      ASSERT_EQ(page.taken, taken_[i]) << "page " << i;
      ASSERT_EQ(page.state == PageState::kPopulated, populated_[i]) << "page " << i;
      if (!populated_[i]) continue;
      ++populated[static_cast<size_t>(page.backing)];
      if (taken_[i] == 0) ++empty[static_cast<size_t>(page.backing)];
    }
    for (size_t i = 0; i < kBackingCount; ++i) {
      ASSERT_EQ(table.populated_count(static_cast<Backing>(i)), populated[i]);
      ASSERT_EQ(table.empty_count(static_cast<Backing>(i)), empty[i]);
    }
    size_t draining_page_count = 0;
    for (const size_t first : draining_) draining_page_count += UnitOf(first).last - first;
    ASSERT_EQ(table.draining_count(), draining_page_count);
  }

 private:
  struct Run {
    size_t slot = 0;
    size_t slot_count = 0;
  };

  size_t Below(size_t limit) { return random_() % limit; }

  // The pages that come and go together with this one: [first, last).
  struct Unit {
    size_t first = 0;
    size_t last = 0;
  };
  Unit UnitOf(size_t page) const {
    if (page >= hugetlb_page_count_) return {page, page + 1};
    const size_t first = page / unit_page_count_ * unit_page_count_;
    return {first, first + unit_page_count_};
  }
  bool IsEmpty(const Unit& unit) const {
    for (size_t i = unit.first; i < unit.last; ++i) {
      if (!populated_[i] || taken_[i] != 0) return false;
    }
    return true;
  }

  Backing BackingFor(size_t page) {
    if (page < hugetlb_page_count_) return Backing::kHugetlb;
    return Below(2) == 0 ? Backing::kTransparentHuge : Backing::kSmall;
  }

  void Populate() {
    const Region region = Below(2) == 0 ? Region::kHugetlb : Region::kFallback;
    const size_t first = region == Region::kHugetlb ? 0 : hugetlb_page_count_;
    const size_t last = region == Region::kHugetlb ? hugetlb_page_count_ : taken_.size();
    const std::optional<PageIndex> page = table.TakeVacant(region);
    if (!page) {
      // Only a region without a vacant page refuses.
      for (size_t i = first; i < last; ++i) EXPECT_TRUE(populated_[i]) << "page " << i;
      return;
    }
    ASSERT_GE(ToSize(*page), first);
    ASSERT_LT(ToSize(*page), last);
    ASSERT_FALSE(populated_[ToSize(*page)]);
    const Unit unit = UnitOf(ToSize(*page));
    ASSERT_EQ(unit.first, ToSize(*page));
    for (size_t i = unit.first; i < unit.last; ++i) ASSERT_EQ(table.page(ToPageIndex(i)).state, PageState::kBusy);
    if (Below(4) == 0) return table.PutVacant(*page);
    table.MarkPresent(*page, BackingFor(ToSize(*page)), Below(2) == 0);
    table.PutUnitPopulated(*page);
    for (size_t i = unit.first; i < unit.last; ++i) populated_[i] = true;
  }

  bool Drains(size_t page) const { return draining_.contains(UnitOf(page).first); }

  void StartDraining() {
    const Unit unit = UnitOf(Below(taken_.size()));
    size_t taken_count = 0;
    for (size_t i = unit.first; i < unit.last; ++i) taken_count += static_cast<size_t>(std::popcount(taken_[i]));
    const PageIndex first = ToPageIndex(unit.first);
    EXPECT_FALSE(table.StartDraining(first, taken_count + 1)) << "something else lies there";
    const bool may = taken_count != 0 && !Drains(unit.first);
    EXPECT_EQ(table.StartDraining(first, taken_count), may);
    if (may) draining_.insert(unit.first);
  }
  void StopDraining() {
    const Unit unit = UnitOf(Below(taken_.size()));
    table.StopDraining(ToPageIndex(unit.first));
    draining_.erase(unit.first);
  }

  void TakeRun() {
    const size_t slot_count = 1 + Below(32);
    // Of the uppermost rung that has room, the page with the shortest longest stretch that fits, and the fullest of those.
    size_t wanted_rung = kBackingCount;
    std::pair<size_t, int> wanted{64, 64};
    bool all_in_empty_units = true;  // the empty pages of that rung
    for (size_t i = 0; i < taken_.size(); ++i) {
      if (!populated_[i] || Drains(i) || !HasRoom(taken_[i], slot_count)) continue;
      const size_t rung = static_cast<size_t>(table.page(ToPageIndex(i)).backing);
      const std::pair<size_t, int> here{LongestIn(taken_[i]), std::popcount(~taken_[i])};
      if (rung < wanted_rung || (rung == wanted_rung && here < wanted)) {
        wanted_rung = rung;
        wanted = here;
        all_in_empty_units = true;
      }
      if (rung == wanted_rung && taken_[i] == 0) all_in_empty_units &= IsEmpty(UnitOf(i));
    }
    const std::optional<size_t> slot = table.TakeSlots(slot_count);
    ASSERT_EQ(slot.has_value(), wanted_rung != kBackingCount);
    if (!slot) return;
    const size_t page = *slot / 32;
    const uint32_t mask = MaskOf(slot_count, *slot % 32);
    ASSERT_TRUE(populated_[page]);
    EXPECT_EQ(taken_[page] & mask, 0u) << "slots given twice";
    EXPECT_EQ(static_cast<size_t>(table.page(ToPageIndex(page)).backing), wanted_rung);
    EXPECT_EQ(std::pair(LongestIn(taken_[page]), std::popcount(~taken_[page])), wanted);
    size_t shortest = 64;
    for (size_t first = 0; first + slot_count <= 32; ++first) {
      if ((taken_[page] & MaskOf(slot_count, first)) == 0) {
        shortest = std::min(shortest, StretchAround(taken_[page], first));
      }
    }
    EXPECT_EQ(StretchAround(taken_[page], *slot % 32), shortest) << "a longer stretch was broken without need";
    if (taken_[page] == 0) {
      EXPECT_EQ(IsEmpty(UnitOf(page)), all_in_empty_units) << "an empty unit was broken into without need";
    }
    taken_[page] |= mask;
    runs_.push_back({*slot, slot_count});
  }

  void FreeOne() {
    if (runs_.empty()) return;
    std::swap(runs_[Below(runs_.size())], runs_.back());
    Run run = runs_.back();
    runs_.pop_back();
    while (run.slot_count != 0) {
      const size_t here = std::min(run.slot_count, 32 - run.slot % 32);
      const size_t page = run.slot / 32;
      const uint32_t mask = MaskOf(here, run.slot % 32);
      taken_[page] &= ~mask;
      EXPECT_EQ(table.FreeSlots(ToPageIndex(page), mask), taken_[page] == 0);
      const bool ends = Drains(page) && IsEmpty(UnitOf(page));
      EXPECT_EQ(table.EndDrain(ToPageIndex(UnitOf(page).first)), ends);
      if (ends) draining_.erase(UnitOf(page).first);
      run.slot += here;
      run.slot_count -= here;
    }
  }

  void TakeEmpty() {
    const Backing highest = static_cast<Backing>(Below(kBackingCount));
    int lowest_rung = -1;
    for (size_t i = 0; i < taken_.size(); ++i) {
      const int rung = static_cast<int>(table.page(ToPageIndex(i)).backing);
      if (IsEmpty(UnitOf(i)) && rung >= static_cast<int>(highest)) lowest_rung = std::max(lowest_rung, rung);
    }
    const std::optional<PageIndex> page = table.TakeEmpty(highest);
    ASSERT_EQ(page.has_value(), lowest_rung >= 0);
    if (!page) return;
    EXPECT_EQ(static_cast<int>(table.page(*page).backing), lowest_rung);
    const Unit unit = UnitOf(ToSize(*page));
    EXPECT_EQ(unit.first, ToSize(*page));
    EXPECT_TRUE(IsEmpty(unit));
    if (Below(4) == 0) return table.PutUnitPopulated(*page);  // could not be given back
    table.PutVacant(*page);
    for (size_t i = unit.first; i < unit.last; ++i) populated_[i] = false;
  }

  bool SpanFits(size_t first, size_t full, size_t tail) const {
    for (size_t i = first; i < first + full + (tail != 0 ? 1 : 0); ++i) {
      if (Drains(i)) return false;
    }
    for (size_t i = first; i < first + full; ++i) {
      if (taken_[i] != 0) return false;
    }
    return tail == 0 || (taken_[first + full] & MaskOf(tail, 0)) == 0;
  }

  size_t VacantUnits(size_t first, size_t count) const {
    size_t vacant_count = 0;
    for (size_t i = first; i < first + count; ++i) {
      vacant_count += !populated_[i] && (i == first || UnitOf(i).first == i) ? 1 : 0;
    }
    return vacant_count;
  }

  void TakeSpan() {
    const size_t slot_count = 33 + Below(96);
    const size_t full = slot_count / 32;
    const size_t tail = slot_count % 32;
    const size_t needed = full + (tail != 0 ? 1 : 0);
    const Region region = Below(2) == 0 ? Region::kHugetlb : Region::kFallback;
    const size_t begin = region == Region::kHugetlb ? 0 : hugetlb_page_count_;
    const size_t end = region == Region::kHugetlb ? hugetlb_page_count_ : taken_.size();
    bool fits = false;
    size_t fewest = SIZE_MAX;
    for (size_t first = begin; first + needed <= end; ++first) {
      if (!SpanFits(first, full, tail)) continue;
      fits = true;
      fewest = std::min(fewest, VacantUnits(first, needed));
    }
    const std::optional<Span> span = table.TakeSpan(region, full, tail);
    ASSERT_EQ(span.has_value(), fits) << slot_count << " slots";
    if (!span) return;
    const size_t first = ToSize(span->first);
    ASSERT_GE(first, begin);
    ASSERT_LE(first + needed, end);
    ASSERT_EQ(span->page_count(), needed);
    EXPECT_TRUE(SpanFits(first, full, tail)) << "a span over taken slots";
    if (UnitOf(first).last - UnitOf(first).first > 1) {
      EXPECT_EQ(VacantUnits(first, needed), fewest) << "more units than needed";
    }
    const bool keep = Below(4) != 0;
    // The vacant units in it are busy as a whole; kept, all their pages are populated, else none.
    for (size_t i = first; i < first + needed; ++i) {
      const Unit unit = UnitOf(i);
      HugePage& page = table.page(ToPageIndex(i));
      if (page.state == PageState::kPopulated) continue;
      EXPECT_EQ(page.present, populated_[i]) << "page " << i;
      if (page.present) continue;
      for (size_t k = unit.first; k < unit.last; ++k) {
        EXPECT_EQ(table.page(ToPageIndex(k)).state, page.state) << "page " << k;
      }
      if (!keep) {
        if (page.state == PageState::kBusy) table.PutVacant(ToPageIndex(unit.first));
        continue;
      }
      table.MarkPresent(ToPageIndex(unit.first), BackingFor(i), Below(2) == 0);
      for (size_t k = unit.first; k < unit.last; ++k) {
        populated_[k] = true;
        if (k < first || k >= first + needed) table.PutPopulated(ToPageIndex(k));
      }
    }
    for (size_t i = first; i < first + needed; ++i) {
      const uint32_t mask = i < first + full ? UINT32_MAX : MaskOf(tail, 0);
      HugePage& page = table.page(ToPageIndex(i));
      if (page.state == PageState::kPopulated) {  // a shared tail
        EXPECT_NE(taken_[i], 0u);
        EXPECT_EQ(page.taken, taken_[i] | mask);
        if (!keep) table.FreeSlots(ToPageIndex(i), mask);
      } else if (populated_[i]) {
        EXPECT_EQ(page.state, PageState::kBusy);
        page.taken = keep ? mask : 0;
        table.PutPopulated(ToPageIndex(i));
      }
      if (keep) taken_[i] |= mask;
    }
    if (keep) runs_.push_back({first * 32, slot_count});
  }

  std::unique_ptr<HugePage, void (*)(void*)> entries_;

 public:
  PageTable table;

 private:
  std::vector<uint32_t> taken_;
  std::vector<bool> populated_;
  std::set<size_t> draining_;  // units by their first page
  const size_t hugetlb_page_count_;
  const size_t unit_page_count_;
  std::mt19937_64 random_;
  std::vector<Run> runs_;
};

TEST(PageTable, AgreesWithNaiveBooksAfterEveryStep) {
  const uint64_t seed = Seed();
  for (const auto& [page_count, hugetlb_page_count, unit_page_count] :
       std::vector<std::array<size_t, 3>>{{2, 1, 1}, {16, 8, 1}, {24, 5, 1}, {4, 2, 2}, {24, 16, 4}, {20, 18, 3}}) {
    PageTableWalk walk(page_count, hugetlb_page_count, unit_page_count, seed);
    for (size_t step = 0; step < (kSanitized ? 20'000 : 100'000); ++step) {
      walk.Step();
      walk.ExpectSame();
      if (::testing::Test::HasFailure())
        FAIL() << page_count << " pages, units of " << unit_page_count << ", step " << step;
    }
  }
}

class OnePageTable : public ::testing::Test {
 protected:
  PageIndex Populate(Region region, Backing backing) {
    const PageIndex page = *table_.TakeVacant(region);
    table_.MarkPresent(page, backing, false);
    table_.PutUnitPopulated(page);
    return page;
  }

  std::unique_ptr<HugePage, void (*)(void*)> entries_{static_cast<HugePage*>(std::calloc(8, sizeof(HugePage))),
                                                      std::free};
  PageTable table_{entries_.get(), 8, 4, 1};
};

TEST_F(OnePageTable, HugetlbGrowsUpAndFallbackGrowsDown) {
  EXPECT_EQ(ToSize(*table_.TakeVacant(Region::kHugetlb)), 0u);
  EXPECT_EQ(ToSize(*table_.TakeVacant(Region::kHugetlb)), 1u);
  EXPECT_EQ(ToSize(*table_.TakeVacant(Region::kFallback)), 7u);
  EXPECT_EQ(ToSize(*table_.TakeVacant(Region::kFallback)), 6u);
  EXPECT_EQ(table_.hugetlb_border(), 2u);
  EXPECT_EQ(table_.fallback_border(), 6u);
}

TEST_F(OnePageTable, CheckFindsPagesThatAreStillBusy) {
  std::string why;
  ASSERT_TRUE(table_.Check(&why));
  const PageIndex page = *table_.TakeVacant(Region::kHugetlb);
  EXPECT_FALSE(table_.Check(&why));
  EXPECT_NE(why.find("busy"), std::string::npos) << why;
  table_.PutVacant(page);
  EXPECT_TRUE(table_.Check(&why)) << why;
}

TEST_F(OnePageTable, CheckFindsSlotsTakenBehindItsBack) {
  const PageIndex page = Populate(Region::kHugetlb, Backing::kHugetlb);
  std::string why;
  ASSERT_TRUE(table_.Check(&why)) << why;
  table_.page(page).taken = 1;
  EXPECT_FALSE(table_.Check(&why));
}

TEST_F(OnePageTable, UpperRungsAreUsedFirst) {
  Populate(Region::kFallback, Backing::kSmall);
  Populate(Region::kFallback, Backing::kTransparentHuge);
  const PageIndex best = Populate(Region::kHugetlb, Backing::kHugetlb);
  EXPECT_EQ(*table_.TakeSlots(16) / 32, ToSize(best));
  EXPECT_EQ(*table_.TakeSlots(16) / 32, ToSize(best));
  EXPECT_EQ(table_.page(ToPageIndex(*table_.TakeSlots(16) / 32)).backing, Backing::kTransparentHuge);
}

// Units of four pages: two of them in the hugetlb region.
class UnitTable : public ::testing::Test {
 protected:
  PageIndex Populate(Region region = Region::kHugetlb) {
    const PageIndex unit = *table_.TakeVacant(region);
    table_.MarkPresent(unit, region == Region::kHugetlb ? Backing::kHugetlb : Backing::kSmall, false);
    table_.PutUnitPopulated(unit);
    return unit;
  }

  std::unique_ptr<HugePage, void (*)(void*)> entries_{static_cast<HugePage*>(std::calloc(12, sizeof(HugePage))),
                                                      std::free};
  PageTable table_{entries_.get(), 12, 8, 4};
};

TEST_F(UnitTable, AUnitComesAndGoesWhole) {
  EXPECT_EQ(ToSize(Populate()), 0u);
  EXPECT_EQ(table_.populated_count(Backing::kHugetlb), 4u);
  EXPECT_EQ(table_.hugetlb_border(), 4u);
  const size_t slot = *table_.TakeSlots(1);
  EXPECT_EQ(slot, 0u) << "a fresh unit fills from the bottom";
  EXPECT_FALSE(table_.TakeEmpty(Backing::kHugetlb)) << "three of its pages are empty, and one is not";
  EXPECT_TRUE(table_.FreeSlots(ToPageIndex(0), 1));
  EXPECT_EQ(ToSize(*table_.TakeEmpty(Backing::kHugetlb)), 0u);
  EXPECT_EQ(table_.populated_count(Backing::kHugetlb), 0u);
}

TEST_F(UnitTable, TheFallbackRegionKeepsSinglePages) {
  EXPECT_EQ(ToSize(Populate(Region::kFallback)), 11u);
  EXPECT_EQ(ToSize(Populate(Region::kFallback)), 10u);
  EXPECT_EQ(table_.populated_count(Backing::kSmall), 2u);
}

TEST_F(UnitTable, CheckFindsUnitsOfWhichOnlyAPartIsPresent) {
  Populate();
  std::string why;
  ASSERT_TRUE(table_.Check(&why)) << why;
  table_.page(ToPageIndex(2)) = HugePage{};
  EXPECT_FALSE(table_.Check(&why));
  EXPECT_NE(why.find("unit"), std::string::npos) << why;
}

TEST_F(UnitTable, ASpanGoesWhereItNeedsTheFewestNewUnits) {
  Populate();
  const PageIndex second = Populate();
  (void)table_.TakeSlotsIn(ToPageIndex(5), 32);
  const PageIndex empty = *table_.TakeEmpty(Backing::kHugetlb);
  ASSERT_EQ(ToSize(empty), 0u);
  table_.PutVacant(empty);
  // Pages 0 to 3 are vacant, 5 is taken.
  const Span two = *table_.TakeSpan(Region::kHugetlb, 2, 0);
  EXPECT_EQ(ToSize(two.first), 6u);
  const Span one_and_a_half = *table_.TakeSpan(Region::kHugetlb, 1, 16);
  EXPECT_EQ(ToSize(one_and_a_half.first), 0u);
  EXPECT_EQ(table_.page(ToPageIndex(3)).state, PageState::kBusy) << "a vacant unit is populated whole";
  EXPECT_EQ(table_.page(second).state, PageState::kPopulated);
}

}  // namespace
}  // namespace hugepool::internal
