#include "bench/pool_bench/subject_catalog.h"

namespace hugepool::bench {

const std::vector<SubjectEntry>& SubjectCatalog() {
  static const std::vector<SubjectEntry> catalog = {
      {"malloc", false, RegisterMalloc},
      {"pool", true, RegisterPool},
      {"pool-sized", true, RegisterPoolSized},
      {"pool-learning", true, RegisterPoolLearning},
      {"slab_cache", true, RegisterSlabCache},
      {"local_pool", true, RegisterLocalPool},
      {"boost-pool", false, RegisterBoostPool},
      {"pmr-unsynchronized", false, RegisterPmrUnsynchronized},
      {"pmr-synchronized", false, RegisterPmrSynchronized},
      {"array", true, RegisterArray},
  };
  return catalog;
}

const SubjectEntry* FindSubject(const std::string& name) {
  for (const SubjectEntry& entry : SubjectCatalog()) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

std::string SubjectNames() {
  std::string names;
  for (const SubjectEntry& entry : SubjectCatalog()) names += std::string(names.empty() ? "" : ", ") + entry.name;
  return names;
}

}  // namespace hugepool::bench
