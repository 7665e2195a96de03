// Programs: where the tests find pool_bench, its verifying twin, and bench_compare.
#ifndef HUGEPOOL_TESTS_BENCH_POOL_BENCH_PROGRAMS_H_
#define HUGEPOOL_TESTS_BENCH_POOL_BENCH_PROGRAMS_H_

namespace hugepool::testing {

extern const char* const kPoolBench;
extern const char* const kPoolBenchVerified;
extern const char* const kBenchCompare;

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_BENCH_POOL_BENCH_PROGRAMS_H_
