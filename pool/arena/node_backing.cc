#include "arena/node_backing.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "hugepool/pool_options.h"
#include "os/fork_hold.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; newer than Debian 12's headers
#endif

namespace hugepool::internal {
namespace {

constexpr size_t kSmallPageBytes = 4096;
constexpr size_t kSmallPagesPerHugePage = kHugePageBytes / kSmallPageBytes;
// How long a region that refused is left alone. Long against a failing system call, short against an operator.
constexpr uint64_t kRetryAfterNs = 10'000'000;

constexpr Backing TopRung(HugePages huge_pages) {
  switch (huge_pages) {
    case HugePages::kRequired:
    case HugePages::kPreferred: return Backing::kHugetlb;
    case HugePages::kTransparent: return Backing::kTransparentHuge;
    case HugePages::kOff: return Backing::kSmall;
  }
  return Backing::kSmall;
}

}  // namespace

NodeBacking::NodeBacking(OsMemory& os, const Config& config)
    : os_(os),
      node_id_(config.node_id),
      node_reserve_bytes_(std::min<uint64_t>(uint64_t{64} << 20, config.node_memory_bytes / 32)),
      window_(config.window),
      window_bytes_(config.window_bytes),
      huge_pages_(config.huge_pages),
      page_bytes_(config.page_bytes),
      strict_(config.strict),
      only_node_(config.only_node),
      top_rung_(TopRung(config.huge_pages)) {}

NodeBacking::~NodeBacking() {
  ForkHold::Release(window_);
  ForkHold::Release(window_ + window_bytes_ / 2);
}

bool NodeBacking::Prepare(Error* error) {
  const size_t half_bytes = window_bytes_ / 2;
  char* const fallback = window_ + half_bytes;
  const int map_refused = top_rung_ == Backing::kHugetlb ? os_.MapHugetlb(window_, half_bytes, page_bytes_) : 0;
  if (map_refused != 0 && huge_pages_ == HugePages::kRequired) {
    *error = Error{.code = ErrorCode::kNoHugePages,
                   .operation = "mmap(MAP_HUGETLB)",
                   .errno_value = map_refused,
                   .node_id = node_id_,
                   .bytes = half_bytes,
                   .message = "huge_pages = required, and reserved pages of " + FormatBytes(page_bytes_) +
                              " cannot be mapped here",
                   .mend =
                       "Choose huge_pages = preferred, or page_bytes among the sizes that /sys/kernel/mm/hugepages "
                       "lists (1G needs pdpe1gb in /proc/cpuinfo)."};
    return false;
  }
  bool hugetlb = top_rung_ == Backing::kHugetlb && map_refused == 0;
  // In a forked child a private hugetlb page without a spare one is a SIGBUS: such a mapping is not used.
  if (hugetlb && os_.Advise(window_, half_bytes, MADV_DONTFORK) != 0) hugetlb = false;
  const int refused = os_.Advise(fallback, half_bytes, MADV_DONTFORK);
  if (refused != 0) {
    *error = Error{.code = ErrorCode::kSystem,
                   .operation = "madvise(MADV_DONTFORK)",
                   .errno_value = refused,
                   .node_id = node_id_,
                   .bytes = half_bytes,
                   .message = "the pool's pages cannot be kept out of forked children",
                   .mend = "Allow madvise in the seccomp profile."};
    return false;
  }
  if (hugetlb) ForkHold::Hold(window_, half_bytes);
  ForkHold::Hold(fallback, half_bytes);
  // Core dumps without the cache, and the page size wished for: both do without harm where they are refused.
  (void)os_.Advise(window_, window_bytes_, MADV_DONTDUMP);
  (void)os_.Advise(fallback, half_bytes, huge_pages_ == HugePages::kOff ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  const int bind_refused = os_.BindTo(window_, window_bytes_, node_id_);
  bound_ = bind_refused == 0;
  if (!bound_) ++refused_bind_count_;
  void* probe = error;
  int probe_node_id = -1;
  if (!bound_ && strict_ && !only_node_ && os_.Locate(&probe, 1, &probe_node_id) != 0) {
    *error = Error{.code = ErrorCode::kSystem,
                   .operation = "mbind",
                   .errno_value = bind_refused,
                   .node_id = node_id_,
                   .bytes = window_bytes_,
                   .message = "a strict placement can be neither bound (mbind) nor verified (move_pages) here",
                   .mend = "Allow mbind or move_pages in the seccomp profile, or choose placement = local."};
    return false;
  }
  hugetlb_mapped_ = hugetlb;
  return true;
}

bool NodeBacking::UsesRegion(Region region) const {
  return region == Region::kHugetlb ? top_rung_ == Backing::kHugetlb : huge_pages_ != HugePages::kRequired;
}

bool NodeBacking::WorthTrying(Region region) const {
  const uint64_t retry_at_ns = retry_at_ns_[static_cast<size_t>(region)];
  return retry_at_ns == 0 || os_.NowNs() >= retry_at_ns;
}

bool NodeBacking::TopMayBeHad() {
  if (top_rung_ != Backing::kHugetlb) return true;
  if (!hugetlb_mapped_) return false;
  const uint64_t now_ns = os_.NowNs();
  if (now_ns < look_at_ns_) return top_may_be_had_;
  look_at_ns_ = now_ns + kRetryAfterNs;
  uint64_t free_count = 0;
  top_may_be_had_ = os_.FreeHugePages(node_id_, page_bytes_, &free_count) != 0 || free_count != 0;
  return top_may_be_had_;
}

void NodeBacking::Refused(Backing rung, Region region) {
  ++refused_counts_[static_cast<size_t>(rung)];
  retry_at_ns_[static_cast<size_t>(region)] = os_.NowNs() + kRetryAfterNs;
}

// Small pages under MPOL_BIND on a full node wake the OOM killer instead of failing: look before populating. What
// cannot be read is not held against the node.
bool NodeBacking::NodeHasRoom() {
  uint64_t available_bytes = 0;
  const int refused =
      only_node_ ? os_.MachineAvailableBytes(&available_bytes) : os_.NodeAvailableBytes(node_id_, &available_bytes);
  if (refused != 0) return true;
  return available_bytes >= node_reserve_bytes_ + kHugePageBytes;
}

NodeBacking::Location NodeBacking::Locate(PageIndex page, bool one_page) {
  std::array<void*, kSmallPagesPerHugePage> addresses;
  std::array<int, kSmallPagesPerHugePage> node_ids;
  const size_t count = one_page ? 1 : kSmallPagesPerHugePage;
  for (size_t i = 0; i < count; ++i) addresses[i] = AddressOf(page) + i * kSmallPageBytes;
  if (os_.Locate(addresses.data(), count, node_ids.data()) != 0) {
    ++refused_locate_count_;
    return Location::kUnknown;
  }
  bool told = true;
  for (size_t i = 0; i < count; ++i) {
    if (node_ids[i] >= 0 && node_ids[i] != node_id_) return Location::kElsewhere;
    // The page was populated just now; a negative status is the kernel not saying where.
    told &= node_ids[i] >= 0;
  }
  return told ? Location::kHere : Location::kUnknown;
}

// The page is populated; hands it out if it lies where it must, else gives it back. Where mbind is denied, memory of
// another node is better than none, and memory of an unknown one too, unless the placement is strict.
std::optional<PopulatedPage> NodeBacking::Placed(PageIndex page, Backing backing) {
  const Location location = Locate(page, backing != Backing::kSmall);
  if (location == Location::kElsewhere) ++misplaced_count_;
  const bool refused = location == Location::kElsewhere
                           ? bound_ || strict_
                           : location == Location::kUnknown && !bound_ && strict_ && !only_node_;
  if (refused) {
    (void)GiveBack(page);
    return std::nullopt;
  }
  return PopulatedPage{backing, location != Location::kHere};
}

std::optional<PopulatedPage> NodeBacking::Populate(PageIndex page, Region region) {
  char* const address = AddressOf(page);
  if (region == Region::kHugetlb) {
    if (hugetlb_mapped_ && os_.Populate(address, page_bytes_) == 0) {
      if (const auto placed = Placed(page, Backing::kHugetlb)) return placed;
    }
    Refused(Backing::kHugetlb, region);
    return std::nullopt;
  }
  const bool try_huge = huge_pages_ != HugePages::kOff;
  const auto refuse = [&]() -> std::optional<PopulatedPage> {
    if (try_huge) ++refused_counts_[static_cast<size_t>(Backing::kTransparentHuge)];
    Refused(Backing::kSmall, region);
    return std::nullopt;
  };
  if (!NodeHasRoom() || os_.AllowAccess(address, kHugePageBytes) != 0) return refuse();
  if (os_.Populate(address, kHugePageBytes) != 0) {
    (void)os_.GiveBack(address, kHugePageBytes);  // a prefix may be populated
    return refuse();
  }
  Backing backing = Backing::kSmall;
  if (try_huge) {
    // Succeeds at once where the kernel already used a huge page. EINVAL: Linux before 6.1 has no such call, and the
    // kernel's first choice under MADV_HUGEPAGE is taken for what it is; VerifyPlacement tells.
    const int refused = os_.Advise(address, kHugePageBytes, MADV_COLLAPSE);
    if (refused == 0 || refused == EINVAL) {
      backing = Backing::kTransparentHuge;
    } else {
      ++refused_counts_[static_cast<size_t>(Backing::kTransparentHuge)];
    }
  }
  if (const auto placed = Placed(page, backing)) return placed;
  return refuse();
}

bool NodeBacking::GiveBack(PageIndex page) {
  if (os_.GiveBack(AddressOf(page), UnitBytes(RegionAt(page))) == 0) {
    Retry();
    return true;
  }
  ++refused_give_back_count_;
  return false;
}

}  // namespace hugepool::internal
