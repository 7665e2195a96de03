// CompareRow: one row of a comparison of pool_bench: which subject, under which malloc, on which pages.
//
// Shape      every peer of the AllocatorCatalog is the subject malloc with its library preloaded; the other subjects run on
//            glibc's malloc; hugepool's rows take the pages that their name says, or the best to be had
// Threads    constant
#ifndef HUGEPOOL_BENCH_COMPARE_ROW_H_
#define HUGEPOOL_BENCH_COMPARE_ROW_H_

#include <string>
#include <vector>

#include "bench/allocator_catalog.h"

namespace hugepool::bench {

enum class RowKind : uint8_t {
  kPeer,
  kLimit,  // what no allocator can beat; never the best peer
  kOwn,
};
const char* ToString(RowKind kind);

struct CompareRow {
  std::string name;
  std::string description;
  std::string subject;
  std::string huge_pages;         // for pool_bench's option of that name; "": not given
  const AllocatorRow* allocator;  // library and variables
  RowKind kind = RowKind::kPeer;
  bool by_default = true;
  bool one_thread = false;  // whoever allocated a block frees it: synchronizes nothing
  std::string only;         // regular expression of the benchmarks that make sense for it; "": all
  std::string except;       // and of those that do not

  bool Takes(const std::string& benchmark) const;
};

const std::vector<CompareRow>& CompareRows();
const CompareRow* FindCompareRow(const std::string& name);
std::string CompareRowNames();  // "malloc, malloc-thp, …"

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_ROW_H_
