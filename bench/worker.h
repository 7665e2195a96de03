// Worker: one process that fills one block cache on one allocator and works with it when told to.
//
// Shape      one JSON object a line. Commands on kCommandFd: fill or replay, round, finish. Replies on kReplyFd, one for each:
//            filled, round, finished; or skipped (this machine cannot run the row), or failed (something is wrong):
//            both with a reason, and the process ends
// Units      bytes, seconds, nanoseconds; named so
// Owner      the parent (WorkerProcess), whose end of the pipe closed ends the worker
#ifndef HUGEPOOL_BENCH_WORKER_H_
#define HUGEPOOL_BENCH_WORKER_H_

namespace hugepool::bench {

inline constexpr int kCommandFd = 3;
inline constexpr int kReplyFd = 4;

// Serves the commands. Returns the exit code.
int WorkerMain();

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_WORKER_H_
