#include "bench/pool_bench/subjects/array_subject.h"
#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"

namespace hugepool::bench {

void RegisterArray(const BenchOptions& options) { RegisterLoops<ArraySubject>(options); }

}  // namespace hugepool::bench
