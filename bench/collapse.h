// Collapse: huge pages under memory that is there already, for peers that have no setting of their own for them.
//
// Units      bytes
// Threads    any thread; the kernel copies page by page under whoever uses them
// Errors     what the kernel refuses stays as it is and shows in smaps
// Cost       one system call and one copy for each 2 MiB
#ifndef HUGEPOOL_BENCH_COLLAPSE_H_
#define HUGEPOOL_BENCH_COLLAPSE_H_

#include <vector>

#include "bench/process_memory.h"

namespace hugepool::bench {

// Of every mapping whose holds_block is set.
void CollapseMarked(const std::vector<Mapping>& mappings);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COLLAPSE_H_
