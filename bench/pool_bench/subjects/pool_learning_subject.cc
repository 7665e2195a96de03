#include "bench/pool_bench/loop_registry.h"
#include "bench/pool_bench/subject_catalog.h"
#include "bench/pool_bench/subjects/pool_subject.h"

namespace hugepool::bench {

void RegisterPoolLearning(const BenchOptions& options) {
  RegisterLoops<PoolSubject<FreeForm::kUnsized, /*kLearns=*/true>>(options);
}

}  // namespace hugepool::bench
