// AllocatorCatalog: the rows that kv_bench knows: which library to preload, with which settings, and what stands behind
// the block cache. The comparison of pool_bench takes the peers from here too.
//
// Each peer appears as it comes, and at its best huge-page setting: a comparison without the second is worth nothing.
//
// Threads    constant
#ifndef HUGEPOOL_BENCH_ALLOCATOR_CATALOG_H_
#define HUGEPOOL_BENCH_ALLOCATOR_CATALOG_H_

#include <hugepool/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hugepool::bench {

inline constexpr const char* kBaseline = "malloc";

struct AllocatorRow {
  std::string name;
  std::string description;
  std::string library;  // file name of what is preloaded, or "" for the C library's malloc
  std::string package;  // Debian's package of it
  std::vector<std::pair<std::string, std::string>> environment;  // all of it is about huge pages
  std::optional<HugePages> pool;  // what the pool behind the block cache asks for; nothing: the process's malloc
  bool needs_thp = false;         // pointless where transparent huge pages are switched off
  bool collapse = false;          // ask the kernel for huge pages under the cache's mappings once it is filled

  bool is_hugepool() const { return pool.has_value(); }
  // Of the two settings in which allocators are compared: everything on 4 KiB pages, or huge ones wherever it knows how.
  bool is_on_huge_pages() const { return needs_thp || pool == HugePages::kRequired || !environment.empty(); }
  // "LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=…", or "as it comes".
  std::string Settings() const;
};

const std::vector<AllocatorRow>& AllocatorCatalog();
const AllocatorRow* FindAllocator(const std::string& name);
std::string AllocatorNames();  // "malloc, malloc-thp, …"

// Full path of the row's library in the first of the directories that has it; "" when none has. No directories: the
// places where Debian, Fedora and Arch put libraries.
std::string FindLibrary(const AllocatorRow& row, const std::vector<std::string>& dirs);

// Why this machine cannot run the row (a library that is not installed, transparent huge pages that are off), with the
// mend; "" when it can.
std::string SkipReason(const AllocatorRow& row, const std::vector<std::string>& dirs, const std::string& thp_mode);

// The variables of a process that runs the row: the caller's, without those that steer an allocator, and the row's own.
// library_path: what to preload, or "".
std::vector<std::string> RowEnvironment(const AllocatorRow& row, const std::string& library_path);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_ALLOCATOR_CATALOG_H_
