// PoolWatch: looks after a pool at an interval: does what is due there (Pool::Tend), keeps a file with its statistics for a scraper, and
// says when it is not what was asked for.
//
// Shape      a thread. The file has the Prometheus text (PoolStats::ToPrometheus); others see it whole, old or new. A warning comes once
//            when an episode begins: pages on a lower rung than asked for, blocks from another node than wanted, a file
//            that cannot be written
// Units      seconds
// Owner      the caller; the writer keeps its pool alive
// Threads    every call from any thread but the destructor, which comes alone; warnings come in the thread that looks, one at
//            a time
// Invariant  an episode is warned of once, and may begin again only after a look that found nothing of it
// Errors     Start fills an Error: a value out of range, or a file that cannot be written. Later the file is tried again at
//            each look; what was written last stays.
// fork       a child has no such thread: nothing is written there, the destructor waits for nobody
// Cost       Pool::Tend, Pool::Stats and one small file for each look; nothing for those who allocate
#ifndef HUGEPOOL_POOL_WATCH_H_
#define HUGEPOOL_POOL_WATCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"

namespace hugepool {

namespace internal {
class WatchCore;
struct PoolWatchBuilder;
}  // namespace internal

struct PoolWatchOptions {
  // Replaced at every look by way of "FILE.new". A name that ends in .prom suits node_exporter's textfile collector. Empty:
  // nothing is written.
  std::string file;

  // Between two looks. 1 to 3,600.
  uint32_t interval_seconds = 10;

  // One sentence for people, which names pool, figures and the mend. Empty: nobody is told. Does not throw, and does not
  // call the writer. The same holds for the two below.
  std::function<void(const std::string& warning)> on_warning;

  // Further text behind the pool's own, in the same format.
  std::function<std::string()> more_text;

  // What else is wrong now, "" while nothing is: an episode like the others, asked about at each look.
  std::function<std::string()> more_complaint;
};

class HUGEPOOL_EXPORT PoolWatch {
 public:
  // Looks for the first time and starts the thread. Returns nullptr and fills *error (when not null).
  static std::unique_ptr<PoolWatch> Start(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, Error* error);

  // Looks for the last time, and ends the thread.
  ~PoolWatch();

  PoolWatch(const PoolWatch&) = delete;
  PoolWatch& operator=(const PoolWatch&) = delete;

  // Looks now. False, with *error (when not null) filled: the file cannot be written.
  bool LookNow(Error* error);

  const PoolWatchOptions& options() const noexcept;

 private:
  friend struct internal::PoolWatchBuilder;
  explicit PoolWatch(std::unique_ptr<internal::WatchCore> core);

  const std::unique_ptr<internal::WatchCore> core_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_POOL_WATCH_H_
