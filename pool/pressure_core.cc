#include "pool/pressure_core.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "pool/pool_core.h"
#include "topology/own_cgroup.h"

namespace hugepool::internal {
namespace {

constexpr uint64_t kMinWindowUs = 500'000;
constexpr uint64_t kMaxWindowUs = 10'000'000;
constexpr uint64_t kFreeWindowUs = 2'000'000;  // multiples of it need no capability
constexpr uint64_t kNsPerUs = 1'000;
constexpr uint64_t kNsPerMs = 1'000'000;
constexpr const char* kSystemFile = "/proc/pressure/memory";

bool Refuse(Error* error, std::string message, std::string mend) {
  *error = Error{.code = ErrorCode::kInvalidArgument,
                 .operation = "PressureWatch::Start",
                 .message = std::move(message),
                 .mend = std::move(mend)};
  return false;
}

bool RefuseNumber(Error* error, const char* name, uint64_t value, uint64_t least, uint64_t most) {
  return Refuse(error, std::string(name) + " = " + std::to_string(value) + " is out of range",
                "Allowed: " + std::to_string(least) + " to " + std::to_string(most) + ".");
}

bool Validate(const Pool* pool, const PressureOptions& options, Error* error) {
  if (pool == nullptr) return Refuse(error, "pool is null", "Create the Pool first.");
  if (options.window_us < kMinWindowUs || options.window_us > kMaxWindowUs) {
    return RefuseNumber(error, "window_us", options.window_us, kMinWindowUs, kMaxWindowUs);
  }
  if (options.stall_us == 0 || options.stall_us > options.window_us) {
    return RefuseNumber(error, "stall_us", options.stall_us, 1, options.window_us);
  }
  if (options.step_bytes < kHugePageBytes) {
    return RefuseNumber(error, "step_bytes", options.step_bytes, kHugePageBytes, SIZE_MAX);
  }
  const size_t capacity_bytes = pool->options().capacity_bytes;
  if (options.keep_bytes > capacity_bytes) {
    return RefuseNumber(error, "keep_bytes", options.keep_bytes, 0, capacity_bytes);
  }
  if (options.file.find('\0') != std::string::npos) {
    return Refuse(error, "file has a 0 byte in it", "Allowed: the path of a pressure file, or nothing.");
  }
  return true;
}

Error Refused(const std::string& operation, int errno_value, const std::string& file, const PressureOptions& options) {
  Error error{.code = ErrorCode::kSystem,
              .operation = operation,
              .errno_value = errno_value,
              .message = "memory pressure cannot be watched by file = '" + file + "'",
              .mend = "Call Pool::Trim where the caller learns of pressure in another way."};
  switch (errno_value) {
    case ENOENT:
    case EOPNOTSUPP:
    case ENXIO:
      error.code = ErrorCode::kUnsupportedKernel;
      error.message += ": it is not there, or the kernel has its pressure stall information switched off";
      error.mend =
          "Boot with psi=1 (Linux 5.2 or newer, CONFIG_PSI), and write 1 to the cgroup's cgroup.pressure; or "
          "name another pressure file.";
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      error.message += ": it may not be written";
      error.mend =
          "Before Linux 6.4 only CAP_SYS_RESOURCE may; later the file's permissions and a writable mount "
          "decide: name a pressure file that this process may write.";
      break;
    case EINVAL:
      error.message += ": the kernel refuses stall_us = " + std::to_string(options.stall_us) +
                       ", window_us = " + std::to_string(options.window_us);
      error.mend = options.window_us % kFreeWindowUs == 0
                       ? "Allowed windows are the kernel's: see its Documentation/accounting/psi.rst."
                       : "Allowed without CAP_SYS_RESOURCE: multiples of " + std::to_string(kFreeWindowUs) + " up to " +
                             std::to_string(kMaxWindowUs) + ".";
      break;
    case EMFILE:
    case ENFILE: error.mend = "Raise the limit of open files (ulimit -n)."; break;
    default: break;
  }
  return error;
}

}  // namespace

std::unique_ptr<PressureCore> PressureCore::Start(std::shared_ptr<Pool> pool, const PressureOptions& options,
                                                  OsWatch& os, const SystemFiles& files, Error* error) {
  if (!Validate(pool.get(), options, error)) return nullptr;
  std::unique_ptr<PressureCore> core(new PressureCore(std::move(pool), options, os));
  if (core->InChild()) {
    (void)Refuse(error, "this process is a forked child: the pool's pages are its parent's",
                 "Watch in the process that created the pool.");
    return nullptr;
  }
  if (!core->OpenTrigger(files, error)) return nullptr;
  if (options.own_thread && !core->StartThread(error)) return nullptr;
  return core;
}

PressureCore::~PressureCore() {
  // In a child the thread is not there, and the bell is the parent's too.
  if (thread_ && !InChild()) {
    (void)os_.Ring(bell_);
    os_.JoinThread(*thread_);
  }
  if (bell_ >= 0) os_.Close(bell_);
  if (trigger_ >= 0) os_.Close(trigger_);
}

bool PressureCore::InChild() const { return CoreOf(*pool_).InChild(); }

// The first file that takes the trigger; the error is the machine's, which every process has.
bool PressureCore::OpenTrigger(const SystemFiles& files, Error* error) {
  if (!options_.file.empty()) return RegisterAt(options_.file, error);
  const std::optional<OwnCgroup> own = FindOwnCgroup(files);
  Error ignored;
  if (own && own->visible && RegisterAt(own->folder() + "/memory.pressure", &ignored)) return true;
  return RegisterAt(kSystemFile, error);
}

bool PressureCore::RegisterAt(const std::string& file, Error* error) {
  if (const int refused = os_.Open(file, &trigger_); refused != 0) {
    trigger_ = -1;
    *error = Refused("open", refused, file, options_);
    return false;
  }
  options_.file = file;
  if (Register(error)) return true;
  options_.file.clear();
  os_.Close(trigger_);
  trigger_ = -1;
  return false;
}

bool PressureCore::Register(Error* error) {
  std::string content;
  if (const int refused = os_.Read(trigger_, &content); refused != 0) {
    *error = Refused("read", refused, options_.file, options_);
    return false;
  }
  // Any other file would take the text, and never tell of an event.
  if (!content.starts_with("some avg10=")) {
    return Refuse(error, "file = '" + options_.file + "' is no pressure file: it says " + Quoted(content),
                  "Allowed: /proc/pressure/memory, or memory.pressure of a cgroup v2.");
  }
  const std::string trigger = "some " + std::to_string(options_.stall_us) + " " + std::to_string(options_.window_us);
  const int refused = os_.Write(trigger_, trigger);
  if (refused != 0) *error = Refused("write '" + trigger + "'", refused, options_.file, options_);
  return refused == 0;
}

bool PressureCore::StartThread(Error* error) {
  if (const int refused = os_.MakeBell(&bell_); refused != 0) {
    bell_ = -1;
    *error = Refused("eventfd", refused, options_.file, options_);
    return false;
  }
  pthread_t thread;
  if (const int refused = os_.StartThread(RunThread, this, "hugepool-psi", &thread); refused != 0) {
    *error = Refused("pthread_create", refused, options_.file, options_);
    error->message = "the thread that watches memory pressure was refused";
    error->mend = "Raise the limit of threads (ulimit -u, pids.max), or set own_thread = false and poll fd().";
    return false;
  }
  thread_ = thread;
  return true;
}

void* PressureCore::RunThread(void* core) {
  static_cast<PressureCore*>(core)->Run();
  return nullptr;
}

void PressureCore::Run() {
  while (true) {
    // Within the window of the last trim only the bell is heard; an event that comes then is seen behind it.
    const uint64_t quiet_ns = NsUntilNextTrim();
    pollfd files[] = {{bell_, POLLIN, 0}, {quiet_ns == 0 ? trigger_ : -1, POLLPRI, 0}};
    const int timeout_ms = quiet_ns == 0 ? -1 : static_cast<int>((quiet_ns + kNsPerMs - 1) / kNsPerMs);
    const int refused = os_.Wait(files, 2, timeout_ms);
    if (refused == 0 && files[0].revents != 0) return;
    if (refused != 0 || (files[1].revents & (POLLERR | POLLNVAL)) != 0) {
      watching_.store(false, std::memory_order_relaxed);
      return;
    }
    if ((files[1].revents & POLLPRI) != 0) Trim();
  }
}

bool PressureCore::HandleEvent() {
  if (InChild()) {
    watching_.store(false, std::memory_order_relaxed);
    return false;
  }
  // The caller's poll has taken the event; this one only asks whether the trigger is still there.
  pollfd file{trigger_, 0, 0};
  if (os_.Wait(&file, 1, 0) != 0 || (file.revents & (POLLERR | POLLNVAL)) != 0) {
    watching_.store(false, std::memory_order_relaxed);
    return false;
  }
  Trim();
  return true;
}

uint64_t PressureCore::NsUntilNextTrim() const {
  const uint64_t next_ns = next_trim_ns_.load(std::memory_order_relaxed);
  return next_ns - std::min(next_ns, os_.NowNs());
}

// Nothing, while a window has not passed since the last trim.
void PressureCore::Trim() {
  const uint64_t now_ns = os_.NowNs();
  uint64_t next_ns = next_trim_ns_.load(std::memory_order_relaxed);
  if (now_ns < next_ns) return;
  const uint64_t after_ns = now_ns + options_.window_us * kNsPerUs;
  if (!next_trim_ns_.compare_exchange_strong(next_ns, after_ns, std::memory_order_relaxed)) return;
  CoreOf(*pool_).RelievePressure(options_.step_bytes, options_.keep_bytes);
}

}  // namespace hugepool::internal
