// The function that RocksDB's registry of plugins calls: hugepool.mk names it.
#include <hugepool/rocksdb.h>

extern "C" int hugepool_register(ROCKSDB_NAMESPACE::ObjectLibrary& library, const std::string& argument) {
  return hugepool::rocksdb::RegisterHugepool(library, argument);
}
