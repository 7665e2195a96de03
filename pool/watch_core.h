// WatchCore: one PoolWatch, wired once: the pool, the file, the thread, and which episodes go on.
//
// Shape      the thread waits for the interval to pass, or for the bell, at which it ends
// Owner      the PoolWatch
// Threads    Look from any thread; the rest in Start and the destructor
// Invariant  of an episode that goes on nobody is told again
// Errors     Start says what was refused, and leaves no file open and no thread
// fork       as PressureCore: a child neither rings nor waits for the thread, and writes nothing
#ifndef HUGEPOOL_POOL_WATCH_CORE_H_
#define HUGEPOOL_POOL_WATCH_CORE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "hugepool/error.h"
#include "hugepool/pool_stats.h"
#include "hugepool/pool_watch.h"
#include "os/os_watch.h"

namespace hugepool::internal {

class WatchCore {
 public:
  static std::unique_ptr<WatchCore> Start(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, OsWatch& os,
                                          Error* error);
  ~WatchCore();

  bool Look(Error* error);
  const PoolWatchOptions& options() const { return options_; }

 private:
  WatchCore(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, OsWatch& os)
      : pool_(std::move(pool)), options_(options), os_(os) {}

  void LookQuietly();
  bool StartThread(Error* error);
  static void* RunThread(void* core);
  void Run();
  void Warn(bool* goes_on, bool is_so, const std::string& warning);
  bool InChild() const;

  const std::shared_ptr<Pool> pool_;
  const PoolWatchOptions options_;
  OsWatch& os_;
  int bell_ = -1;
  std::optional<pthread_t> thread_;
  // One look at a time, file and warnings included; no lock of the pool is held when it is taken.
  std::mutex look_mutex_;
  // Guarded by look_mutex_: the episodes that go on, and what was counted at the last look.
  bool degraded_ = false;
  bool departing_ = false;
  bool complained_ = false;
  bool unwritable_ = false;
  bool looked_before_ = false;
  uint64_t departure_count_ = 0;
};

// PoolWatch::Start with a system of the caller's, which must outlive the writer.
std::unique_ptr<PoolWatch> StartPoolWatch(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, OsWatch& os,
                                          Error* error);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_WATCH_CORE_H_
