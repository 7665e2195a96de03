// PressureCore: one PressureWatch, wired once: the file that is watched, the trigger on it, the thread, and when a trim
// is due.
//
// Shape      a trigger and, with own_thread, a bell: the thread waits for either, trims at an event, then waits out the
//            window; it ends at the bell
// Units      µs in the options, ns inside
// Owner      the PressureWatch
// Threads    HandleEvent and watching() from any thread; the rest in Start and the destructor
// Invariant  next_trim_ns_ moves by at least a window with each trim: whoever moves it trims
// Errors     Start says what was refused, and leaves no file open
// fork       the bell and the trigger are shared with the parent: a child neither rings nor waits for the thread
#ifndef HUGEPOOL_POOL_PRESSURE_CORE_H_
#define HUGEPOOL_POOL_PRESSURE_CORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "hugepool/error.h"
#include "hugepool/pressure_watch.h"
#include "os/os_watch.h"
#include "topology/system_files.h"

namespace hugepool::internal {

class PressureCore {
 public:
  static std::unique_ptr<PressureCore> Start(std::shared_ptr<Pool> pool, const PressureOptions& options, OsWatch& os,
                                             const SystemFiles& files, Error* error);
  ~PressureCore();

  int fd() const { return options_.own_thread ? -1 : trigger_; }
  bool HandleEvent();
  // Relaxed: it tells, and orders nothing.
  bool watching() const { return watching_.load(std::memory_order_relaxed); }
  const PressureOptions& options() const { return options_; }

 private:
  PressureCore(std::shared_ptr<Pool> pool, const PressureOptions& options, OsWatch& os)
      : pool_(std::move(pool)), options_(options), os_(os) {}

  bool OpenTrigger(const SystemFiles& files, Error* error);
  bool RegisterAt(const std::string& file, Error* error);
  bool Register(Error* error);
  bool StartThread(Error* error);
  static void* RunThread(void* core);
  void Run();
  void Trim();
  uint64_t NsUntilNextTrim() const;
  bool InChild() const;

  const std::shared_ptr<Pool> pool_;
  PressureOptions options_;  // constant once Start has found the file
  OsWatch& os_;
  int trigger_ = -1;
  int bell_ = -1;
  std::optional<pthread_t> thread_;
  std::atomic<bool> watching_{true};
  // Relaxed: who moves it trims, and the pool guards itself.
  std::atomic<uint64_t> next_trim_ns_{0};
};

// PressureWatch::Start with a system of the caller's; both must outlive the watch (the files only this call).
std::unique_ptr<PressureWatch> StartPressureWatch(std::shared_ptr<Pool> pool, const PressureOptions& options,
                                                  OsWatch& os, const SystemFiles& files, Error* error);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_PRESSURE_CORE_H_
