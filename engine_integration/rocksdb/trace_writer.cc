#include "rocksdb_adapter/trace_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "hugepool/allocation_trace.h"

namespace hugepool::rocksdb {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;

}  // namespace

std::unique_ptr<TraceWriter> TraceWriter::Create(const std::string& path, uint64_t most_bytes, OnEnd on_end,
                                                 Error* error) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    const int reason = errno;
    if (error != nullptr) {
      *error = Error{.code = ErrorCode::kSystem,
                     .operation = "AllocatorOptions",
                     .errno_value = reason,
                     .message = "record_sizes = '" + path + "' cannot be written",
                     .mend = "Name a file in a folder that is there and may be written."};
    }
    return nullptr;
  }
  return std::unique_ptr<TraceWriter>(new TraceWriter(path, fd, most_bytes, std::move(on_end)));
}

TraceWriter::TraceWriter(std::string path, int fd, uint64_t most_bytes, OnEnd on_end)
    : path_(std::move(path)),
      process_id_(getpid()),
      most_bytes_(most_bytes),
      on_end_(std::move(on_end)),
      fd_(fd),
      buffer_(kTraceMagic) {
  buffer_.reserve(kBufferBytes + kTraceEventMostBytes);
}

TraceWriter::~TraceWriter() {
  const std::string problem = fd_ < 0 || getpid() != process_id_ ? "" : Flush();
  if (fd_ >= 0) close(fd_);
  if (!problem.empty()) End(problem);
}

std::string TraceWriter::Flush() {
  if (getpid() != process_id_) return "is its parent's: nothing is recorded in a child";
  for (size_t done = 0; done < buffer_.size();) {
    const ssize_t count = write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return "cannot be written: " + std::string(std::strerror(errno));
    done += static_cast<size_t>(count);
  }
  written_bytes_ += buffer_.size();
  buffer_.clear();
  return "";
}

std::string TraceWriter::Add(uint64_t event) {
  char bytes[kTraceEventMostBytes];
  buffer_.append(bytes, EncodeTraceEvent(event, bytes));
  std::string reason = buffer_.size() < kBufferBytes ? "" : Flush();
  if (reason.empty() && written_bytes_ >= most_bytes_)
    reason = "has " + std::to_string(most_bytes_ >> 20) + " MiB, the most that are recorded";
  if (reason.empty()) return reason;
  close(fd_);
  fd_ = -1;
  numbers_.clear();
  return reason;
}

void TraceWriter::End(const std::string& reason) {
  if (on_end_) on_end_("the recording of sizes has ended: " + path_ + " " + reason);
}

void TraceWriter::Allocated(const void* block, size_t bytes) {
  std::string reason;
  {
    std::lock_guard lock(mutex_);
    if (fd_ < 0) return;
    numbers_[block] = allocated_count_++;
    reason = Add(TraceOfAllocation(bytes));
  }
  if (!reason.empty()) End(reason);
}

void TraceWriter::Freed(const void* block) {
  std::string reason;
  {
    std::lock_guard lock(mutex_);
    if (fd_ < 0) return;
    const auto found = numbers_.find(block);
    if (found == numbers_.end()) return;
    const uint64_t age = allocated_count_ - found->second;
    numbers_.erase(found);
    reason = Add(TraceOfFree(age));
  }
  if (!reason.empty()) End(reason);
}

}  // namespace hugepool::rocksdb
