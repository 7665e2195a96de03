#include "os/os_pressure.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace hugepool::internal {

int OsPressure::Open(const std::string& path, int* file) {
  *file = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  return *file < 0 ? errno : 0;
}

int OsPressure::Read(int file, std::string* text) {
  std::array<char, 128> buffer;
  const ssize_t length = pread(file, buffer.data(), buffer.size(), 0);
  if (length < 0) return errno;
  text->assign(buffer.data(), static_cast<size_t>(length));
  return 0;
}

int OsPressure::Write(int file, const std::string& text) {
  return write(file, text.c_str(), text.size() + 1) < 0 ? errno : 0;
}

int OsPressure::MakeBell(int* file) {
  *file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return *file < 0 ? errno : 0;
}

int OsPressure::Ring(int file) { return eventfd_write(file, 1) != 0 ? errno : 0; }

void OsPressure::Close(int file) { close(file); }

int OsPressure::Wait(pollfd* files, size_t count, int timeout_ms) {
  if (poll(files, count, timeout_ms) >= 0) return 0;
  if (errno != EINTR) return errno;
  for (size_t i = 0; i < count; ++i) files[i].revents = 0;
  return 0;
}

int OsPressure::StartThread(void* (*body)(void*), void* argument, pthread_t* thread) {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&blocked, fault);
  sigset_t before;
  // A thread starts with the mask of the one that makes it.
  if (const int refused = pthread_sigmask(SIG_SETMASK, &blocked, &before); refused != 0) return refused;
  const int refused = pthread_create(thread, nullptr, body, argument);
  if (refused == 0) (void)pthread_setname_np(*thread, "hugepool-psi");
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return refused;
}

void OsPressure::JoinThread(pthread_t thread) { (void)pthread_join(thread, nullptr); }

uint64_t OsPressure::NowNs() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

OsPressure& SystemPressure() {
  static OsPressure* const system = new OsPressure;  // never destroyed: a watch may outlive static destructors
  return *system;
}

}  // namespace hugepool::internal
