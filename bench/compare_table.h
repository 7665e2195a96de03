// CompareTable: a comparison as aligned text for a terminal.
//
// Shape      a table for each measure of each benchmark; rows that were skipped or failed, with reasons; the machine
// Threads    one function, no state
#ifndef HUGEPOOL_BENCH_COMPARE_TABLE_H_
#define HUGEPOOL_BENCH_COMPARE_TABLE_H_

#include <string>

#include "bench/compare_rounds.h"
#include "bench/machine.h"

namespace hugepool::bench {

std::string FormatComparison(const CompareOutcome& outcome, const Machine& machine);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_TABLE_H_
