// PressureWatch: trims a pool when the kernel says that memory is short (PSI, pressure stall information).
//
// Shape      a trigger on a pressure file: "tell me when tasks stalled for memory for stall_us of window_us". At an event
//            the caches are drained and a step of the pool's empty pages is given back, as by Pool::Trim.
// Units      µs and bytes
// Owner      the caller; the watch keeps its pool alive
// Threads    every call from any thread but the destructor, which comes alone
// Invariant  at most one trim per window_us; what the watch gives back, or marks to be given back when it has become
//            empty, leaves keep_bytes
// Errors     Start fills an Error that names the value, the range and the mend. Without a watch Pool::Trim stays, for
//            callers that learn of pressure in another way.
// fork       a child has no watching thread, and a watch that does nothing: HandleEvent returns false, the destructor
//            closes the child's files, and the parent's watch goes on
// Cost       nothing while there is no pressure; a trim is Pool::Trim's, in the watch's thread or the caller's. Threads
//            that allocate meanwhile go on, with caches that have just been emptied.
//
// What a trim helps, by what stands behind the pool's pages:
//   small, transparent  The memory is the system's again at once, and no longer charged to this process's cgroup: just
//                       what was short.
//   hugetlb             The pages go back to the reserve of huge pages. Other users of that reserve can have them; pressure
//                       on ordinary memory does not fall, nor does memory.current, which does not count them unless
//                       cgroup2 was mounted with memory_hugetlb_accounting. (Surplus pages, beyond nr_hugepages, go
//                       back to the system.) For such a pool a watch pays where it stepped down the ladder, or where
//                       somebody moves the reserve; else leave it out.
// Live blocks stay. Where too little is empty, the emptiest pages are marked (NodeStats::draining_bytes) and follow as
// the engine frees what lives there: let it shrink its cache as well.
#ifndef HUGEPOOL_PRESSURE_WATCH_H_
#define HUGEPOOL_PRESSURE_WATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"

namespace hugepool {

namespace internal {
class PressureCore;
struct PressureWatchBuilder;
}  // namespace internal

struct PressureOptions {
  // The pressure file. Empty: memory.pressure of this process's cgroup (v2), which counts the stalls of its own tasks,
  // whatever made them; where there is none, or it is refused, /proc/pressure/memory, which counts those of all.
  std::string file;

  // Stalled for so long within a window ("some": at least one task) is an event. 1 to window_us.
  uint64_t stall_us = 200'000;

  // 500,000 to 10,000,000. Without CAP_SYS_RESOURCE the kernel takes only multiples of 2,000,000 (from Linux 6.4 on, and
  // nothing before).
  uint64_t window_us = 2'000'000;

  // Most that one event gives back or marks, rounded up to the pool's page_bytes. From 2 MiB on.
  size_t step_bytes = size_t{1} << 30;

  // What stays committed whatever the pressure. 0 to the pool's capacity_bytes. (Up to page_bytes more where that is 1 GiB.)
  size_t keep_bytes = 0;

  // Whether the watch has a thread of its own. False: the caller polls fd() and calls HandleEvent.
  bool own_thread = true;
};

class HUGEPOOL_EXPORT PressureWatch {
 public:
  // Registers the trigger and, where asked for, starts the thread. Returns nullptr and fills *error (when not null): a
  // value out of range, a kernel without PSI, a file that may not be written. Cost: a few system calls.
  static std::unique_ptr<PressureWatch> Start(std::shared_ptr<Pool> pool, const PressureOptions& options, Error* error);

  // Ends the thread, after the trim that is under way if there is one, and unregisters the trigger.
  ~PressureWatch();

  PressureWatch(const PressureWatch&) = delete;
  PressureWatch& operator=(const PressureWatch&) = delete;

  // For a loop of the caller's: poll or epoll it for POLLPRI (EPOLLPRI), then call HandleEvent. Never read it, nor close
  // it. -1 with own_thread.
  int fd() const noexcept;

  // Call it when fd() is ready. Trims, unless a window has not passed since the last trim: then the
  // event is dropped, and the kernel tells again as long as tasks stall. False: no more events will
  // come (the watched cgroup is gone, or this is a forked child): take fd() out of the loop.
  bool HandleEvent() noexcept;

  // Whether events may still come; false from when HandleEvent, or the thread, found that they will not.
  bool watching() const noexcept;

  // As given to Start, with the file that is watched. Events and bytes are counted in PoolStats (pressure_event_count,
  // pressure_trimmed_bytes).
  const PressureOptions& options() const noexcept;

 private:
  friend struct internal::PressureWatchBuilder;
  explicit PressureWatch(std::unique_ptr<internal::PressureCore> core);

  const std::unique_ptr<internal::PressureCore> core_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_PRESSURE_WATCH_H_
