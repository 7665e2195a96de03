#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"
#include "bench/pool_bench/subjects/pool_subject.h"

namespace hugepool::bench {

void RegisterSlabCache(const BenchOptions& options) { RegisterLoops<SlabCacheSubject>(options); }

}  // namespace hugepool::bench
