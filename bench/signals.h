// Signals: SIGINT and SIGTERM as a file descriptor, so that waiting for workers and for the user is one poll.
//
// Owner      the main thread makes it before any other thread starts (the mask is inherited)
// Threads    any thread may ask
#ifndef HUGEPOOL_BENCH_SIGNALS_H_
#define HUGEPOOL_BENCH_SIGNALS_H_

#include <csignal>

namespace hugepool::bench {

class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const { return fd_; }
  // The first of them that arrived, or 0. Does not wait.
  int Arrived();
  // What a child sets before it starts another program.
  const sigset_t& mask_before() const { return mask_before_; }

 private:
  int fd_ = -1;
  int arrived_ = 0;
  sigset_t mask_before_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_SIGNALS_H_
