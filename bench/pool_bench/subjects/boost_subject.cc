#include "bench/pool_bench/subjects/boost_subject.h"
#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"

namespace hugepool::bench {

void RegisterBoostPool(const BenchOptions& options) { RegisterLoops<BoostPoolSubject>(options); }

}  // namespace hugepool::bench
