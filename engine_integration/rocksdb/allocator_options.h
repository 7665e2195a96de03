// AllocatorOptions by text: how RocksDB's Configurable reads and writes each of them.
//
// Shape      one OptionTypeInfo for each option of a pool, which PoolOptions reads and writes, and for each of our own
// Threads    any; the map is made once
// Errors     InvalidArgument, which names the option, the value and what is allowed
#ifndef HUGEPOOL_ROCKSDB_ADAPTER_ALLOCATOR_OPTIONS_H_
#define HUGEPOOL_ROCKSDB_ADAPTER_ALLOCATOR_OPTIONS_H_

#include <rocksdb/status.h>
#include <rocksdb/utilities/options_type.h>

#include <string>
#include <unordered_map>

#include "hugepool/rocksdb.h"

namespace hugepool::rocksdb {

// For RegisterOptions with the address of an AllocatorOptions.
const std::unordered_map<std::string, ::rocksdb::OptionTypeInfo>& AllocatorOptionTypes();

// "capacity, huge_pages, …": the names that there are.
std::string AllocatorOptionNames();

::rocksdb::Status ToStatus(const Error& error);

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ROCKSDB_ADAPTER_ALLOCATOR_OPTIONS_H_
