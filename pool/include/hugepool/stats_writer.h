// StatsWriter: keeps a file with a pool's statistics for a scraper, and says when the pool is not what was asked for.
//
// Shape      a thread that looks at the pool at an interval: writes the Prometheus text (PoolStats::ToPrometheus) to a file,
//            which others see whole, old or new; and warns once when an episode begins: pages on a lower rung than asked for,
//            blocks from another node than wanted, a file that cannot be written
// Units      seconds
// Owner      the caller; the writer keeps its pool alive
// Threads    every call from any thread but the destructor, which comes alone; warnings come in the thread that looks, one at
//            a time
// Invariant  an episode is warned of once, and may begin again only after a look that found nothing of it
// Errors     Start fills an Error: a value out of range, or a file that cannot be written. Later the file is tried again at
//            each look; what was written last stays.
// fork       a child has no such thread: nothing is written there, the destructor waits for nobody
// Cost       Pool::Stats and one small file for each look; nothing for those who allocate
#ifndef HUGEPOOL_STATS_WRITER_H_
#define HUGEPOOL_STATS_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"

namespace hugepool {

namespace internal {
class StatsCore;
struct StatsWriterBuilder;
}  // namespace internal

struct StatsWriterOptions {
  // Replaced at every look by way of "FILE.new". A name that ends in .prom suits node_exporter's textfile collector. Empty:
  // nothing is written, only warned.
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

class HUGEPOOL_EXPORT StatsWriter {
 public:
  // Looks for the first time and starts the thread. Returns nullptr and fills *error (when not null).
  static std::unique_ptr<StatsWriter> Start(std::shared_ptr<Pool> pool, const StatsWriterOptions& options,
                                            Error* error);

  // Looks for the last time, and ends the thread.
  ~StatsWriter();

  StatsWriter(const StatsWriter&) = delete;
  StatsWriter& operator=(const StatsWriter&) = delete;

  // Looks now. False, with *error (when not null) filled: the file cannot be written.
  bool LookNow(Error* error);

  const StatsWriterOptions& options() const noexcept;

 private:
  friend struct internal::StatsWriterBuilder;
  explicit StatsWriter(std::unique_ptr<internal::StatsCore> core);

  const std::unique_ptr<internal::StatsCore> core_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_STATS_WRITER_H_
