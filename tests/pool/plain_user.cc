#include "pool/plain_user.h"

#ifdef __cpp_exceptions
#error "this file is to be compiled without exceptions"
#endif

#include "hugepool/local_pool.h"
#include "hugepool/object_cache.h"

namespace hugepool::testing {
namespace {

struct Record {
  explicit Record(int wanted) : number(wanted) {}
  int number;
  char bytes[96] = {};
};

}  // namespace

std::string PlainUserComplaint(const std::shared_ptr<Pool>& pool) {
  auto cache = ObjectCache<Record>::Create(pool, nullptr);
  if (!cache) return "ObjectCache::Create refused";
  Record* const record = cache->New(7);
  if (record == nullptr || record->number != 7) return "ObjectCache::New did not make the record";
  cache->Delete(record);
  if (cache->MakeUnique(8)->number != 8) return "ObjectCache::MakeUnique did not make the record";
  {
    auto local = LocalPool<Record>::Create(pool, nullptr);
    if (!local) return "LocalPool::Create refused";
    Record* const owned = local->New(9);
    if (owned == nullptr || owned->number != 9) return "LocalPool::New did not make the record";
    local->Delete(owned);
    if (local->live_count() != 0) return "LocalPool::Delete did not free the record";
  }
  return pool->Stats().allocated_count == 0 ? "" : "a record was not freed";
}

}  // namespace hugepool::testing
