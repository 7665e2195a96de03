#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"
#include "bench/pool_bench/subjects/pmr_subject.h"

namespace hugepool::bench {

void RegisterPmrSynchronized(const BenchOptions& options) {
  RegisterLoops<PmrSubject<std::pmr::synchronized_pool_resource>>(options);
}

}  // namespace hugepool::bench
