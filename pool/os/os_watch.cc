#include "os/os_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace hugepool::internal {

int OsWatch::Open(const std::string& path, int* file) {
  *file = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  return *file < 0 ? errno : 0;
}

int OsWatch::Read(int file, std::string* text) {
  std::array<char, 128> buffer;
  const ssize_t length = pread(file, buffer.data(), buffer.size(), 0);
  if (length < 0) return errno;
  text->assign(buffer.data(), static_cast<size_t>(length));
  return 0;
}

int OsWatch::Write(int file, const std::string& text) {
  return write(file, text.c_str(), text.size() + 1) < 0 ? errno : 0;
}

int OsWatch::MakeBell(int* file) {
  *file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return *file < 0 ? errno : 0;
}

int OsWatch::Ring(int file) { return eventfd_write(file, 1) != 0 ? errno : 0; }

void OsWatch::Close(int file) { close(file); }

int OsWatch::Wait(pollfd* files, size_t count, int timeout_ms) {
  if (poll(files, count, timeout_ms) >= 0) return 0;
  if (errno != EINTR) return errno;
  for (size_t i = 0; i < count; ++i) files[i].revents = 0;
  return 0;
}

int OsWatch::StartThread(void* (*body)(void*), void* argument, const char* name, pthread_t* thread) {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&blocked, fault);
  sigset_t before;
  // A thread starts with the mask of the one that makes it.
  if (const int refused = pthread_sigmask(SIG_SETMASK, &blocked, &before); refused != 0) return refused;
  const int refused = pthread_create(thread, nullptr, body, argument);
  if (refused == 0) (void)pthread_setname_np(*thread, name);
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return refused;
}

int OsWatch::ReplaceFile(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return errno;
  int refused = 0;
  for (size_t written = 0; refused == 0 && written < text.size();) {
    const ssize_t count = write(file, text.data() + written, text.size() - written);
    if (count < 0 && errno != EINTR) refused = errno;
    if (count > 0) written += static_cast<size_t>(count);
  }
  // Some file systems tell of a full disk only here.
  if (close(file) != 0 && refused == 0) refused = errno;
  if (refused == 0 && rename(fresh.c_str(), path.c_str()) != 0) refused = errno;
  if (refused != 0) (void)unlink(fresh.c_str());
  return refused;
}

void OsWatch::JoinThread(pthread_t thread) { (void)pthread_join(thread, nullptr); }

uint64_t OsWatch::NowNs() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

OsWatch& SystemWatch() {
  static OsWatch* const system = new OsWatch;  // never destroyed: a watch may outlive static destructors
  return *system;
}

}  // namespace hugepool::internal
