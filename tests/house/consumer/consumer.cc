// A user's program: makes a pool, takes a block and an object from it, prints what the pool says of itself.
#include <cstdio>
#include <cstring>

#include "hugepool/local_pool.h"
#include "hugepool/object_cache.h"
#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "hugepool/version.h"

namespace {

struct Handle {
  explicit Handle(int wanted) : number(wanted) {}
  int number;
};

// The typed faces, which are templates and call what the library exports.
bool TypedFacesServe(const std::shared_ptr<hugepool::Pool>& pool) {
  auto shared = hugepool::ObjectCache<Handle>::Create(pool, nullptr);
  auto owned = hugepool::LocalPool<Handle>::Create(pool, nullptr);
  if (!shared || !owned) return false;
  Handle* const first = shared->New(1);
  Handle* const second = owned->New(2);
  const bool are_made = first != nullptr && second != nullptr && first->number == 1 && second->number == 2;
  shared->Delete(first);
  owned->Delete(second);
  return are_made && owned->live_count() == 0;
}

}  // namespace

int main() {
  hugepool::Error error;
  const std::optional<hugepool::PoolOptions> options =
      hugepool::PoolOptions::Parse("capacity=64M; huge_pages=preferred; name=consumer", &error);
  if (!options) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), 1;
  const std::shared_ptr<hugepool::Pool> pool = hugepool::Pool::Create(*options, &error);
  if (!pool) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), 1;
  std::optional<hugepool::SlabCache> records = hugepool::SlabCache::Create(pool, 4160, &error);
  if (!records) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), 1;

  if (!TypedFacesServe(pool)) return 1;
  void* block = pool->Allocate(100'000);
  void* record = records->Allocate();
  if (block == nullptr || record == nullptr || !pool->Owns(block) || !pool->Owns(record)) return 1;
  std::memset(block, 1, 100'000);
  std::memset(record, 2, 4160);
  const hugepool::PoolStats stats = pool->Stats();
  std::printf("hugepool %s\n%s", HUGEPOOL_VERSION_STRING, stats.ToText().c_str());
  const bool counted = stats.name == "consumer" && stats.allocated_count == 2 && stats.allocated_bytes >= 104'160;
  records->Deallocate(record);
  pool->Deallocate(block);
  return counted && pool->Stats().allocated_count == 0 ? 0 : 1;
}
