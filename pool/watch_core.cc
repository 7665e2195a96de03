#include "pool/watch_core.h"

#include <new>
#include <utility>

#include "pool/pool_core.h"

namespace hugepool::internal {
namespace {

constexpr uint32_t kMaxIntervalSeconds = 3600;

bool Refuse(Error* error, std::string message, std::string mend) {
  *error = Error{.code = ErrorCode::kInvalidArgument,
                 .operation = "PoolWatch::Start",
                 .message = std::move(message),
                 .mend = std::move(mend)};
  return false;
}

std::string Mebibytes(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::string DegradedWarning(const PoolStats& stats) {
  std::string where;
  for (const NodeStats& node : stats.nodes) {
    if (node.degraded_bytes == 0) continue;
    where +=
        (where.empty() ? "" : ", ") + ("node " + std::to_string(node.node_id) + ": ") + Mebibytes(node.degraded_bytes);
  }
  return "pool '" + stats.name + "': " + Mebibytes(stats.DegradedBytes()) +
         " lie on a lower rung than huge_pages=" + stats.backing + " asks for first (" + where +
         "). Reserve what is missing: hugepool check --need " + FormatBytes(stats.capacity_bytes) +
         " says where and how.";
}

std::string DepartureWarning(const PoolStats& stats, uint64_t more_count) {
  std::string where;
  for (const NodeStats& node : stats.nodes) {
    if (node.departure_count == 0) continue;
    where += (where.empty() ? "" : ", ") + ("node " + std::to_string(node.node_id) + ": ") +
             std::to_string(node.departure_count);
  }
  return "pool '" + stats.name + "': " + std::to_string(more_count) +
         " allocations got another node's memory than they wanted (since the start, by the node that was wanted: " +
         where + "). Give those nodes more pages, or the pool a larger capacity.";
}

Error Unwritable(const std::string& file, int errno_value) {
  return {.code = ErrorCode::kSystem,
          .operation = "PoolWatch",
          .errno_value = errno_value,
          .message = "file = '" + file + "' cannot be replaced by way of '" + file + ".new'",
          .mend = "Name a file in a folder that this process may write, on a file system with room."};
}

}  // namespace

std::unique_ptr<WatchCore> WatchCore::Start(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, OsWatch& os,
                                            Error* error) {
  if (pool == nullptr) {
    (void)Refuse(error, "pool is null", "Create the Pool first.");
    return nullptr;
  }
  if (options.interval_seconds == 0 || options.interval_seconds > kMaxIntervalSeconds) {
    (void)Refuse(error, "interval_seconds = " + std::to_string(options.interval_seconds) + " is out of range",
                 "Allowed: 1 to " + std::to_string(kMaxIntervalSeconds) + ".");
    return nullptr;
  }
  if (options.file.find('\0') != std::string::npos) {
    (void)Refuse(error, "file has a 0 byte in it", "Allowed: a path, or nothing.");
    return nullptr;
  }
  std::unique_ptr<WatchCore> core(new WatchCore(std::move(pool), options, os));
  if (core->InChild()) {
    (void)Refuse(error, "this process is a forked child: the pool is its parent's",
                 "Write in the process that created the pool.");
    return nullptr;
  }
  if (!core->Look(error) || !core->StartThread(error)) return nullptr;
  return core;
}

WatchCore::~WatchCore() {
  if (thread_ && !InChild()) {
    (void)os_.Ring(bell_);
    os_.JoinThread(*thread_);
    LookQuietly();
  }
  if (bell_ >= 0) os_.Close(bell_);
}

bool WatchCore::InChild() const { return CoreOf(*pool_).InChild(); }

bool WatchCore::Look(Error* error) {
  if (InChild()) return Refuse(error, "this process is a forked child", "Write in the process that created the pool.");
  const std::lock_guard lock(look_mutex_);
  pool_->Tend();
  const PoolStats stats = pool_->Stats();
  uint64_t departure_count = 0;
  for (const NodeStats& node : stats.nodes) departure_count += node.departure_count;
  const uint64_t more_count = departure_count - departure_count_;
  departure_count_ = departure_count;
  Warn(&degraded_, stats.DegradedBytes() != 0, DegradedWarning(stats));
  Warn(&departing_, more_count != 0, DepartureWarning(stats, more_count));
  const std::string complaint = options_.more_complaint ? options_.more_complaint() : std::string();
  Warn(&complained_, !complaint.empty(), complaint);
  if (options_.file.empty()) return true;
  const std::string text = stats.ToPrometheus() + (options_.more_text ? options_.more_text() : std::string());
  const int refused = os_.ReplaceFile(options_.file, text);
  const Error unwritable = Unwritable(options_.file, refused);
  // The first look's refusal is Start's error.
  if (looked_before_) Warn(&unwritable_, refused != 0, "pool '" + stats.name + "': " + unwritable.ToString());
  looked_before_ = true;
  if (refused != 0) *error = unwritable;
  return refused == 0;
}

void WatchCore::LookQuietly() {
  Error ignored;
  try {
    (void)Look(&ignored);
  } catch (const std::bad_alloc&) {
    // The next look may find memory.
  }
}

void WatchCore::Warn(bool* goes_on, bool is_so, const std::string& warning) {
  if (is_so && !*goes_on && options_.on_warning) options_.on_warning(warning);
  *goes_on = is_so;
}

bool WatchCore::StartThread(Error* error) {
  const auto refuse = [error](const char* operation, int errno_value) {
    *error = Error{.code = ErrorCode::kSystem,
                   .operation = operation,
                   .errno_value = errno_value,
                   .message = "the thread that writes statistics was refused",
                   .mend = "Raise the limits of open files and threads (ulimit -n, ulimit -u, pids.max)."};
    return false;
  };
  if (const int refused = os_.MakeBell(&bell_); refused != 0) {
    bell_ = -1;
    return refuse("eventfd", refused);
  }
  pthread_t thread;
  if (const int refused = os_.StartThread(RunThread, this, "hugepool-watch", &thread); refused != 0) {
    return refuse("pthread_create", refused);
  }
  thread_ = thread;
  return true;
}

void* WatchCore::RunThread(void* core) {
  static_cast<WatchCore*>(core)->Run();
  return nullptr;
}

void WatchCore::Run() {
  const int timeout_ms = static_cast<int>(options_.interval_seconds) * 1000;
  while (true) {
    pollfd bell{bell_, POLLIN, 0};
    if (os_.Wait(&bell, 1, timeout_ms) != 0 || bell.revents != 0) return;
    LookQuietly();
  }
}

}  // namespace hugepool::internal
