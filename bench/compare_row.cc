#include "bench/compare_row.h"

#include <regex>

namespace hugepool::bench {
namespace {

void AddPeers(std::vector<CompareRow>* rows) {
  for (const AllocatorRow& allocator : AllocatorCatalog()) {
    if (allocator.is_hugepool()) continue;
    CompareRow row = {.name = allocator.name,
                      .description = allocator.description,
                      .subject = "malloc",
                      .huge_pages = "",
                      .allocator = &allocator,
                      .only = "",
                      .except = ""};
    // Memory can be collapsed once it is full and stays so: nowhere else.
    if (allocator.collapse) row.only = "^replace/";
    rows->push_back(row);
  }
}

void AddPools(std::vector<CompareRow>* rows) {
  const AllocatorRow* glibc = FindAllocator(kBaseline);
  struct OtherPool {
    const char* name;
    const char* description;
    const char* except;
    bool one_thread;
  };
  // The resources of libstdc++ look through all their chunks when a block is freed: on a gigabyte of blocks, for hours.
  constexpr const char* kGigabytes = "^(footprint|growth|replace|batch/100000)/";
  constexpr OtherPool kOtherPools[] = {
      {"boost-pool", "boost::pool, for one thread and one size", "", true},
      {"pmr-unsynchronized", "std::pmr::unsynchronized_pool_resource, for one thread", kGigabytes, true},
      {"pmr-synchronized", "std::pmr::synchronized_pool_resource", kGigabytes, false}};
  for (const OtherPool& pool : kOtherPools) {
    rows->push_back({.name = pool.name,
                     .description = pool.description,
                     .subject = pool.name,
                     .huge_pages = "",
                     .allocator = glibc,
                     .one_thread = pool.one_thread,
                     .only = "",
                     .except = pool.except});
  }
}

struct Pages {
  const char* suffix;
  const char* option;
  const char* description;
  bool by_default;
};

void AddVariants(const std::string& name, const std::string& subject, const std::string& description, RowKind kind,
                 const std::vector<Pages>& variants, std::vector<CompareRow>* rows) {
  for (const Pages& pages : variants) {
    rows->push_back({.name = name + pages.suffix,
                     .description = description + pages.description,
                     .subject = subject,
                     .huge_pages = pages.option,
                     .allocator = FindAllocator(kBaseline),
                     .kind = kind,
                     .by_default = pages.by_default,
                     .only = "",
                     .except = ""});
  }
}

std::vector<CompareRow> MakeRows() {
  const Pages small = {"-small", "off", " on 4 KiB pages", false};
  const Pages thp = {"-thp", "transparent", " on transparent huge pages", false};
  const Pages hugetlb = {"-hugetlb", "required", " on reserved huge pages", false};
  const std::vector<Pages> own = {
      {"", "best", " on reserved huge pages where enough are free, else on transparent ones", true},
      small,
      thp,
      hugetlb};
  std::vector<CompareRow> rows;
  AddPeers(&rows);
  AddPools(&rows);
  AddVariants("array", "array", "a bare array of addresses", RowKind::kLimit,
              {{"", "off", " on 4 KiB pages", true}, {"-thp", "transparent", thp.description, true}, hugetlb}, &rows);
  AddVariants("hugepool-pool", "pool", "Pool, freed without the size", RowKind::kOwn, own, &rows);
  AddVariants("hugepool-pool-sized", "pool-sized", "Pool, freed with the size", RowKind::kOwn, own, &rows);
  // Its loops are Pool's; what it is for is seen in the footprint.
  const size_t first_learning = rows.size();
  AddVariants("hugepool-pool-learning", "pool-learning", "Pool with learn_size_classes", RowKind::kOwn, own, &rows);
  for (size_t i = first_learning; i < rows.size(); ++i) rows[i].only = "^footprint/";
  AddVariants("hugepool-slab_cache", "slab_cache", "SlabCache", RowKind::kOwn, own, &rows);
  const size_t first_local = rows.size();
  AddVariants("hugepool-local_pool", "local_pool", "LocalBlockPool, for one thread and one size", RowKind::kOwn, own,
              &rows);
  for (size_t i = first_local; i < rows.size(); ++i) rows[i].one_thread = true;
  return rows;
}

}  // namespace

const char* ToString(RowKind kind) {
  switch (kind) {
    case RowKind::kPeer: return "peer";
    case RowKind::kLimit: return "limit";
    case RowKind::kOwn: return "hugepool";
  }
  return "?";
}

bool CompareRow::Takes(const std::string& benchmark) const {
  if (!only.empty() && !std::regex_search(benchmark, std::regex(only))) return false;
  return except.empty() || !std::regex_search(benchmark, std::regex(except));
}

const std::vector<CompareRow>& CompareRows() {
  static const std::vector<CompareRow> rows = MakeRows();
  return rows;
}

const CompareRow* FindCompareRow(const std::string& name) {
  for (const CompareRow& row : CompareRows()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string CompareRowNames() {
  std::string names;
  for (const CompareRow& row : CompareRows()) names += (names.empty() ? "" : ", ") + row.name;
  return names;
}

}  // namespace hugepool::bench
