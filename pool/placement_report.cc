#include "pool/placement_report.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace hugepool::internal {
namespace {

constexpr size_t kSmallPageBytes = 4096;
constexpr size_t kLookUpBatch = 4096;

struct Range {
  uintptr_t first = 0;
  uintptr_t last = 0;
};

// Adds the pages of smaps' mappings inside [first, last) by kind.
bool ReadSmaps(const Range& pool, PlacementReport* report, Error* error) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/self/smaps", "re"), std::fclose);
  if (file == nullptr) {
    *error = Error{.code = ErrorCode::kSystem,
                   .operation = "open(/proc/self/smaps)",
                   .errno_value = errno,
                   .message = "the kernel's account of this process's pages cannot be read",
                   .mend = "Mount /proc."};
    return false;
  }
  bool inside = false;
  uint64_t rss_bytes = 0;
  uint64_t transparent_bytes = 0;
  uint64_t page_bytes = 0;
  char line[512];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    uintptr_t first = 0;
    uintptr_t last = 0;
    uint64_t kib = 0;
    if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &last) == 2 && std::strchr(line, ':') != nullptr &&
        std::strstr(line, "kB") == nullptr) {
      inside = first >= pool.first && last <= pool.last;
    } else if (!inside) {
      continue;
    } else if (std::sscanf(line, "KernelPageSize: %" SCNu64 " kB", &kib) == 1) {
      page_bytes = kib * 1024;
    } else if (std::sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1) {
      rss_bytes += kib * 1024;
    } else if (std::sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kib) == 1) {
      transparent_bytes += kib * 1024;
    } else if (std::sscanf(line, "Private_Hugetlb: %" SCNu64 " kB", &kib) == 1 ||
               std::sscanf(line, "Shared_Hugetlb: %" SCNu64 " kB", &kib) == 1) {
      report->hugetlb_bytes += kib * 1024;
      if (kib != 0) report->hugetlb_page_bytes = page_bytes;
    }
  }
  report->transparent_bytes = transparent_bytes;
  report->small_bytes = rss_bytes - std::min(rss_bytes, transparent_bytes);
  return true;
}

// Asks where each page is; pages that are not present are not counted.
int LookUp(OsMemory& os, std::vector<void*>* addresses, PlacementReport::Node* node) {
  std::vector<int> node_ids(kLookUpBatch);
  for (size_t done = 0; done < addresses->size(); done += kLookUpBatch) {
    const size_t count = std::min(kLookUpBatch, addresses->size() - done);
    const int refused = os.Locate(addresses->data() + done, count, node_ids.data());
    if (refused != 0) return refused;
    for (size_t i = 0; i < count; ++i) {
      if (node_ids[i] == -ENOENT) continue;
      ++node->page_count;
      if (node_ids[i] != node->node_id) ++node->misplaced_count;
    }
  }
  addresses->clear();
  return 0;
}

}  // namespace

std::optional<PlacementReport> AskKernel(ArenaSet& arenas, Error* error) {
  PlacementReport report;
  for (size_t window = 0; window < arenas.window_count(); ++window) {
    PlacementReport::Node& node = report.nodes.emplace_back();
    node.node_id = arenas.NodeIdOf(window);
    std::vector<void*> addresses;
    arenas.arena(window).ForEachUnit([&](char* unit, Backing backing) {
      // A hugetlb page, whatever its size, has one answer.
      const size_t count = backing == Backing::kHugetlb ? 1 : kHugePageBytes / kSmallPageBytes;
      for (size_t i = 0; i < count; ++i) addresses.push_back(unit + i * kSmallPageBytes);
    });
    const int refused = LookUp(arenas.os(), &addresses, &node);
    if (refused != 0) {
      *error = Error{.code = ErrorCode::kSystem,
                     .operation = "move_pages",
                     .errno_value = refused,
                     .node_id = node.node_id,
                     .message = "the kernel does not say where the pool's pages lie",
                     .mend = "Allow move_pages in the seccomp profile (containers: the default profile denies it)."};
      return std::nullopt;
    }
  }
  const uintptr_t first = reinterpret_cast<uintptr_t>(arenas.WindowAddress(0));
  if (!ReadSmaps({first, first + arenas.window_count() * arenas.window_bytes()}, &report, error)) return std::nullopt;
  return report;
}

}  // namespace hugepool::internal
