#include "bench/pool_bench/subjects/pool_subject.h"
#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"

namespace hugepool::bench {

void RegisterPool(const BenchOptions& options) { RegisterLoops<PoolSubject<FreeForm::kUnsized>>(options); }

}  // namespace hugepool::bench
