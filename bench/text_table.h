// TextTable: lines of cells as aligned text for a terminal.
//
// Shape      columns as wide as their widest cell, counted in letters and not in bytes
// Threads    one function, no state
#ifndef HUGEPOOL_BENCH_TEXT_TABLE_H_
#define HUGEPOOL_BENCH_TEXT_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace hugepool::bench {

using Cells = std::vector<std::string>;

// First column to the left, the others to the right; `left_from` and later columns to the left again.
std::string Align(const std::vector<Cells>& lines, size_t left_from);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_TEXT_TABLE_H_
