#include "bench/allocator_catalog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HUGEPOOL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HUGEPOOL_SANITIZED 1
#endif
#endif

extern char** environ;

namespace hugepool::bench {
namespace {

constexpr const char* kJemalloc = "libjemalloc.so.2";
constexpr const char* kTcmalloc = "libtcmalloc_minimal.so.4";
constexpr const char* kMimalloc = "libmimalloc.so.2";
constexpr const char* kTbbmalloc = "libtbbmalloc_proxy.so.2";
const std::pair<std::string, std::string> kJemallocThp = {"MALLOC_CONF", "thp:always,metadata_thp:always"};

std::vector<AllocatorRow> MakeCatalog() {
  return {
      {.name = kBaseline, .description = "glibc", .library = "", .package = "libc6", .environment = {}, .pool = {}},
      {.name = "malloc-thp",
       .description = "glibc on transparent huge pages",
       .library = "",
       .package = "libc6",
       .environment = {{"GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"}},
       .pool = {},
       .needs_thp = true},
      {.name = "jemalloc",
       .description = "jemalloc",
       .library = kJemalloc,
       .package = "libjemalloc2",
       .environment = {},
       .pool = {}},
      {.name = "jemalloc-thp",
       .description = "jemalloc on transparent huge pages",
       .library = kJemalloc,
       .package = "libjemalloc2",
       .environment = {kJemallocThp},
       .pool = {},
       .needs_thp = true},
      {.name = "tcmalloc",
       .description = "gperftools tcmalloc",
       .library = kTcmalloc,
       .package = "libtcmalloc-minimal4",
       .environment = {},
       .pool = {}},
      {.name = "tcmalloc-thp",
       .description = "gperftools tcmalloc, its memory collapsed into huge pages after the fill",
       .library = kTcmalloc,
       .package = "libtcmalloc-minimal4",
       .environment = {},
       .pool = {},
       .needs_thp = true,
       .collapse = true},
      {.name = "mimalloc",
       .description = "mimalloc",
       .library = kMimalloc,
       .package = "libmimalloc2.0",
       .environment = {},
       .pool = {}},
      {.name = "mimalloc-thp",
       .description = "mimalloc with large OS pages",
       .library = kMimalloc,
       .package = "libmimalloc2.0",
       // The option's name up to 2.0, and since 2.1.
       .environment = {{"MIMALLOC_LARGE_OS_PAGES", "1"}, {"MIMALLOC_ALLOW_LARGE_OS_PAGES", "1"}},
       .pool = {},
       .needs_thp = true},
      {.name = "tbb",
       .description = "TBB's scalable malloc",
       .library = kTbbmalloc,
       .package = "libtbbmalloc2",
       .environment = {},
       .pool = {}},
      {.name = "tbb-huge",
       .description =
           "TBB's scalable malloc, allowed huge pages: reserved ones, or transparent where they are always on",
       .library = kTbbmalloc,
       .package = "libtbbmalloc2",
       .environment = {{"TBB_MALLOC_USE_HUGE_PAGES", "1"}},
       .pool = {}},
      {.name = "hugepool-small",
       .description = "pool on 4 KiB pages, rest of the process on glibc",
       .library = "",
       .package = "libc6",
       .environment = {},
       .pool = HugePages::kOff},
      {.name = "hugepool-thp",
       .description = "pool on transparent huge pages, rest of the process on glibc",
       .library = "",
       .package = "libc6",
       .environment = {},
       .pool = HugePages::kTransparent,
       .needs_thp = true},
      {.name = "hugepool-hugetlb",
       .description = "pool on reserved huge pages, rest of the process on glibc",
       .library = "",
       .package = "libc6",
       .environment = {},
       .pool = HugePages::kRequired},
      {.name = "hugepool-thp+jemalloc-thp",
       .description = "pool on transparent huge pages, rest of the process on jemalloc on the same",
       .library = kJemalloc,
       .package = "libjemalloc2",
       .environment = {kJemallocThp},
       .pool = HugePages::kTransparent,
       .needs_thp = true},
      {.name = "hugepool-hugetlb+jemalloc-thp",
       .description = "pool on reserved huge pages, rest of the process on jemalloc on transparent ones",
       .library = kJemalloc,
       .package = "libjemalloc2",
       .environment = {kJemallocThp},
       .pool = HugePages::kRequired,
       .needs_thp = true},
  };
}

std::vector<std::string> UsualDirs() {
  const std::string tuple = HUGEPOOL_LIBRARY_ARCHITECTURE;
  std::vector<std::string> dirs;
  for (const char* root : {"/usr/local/lib", "/usr/lib", "/lib"}) {
    if (!tuple.empty()) dirs.push_back(std::string(root) + "/" + tuple);
    dirs.push_back(root);
    dirs.push_back(std::string(root) + "64");
  }
  return dirs;
}

// Whatever steers an allocator comes from the row alone.
bool SteersAllocator(std::string_view variable) {
  for (const std::string_view prefix : {"LD_PRELOAD=", "GLIBC_TUNABLES=", "MALLOC_", "MIMALLOC_", "TCMALLOC_",
                                        "HEAPPROFILE=", "TBB_MALLOC_", "_RJEM_MALLOC_CONF=", "KV_BENCH_"}) {
    if (variable.starts_with(prefix)) return true;
  }
  return false;
}

}  // namespace

std::string AllocatorRow::Settings() const {
  std::string text = library.empty() ? "" : "LD_PRELOAD=" + library;
  for (const auto& [name_of_variable, value] : environment) {
    text += (text.empty() ? "" : " ") + name_of_variable + "=" + value;
  }
  if (collapse) text += " MADV_COLLAPSE";
  return text.empty() ? "as it comes" : text;
}

const std::vector<AllocatorRow>& AllocatorCatalog() {
  static const std::vector<AllocatorRow> catalog = MakeCatalog();
  return catalog;
}

const AllocatorRow* FindAllocator(const std::string& name) {
  for (const AllocatorRow& row : AllocatorCatalog()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string AllocatorNames() {
  std::string names;
  for (const AllocatorRow& row : AllocatorCatalog()) names += (names.empty() ? "" : ", ") + row.name;
  return names;
}

std::string FindLibrary(const AllocatorRow& row, const std::vector<std::string>& dirs) {
  for (const std::string& dir : dirs.empty() ? UsualDirs() : dirs) {
    const std::string path = dir + "/" + row.library;
    if (access(path.c_str(), R_OK) == 0) return path;
  }
  return "";
}

std::string SkipReason(const AllocatorRow& row, const std::vector<std::string>& dirs, const std::string& thp_mode) {
  if (!row.library.empty()) {
#ifdef HUGEPOOL_SANITIZED
    return "this binary is built with a sanitizer, which takes malloc's place: no other can be preloaded";
#endif
    if (FindLibrary(row, dirs).empty()) {
      return fmt::format("{} is not installed. On Debian: apt-get install {}", row.library, row.package);
    }
  }
  if (row.needs_thp && (thp_mode.empty() || thp_mode == "never")) {
    return fmt::format(
        "transparent huge pages are {} here. As root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        thp_mode.empty() ? "absent" : "switched off");
  }
  return "";
}

std::vector<std::string> RowEnvironment(const AllocatorRow& row, const std::string& library_path) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!SteersAllocator(*variable)) variables.emplace_back(*variable);
  }
  if (!library_path.empty()) variables.push_back("LD_PRELOAD=" + library_path);
  for (const auto& [name, value] : row.environment) variables.push_back(name + "=" + value);
  return variables;
}

}  // namespace hugepool::bench
