// SubjectCatalog: the subjects by name, and how each registers its benchmarks.
//
// Threads    constant
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_CATALOG_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_CATALOG_H_

#include <string>
#include <vector>

namespace hugepool::bench {

struct BenchOptions;

struct SubjectEntry {
  const char* name;
  bool has_pages;  // its memory follows --huge_pages
  void (*register_loops)(const BenchOptions& options);
};

const std::vector<SubjectEntry>& SubjectCatalog();
const SubjectEntry* FindSubject(const std::string& name);
std::string SubjectNames();  // "malloc, pool, …"

// One for each source file of subjects/: it is there that the loops are compiled.
void RegisterMalloc(const BenchOptions& options);
void RegisterPool(const BenchOptions& options);
void RegisterPoolSized(const BenchOptions& options);
void RegisterPoolLearning(const BenchOptions& options);
void RegisterSlabCache(const BenchOptions& options);
void RegisterLocalPool(const BenchOptions& options);
void RegisterBoostPool(const BenchOptions& options);
void RegisterPmrUnsynchronized(const BenchOptions& options);
void RegisterPmrSynchronized(const BenchOptions& options);
void RegisterArray(const BenchOptions& options);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECT_CATALOG_H_
