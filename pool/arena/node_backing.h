// NodeBacking: one node's window of address space, and the ladder of page kinds by which memory gets behind it.
//
// Shape      the lower half of the window is one hugetlb mapping, the upper half one anonymous mapping that grows
//            down; both are bound to the node before anything is populated. Pages are never replaced by new mappings
//            (that would lose the binding, MADV_DONTFORK and MADV_DONTDUMP of the page and split the mapping), only
//            populated and given back, so a window stays at three mappings however often the ladder is climbed.
//            The hugetlb half has pages of 2 MiB, or of 1 GiB where the pool asks for them (giant pages).
// Units      page indexes count 2 MiB; a giant page is named by the first of its 512
// Threads    any; no lock is taken and none may be held by the caller: calls sleep in the kernel
// Invariant  a page that Populate reports present was populated with the error seen (never a SIGBUS later) and was
//            found on its node, unless the system refuses to bind or to tell, which is counted
// Errors     Prepare fills an Error; Populate says what stands there now
// Cost       Populate 0.2–5 ms, a giant page 0.04–5 s; GiveBack some 10 µs
#ifndef HUGEPOOL_ARENA_NODE_BACKING_H_
#define HUGEPOOL_ARENA_NODE_BACKING_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "arena/page_table.h"
#include "hugepool/error.h"
#include "hugepool/types.h"
#include "os/os_memory.h"

namespace hugepool::internal {

struct PopulatedPage {
  Backing backing = Backing::kSmall;
  bool unverified = false;
};

class NodeBacking {
 public:
  struct Config {
    int node_id = -1;
    uint64_t node_memory_bytes = 0;
    char* window = nullptr;
    size_t window_bytes = 0;
    HugePages huge_pages = HugePages::kPreferred;
    size_t page_bytes = kHugePageBytes;  // of the hugetlb half
    bool strict = false;                 // a page of another node is never used, not even where binding is refused
    bool only_node = false;              // the machine has no other node that this process may use
  };

  NodeBacking(OsMemory& os, const Config& config);
  ~NodeBacking();
  NodeBacking(const NodeBacking&) = delete;
  NodeBacking& operator=(const NodeBacking&) = delete;

  // Binds the window and maps its halves. What the system may deny without harm is counted instead; a strict placement
  // that can be neither bound nor verified is refused, and so is `required` where there are no such pages.
  bool Prepare(Error* error);

  // The first rung that the options ask for; anything below is degraded.
  Backing top_rung() const { return top_rung_; }
  // Which mapping the next page should come from: kHugetlb or kFallback, or both in turn.
  bool UsesRegion(Region region) const;

  // Populates UnitBytes(region) from the page on, whatever rung of the region works. Nothing is present where this
  // returns nothing.
  std::optional<PopulatedPage> Populate(PageIndex page, Region region);
  // Gives back to the system what Populate made present. False: the kernel cannot (hugetlb before 5.18); it stays.
  bool GiveBack(PageIndex page);

  // False while the region refused so recently that asking again is not worth the system calls.
  bool WorthTrying(Region region) const;
  // Whether the system has a reserved page free, where these are the top rung; true where it does not say. Asked once in
  // 10 ms, by reading a small file.
  bool TopMayBeHad();
  // Something was given back: ask again at once.
  void Retry() { retry_at_ns_[0] = retry_at_ns_[1] = 0; }

  size_t hugetlb_page_count() const { return window_bytes_ / 2 / kHugePageBytes; }
  size_t page_count() const { return window_bytes_ / kHugePageBytes; }
  // What is populated and given back at a time.
  size_t UnitBytes(Region region) const { return region == Region::kHugetlb ? page_bytes_ : kHugePageBytes; }
  Region RegionAt(PageIndex page) const {
    return ToSize(page) < hugetlb_page_count() ? Region::kHugetlb : Region::kFallback;
  }
  char* AddressOf(PageIndex page) const { return window_ + ToSize(page) * kHugePageBytes; }
  int node_id() const { return node_id_; }

  uint64_t refused_count(Backing rung) const { return refused_counts_[static_cast<size_t>(rung)]; }
  uint64_t misplaced_count() const { return misplaced_count_; }
  uint64_t refused_bind_count() const { return refused_bind_count_; }
  uint64_t refused_locate_count() const { return refused_locate_count_; }
  uint64_t refused_give_back_count() const { return refused_give_back_count_; }

 private:
  enum class Location { kHere, kElsewhere, kUnknown };

  void Refused(Backing rung, Region region);
  bool NodeHasRoom();
  Location Locate(PageIndex page, bool one_page);
  std::optional<PopulatedPage> Placed(PageIndex page, Backing backing);

  OsMemory& os_;
  const int node_id_;
  const uint64_t node_reserve_bytes_;  // left to everybody else when small pages are populated
  char* const window_;
  const size_t window_bytes_;
  const HugePages huge_pages_;
  const size_t page_bytes_;
  const bool strict_;
  const bool only_node_;
  const Backing top_rung_;
  bool hugetlb_mapped_ = false;  // constant after Prepare
  bool bound_ = false;           // constant after Prepare
  // Counters and hints: relaxed in meaning, they publish nothing.
  std::array<std::atomic<uint64_t>, 2> retry_at_ns_{};  // by Region
  std::atomic<uint64_t> look_at_ns_{0};                 // at the free pages of the top rung
  std::atomic<bool> top_may_be_had_{true};
  std::array<std::atomic<uint64_t>, kBackingCount> refused_counts_{};
  std::atomic<uint64_t> misplaced_count_{0};
  std::atomic<uint64_t> refused_bind_count_{0};
  std::atomic<uint64_t> refused_locate_count_{0};
  std::atomic<uint64_t> refused_give_back_count_{0};
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_NODE_BACKING_H_
