#include "numa_guest/child.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <stdexcept>

namespace hugepool::guest {

void Line::Send(uint64_t number) const {
  if (send(write_file_, &number, sizeof number, MSG_NOSIGNAL) != sizeof number) {
    throw std::runtime_error("the other process is gone");
  }
}

bool Line::Receive(uint64_t* number) const {
  ssize_t got = 0;
  do {
    got = recv(read_file_, number, sizeof *number, MSG_WAITALL);
  } while (got < 0 && errno == EINTR);
  return got == sizeof *number;
}

Child::Child(const std::function<void(const Line&)>& work) {
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, files_) != 0) throw std::runtime_error("socketpair was refused");
  std::fflush(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork was refused");
  if (pid_ == 0) {
    close(files_[0]);
    bool threw = false;
    try {
      work(Line(files_[1], files_[1]));
    } catch (const std::exception& thrown) {
      std::printf("child: %s\n", thrown.what());
      threw = true;
    }
    std::fflush(nullptr);
    _exit(threw || testing::Test::HasFailure() ? 1 : 0);
  }
  close(files_[1]);
  line_ = Line(files_[0], files_[0]);
}

Child::~Child() {
  if (pid_ > 0) {
    Kill();
    Wait();
  }
  close(files_[0]);
}

uint64_t Child::Receive() const {
  uint64_t number = 0;
  if (!line_.Receive(&number)) throw std::runtime_error("the child ended before it answered");
  return number;
}

void Child::Kill() const { kill(pid_, SIGKILL); }

int Child::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

int RunInChild(const std::function<void()>& work) {
  Child child([&work](const Line&) { work(); });
  return child.Wait();
}

}  // namespace hugepool::guest
