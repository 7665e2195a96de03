#include "bench/pool_bench/programs.h"

namespace hugepool::testing {

const char* const kPoolBench = POOL_BENCH;
const char* const kPoolBenchVerified = POOL_BENCH_VERIFIED;
const char* const kBenchCompare = BENCH_COMPARE;

}  // namespace hugepool::testing
