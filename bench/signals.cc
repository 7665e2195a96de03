#include "bench/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace hugepool::bench {

Signals::Signals() {
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGINT);
  sigaddset(&stopping, SIGTERM);
  sigprocmask(SIG_BLOCK, &stopping, &mask_before_);
  fd_ = signalfd(-1, &stopping, SFD_NONBLOCK | SFD_CLOEXEC);
  // A worker that died leaves a pipe that nobody reads; that is an error code, not the end of this process.
  std::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
  close(fd_);
  sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

int Signals::Arrived() {
  signalfd_siginfo info;
  if (arrived_ == 0 && read(fd_, &info, sizeof(info)) == sizeof(info)) arrived_ = static_cast<int>(info.ssi_signo);
  return arrived_;
}

}  // namespace hugepool::bench
