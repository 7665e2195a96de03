#include "pool/fake_pressure.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace hugepool::testing {
namespace {

void Must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("FakePressure: ") + what);
}

}  // namespace

FakePressure::FakePressure() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  Must(bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0, "bind");
  Must(listen(listener_, 1) == 0, "listen");
  Must(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0, "getsockname");
  far_end_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Must(connect(far_end_, reinterpret_cast<sockaddr*>(&address), length) == 0, "connect");
  near_end_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  Must(near_end_ >= 0, "accept");
}

FakePressure::~FakePressure() {
  for (const int file : {listener_, far_end_, near_end_}) close(file);
}

int FakePressure::Open(const std::string& path, int* file) {
  opened_.push_back(path);
  const auto found = open_errnos.find(open_errnos.contains(path) ? path : std::string());
  if (found != open_errnos.end() && found->second != 0) return found->second;
  *file = fcntl(near_end_, F_DUPFD_CLOEXEC, 0);
  ++open_count_;
  return 0;
}

int FakePressure::Read(int, std::string* text) {
  *text = content;
  return read_errno;
}

int FakePressure::Write(int, const std::string& text) {
  written_.push_back(text);
  return write_errno;
}

int FakePressure::MakeBell(int* file) {
  if (bell_errno != 0) return bell_errno;
  ++open_count_;
  return OsWatch::MakeBell(file);
}

void FakePressure::Close(int file) {
  --open_count_;
  OsWatch::Close(file);
}

int FakePressure::Wait(pollfd* files, size_t count, int timeout_ms) {
  ++wait_count_;
  if (wait_errno != 0) return wait_errno;
  const bool flies = timeout_ms > 0 && time_flies;
  const int refused = OsWatch::Wait(files, count, flies ? 0 : timeout_ms);
  const bool idle = std::all_of(files, files + count, [](const pollfd& file) { return file.revents == 0; });
  if (flies && idle) now_ns += static_cast<uint64_t>(timeout_ms) * 1'000'000;
  for (size_t i = 0; i < count; ++i) {
    char urgent = 0;
    if ((files[i].revents & POLLPRI) != 0 && !stuck) (void)recv(files[i].fd, &urgent, 1, MSG_OOB);
    if (removed && files[i].fd >= 0 && (files[i].events & POLLIN) == 0) files[i].revents = POLLPRI | POLLERR;
  }
  return refused;
}

int FakePressure::StartThread(void* (*body)(void*), void* argument, const char* name, pthread_t* thread) {
  return thread_errno != 0 ? thread_errno : OsWatch::StartThread(body, argument, name, thread);
}

void FakePressure::Squeeze() { Must(send(far_end_, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1, "send"); }

}  // namespace hugepool::testing
