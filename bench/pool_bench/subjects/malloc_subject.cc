#include "bench/pool_bench/subjects/malloc_subject.h"
#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"

namespace hugepool::bench {

void RegisterMalloc(const BenchOptions& options) { RegisterLoops<MallocSubject>(options); }

}  // namespace hugepool::bench
