// Database: the RocksDB directory that kv_bench reads, made on first use.
//
// Shape      records of RecordSource in key order, in table files of about 64 MiB that are written directly and taken
//            in (no write-ahead log, no compaction); beside them KV_BENCH.json, the marker, which states the
//            DatabaseShape. The marker says "complete": false until the last byte stands
// Threads    one owner
// Errors     Outcome: what is wrong, with the value and the mend. A foreign directory is never written to
#ifndef HUGEPOOL_BENCH_DATABASE_H_
#define HUGEPOOL_BENCH_DATABASE_H_

#include <rocksdb/cache.h>
#include <rocksdb/db.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/kv_options.h"

namespace hugepool::bench {

struct DatabaseFacts {
  DatabaseShape shape;
  uint64_t block_count = 0;  // data blocks
  uint64_t file_bytes = 0;   // table files
};

// Makes the database where there is none (or an unfinished one of kv_bench's), checks it against `shape` where there is
// one: options in `named` have to agree, the others are taken from the marker. `stopped` is asked now and then; once it
// is true the work ends unfinished. Progress goes to standard error. Nothing and *problem filled on failure.
std::optional<DatabaseFacts> PrepareDatabase(const std::string& path, const DatabaseShape& shape,
                                             const std::vector<std::string>& named,
                                             const std::function<bool()>& stopped, std::string* problem);

enum class Access : uint8_t { kRead, kWrite };

// Nothing and *problem filled on failure.
std::unique_ptr<::rocksdb::DB> OpenDatabase(const std::string& path, const DatabaseShape& shape, Access access,
                                            std::shared_ptr<::rocksdb::Cache> cache, std::string* problem);

// A Checkpoint of the database, below it: a database of its own that shares the table files, for a worker that writes. Its
// directory; empty and *problem filled on failure. One of that name that is there is removed first.
std::string MakeCheckpoint(const std::string& path, const DatabaseShape& shape, const std::string& name,
                           std::string* problem);
// Removes all of them, also those that an earlier run left.
void RemoveCheckpoints(const std::string& path);
void RemoveCheckpoint(const std::string& path, const std::string& name);

// Reads the table files once, up to limit_bytes, so that they lie in the page cache. Ends early when `stopped`.
void WarmPageCache(const std::string& path, uint64_t limit_bytes, const std::function<bool()>& stopped);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_DATABASE_H_
