// Where RocksDB is in this process, as far as a preloaded library can tell.
//
// Threads    any
// Errors     what cannot be read counts as not there
// Cost       HoldsRocksdb reads the whole program file
#ifndef HUGEPOOL_ROCKSDB_PRELOAD_STATIC_ROCKSDB_H_
#define HUGEPOOL_ROCKSDB_PRELOAD_STATIC_ROCKSDB_H_

#include <string>

namespace hugepool::preload {

// The loaded librocksdb.so, "" when none is.
std::string LoadedRocksdb();
// Whether a program file has RocksDB in itself: by a name that its statistics have in any version, stripped or not.
bool HoldsRocksdb(const std::string& program);
// This process's program file.
std::string OwnProgram();

}  // namespace hugepool::preload

#endif  // HUGEPOOL_ROCKSDB_PRELOAD_STATIC_ROCKSDB_H_
