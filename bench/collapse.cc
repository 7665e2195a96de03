#include "bench/collapse.h"

#include <hugepool/types.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; glibc 2.36 does not name it
#endif

namespace hugepool::bench {

// One by one: the kernel ends a longer request at the first page that it cannot collapse.
void CollapseMarked(const std::vector<Mapping>& mappings) {
  for (const Mapping& mapping : mappings) {
    if (!mapping.holds_block) continue;
    madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_HUGEPAGE);
    const uintptr_t first = (mapping.begin + kHugePageBytes - 1) & ~uintptr_t{kHugePageBytes - 1};
    for (uintptr_t page = first; page + kHugePageBytes <= mapping.end; page += kHugePageBytes) {
      madvise(reinterpret_cast<void*>(page), kHugePageBytes, MADV_COLLAPSE);
    }
  }
}

}  // namespace hugepool::bench
