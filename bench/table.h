// Table: the results as aligned text for a terminal.
//
// Shape      the measures, one row an allocator; the pages as the kernel counts them; skips with reasons; where a peer
//            is ahead; the machine
// Threads    one function, no state
#ifndef HUGEPOOL_BENCH_TABLE_H_
#define HUGEPOOL_BENCH_TABLE_H_

#include <string>
#include <vector>

#include "bench/kv_options.h"
#include "bench/machine.h"
#include "bench/results.h"

namespace hugepool::bench {

std::string FormatTable(const std::vector<RowResult>& rows, const KvOptions& options, const Machine& machine);

// "hugetlb 100 %", "THP 98 %, 4 KiB 2 %".
std::string FormatPages(const nlohmann::json& pages);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_TABLE_H_
