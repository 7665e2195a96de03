// TraceWriter: writes hugepool/allocation_trace.h while an engine runs.
//
// Shape      a file, a buffer before it, and the numbers of the live blocks by address
// Units      bytes
// Owner      the allocator; the destructor writes what is left
// Threads    any; guarded by mutex_, which is held over the file's writes: recording is not for production speed
// Invariant  the file holds whole events, in the order in which the calls were made
// Errors     what cannot be written ends the recording, as the limit does: the engine goes on, and on_end is told why, once
// fork       a child writes nothing: file and buffer are its parent's
// Cost       a lock and a look-up in a hash table for each call
#ifndef HUGEPOOL_ROCKSDB_ADAPTER_TRACE_WRITER_H_
#define HUGEPOOL_ROCKSDB_ADAPTER_TRACE_WRITER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "hugepool/error.h"

namespace hugepool::rocksdb {

class TraceWriter {
 public:
  using OnEnd = std::function<void(const std::string& reason)>;

  // nullptr and *error filled when the file cannot be made. One that is there is replaced.
  static std::unique_ptr<TraceWriter> Create(const std::string& path, uint64_t most_bytes, OnEnd on_end, Error* error);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  void Allocated(const void* block, size_t bytes);
  // Before the block goes back: after that somebody else may have it. Blocks from before the recording are passed over.
  void Freed(const void* block);

 private:
  TraceWriter(std::string path, int fd, uint64_t most_bytes, OnEnd on_end);
  // Both under mutex_. "" or why the recording ends.
  std::string Add(uint64_t event);
  std::string Flush();
  // Tells, without mutex_.
  void End(const std::string& reason);

  const std::string path_;
  const pid_t process_id_;
  const uint64_t most_bytes_;
  const OnEnd on_end_;
  std::mutex mutex_;
  int fd_;  // guarded by mutex_, as all below; -1 once the recording has ended
  std::string buffer_;
  uint64_t written_bytes_ = 0;
  uint64_t allocated_count_ = 0;
  std::unordered_map<const void*, uint64_t> numbers_;
};

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ROCKSDB_ADAPTER_TRACE_WRITER_H_
