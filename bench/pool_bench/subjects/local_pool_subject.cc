#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"
#include "bench/pool_bench/subjects/pool_subject.h"

namespace hugepool::bench {

void RegisterLocalPool(const BenchOptions& options) { RegisterLoops<LocalPoolSubject>(options); }

}  // namespace hugepool::bench
