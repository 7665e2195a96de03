// ComparePlot: a comparison as one picture (SVG), drawn here, so that it needs no program to make and no script to show.
//
// Shape      a panel for each measure of each benchmark, two beside each other; a bar for each row to its median, a thin line
//            from the least to the most. Speeds that differ by more than 20 × stand on a logarithmic scale, and it says so
// Threads    one function, no state
#ifndef HUGEPOOL_BENCH_COMPARE_PLOT_H_
#define HUGEPOOL_BENCH_COMPARE_PLOT_H_

#include <string>

#include "bench/compare_rounds.h"
#include "bench/machine.h"

namespace hugepool::bench {

std::string DrawComparison(const CompareOutcome& outcome, const Machine& machine);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_PLOT_H_
