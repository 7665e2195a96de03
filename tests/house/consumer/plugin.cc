// A user's plugin: every thread that calls RunPlugin takes and gives back blocks, by sequences inlined here.
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"

namespace {

// Kept for the life of the process: a static object's destructor would keep the plugin loaded for another reason.
hugepool::SlabCache* records = nullptr;

}  // namespace

// False: no pool. Once, before the others.
extern "C" bool OpenPlugin() {
  hugepool::Error error;
  hugepool::PoolOptions options;
  options.capacity_bytes = size_t{64} << 20;
  const std::shared_ptr<hugepool::Pool> pool = hugepool::Pool::Create(options, &error);
  if (!pool) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), false;
  std::optional<hugepool::SlabCache> made = hugepool::SlabCache::Create(pool, 4160, &error);
  if (!made) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), false;
  std::printf("plugin: cache mode %s\n", pool->Stats().cache_mode.c_str());
  records = new hugepool::SlabCache(*made);
  return true;
}

// Blocks of this many rounds that did not hold what was written into them.
extern "C" int RunPlugin(int round_count) {
  int wrong_count = 0;
  for (int round = 0; round < round_count; ++round) {
    void* blocks[8];
    for (void*& block : blocks) {
      block = records->Allocate();
      if (block == nullptr) return round_count;
      std::memcpy(block, &block, sizeof(block));
    }
    for (void*& block : blocks) {
      wrong_count += std::memcmp(block, &block, sizeof(block)) != 0;
      records->Deallocate(block);
    }
  }
  return wrong_count;
}
