// FakePressure: a pressure file that a test squeezes: a real file to poll (a TCP connection, whose urgent byte is what
// POLLPRI tells of, as an event is of a pressure file), a clock that the test turns, and calls that fail when told to.
//
// Shape      Open hands out one end of a connection; Squeeze sends an urgent byte into the other one. As with a pressure
//            file, a poll that tells of an event takes it (unless stuck).
// Units      ns
// Owner      the test; it outlives the watch
// Threads    any
// Invariant  open_count() is 0 when every file that was handed out was closed
#ifndef HUGEPOOL_TESTS_POOL_FAKE_PRESSURE_H_
#define HUGEPOOL_TESTS_POOL_FAKE_PRESSURE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "os/os_watch.h"

namespace hugepool::testing {

class FakePressure : public internal::OsWatch {
 public:
  FakePressure();
  ~FakePressure() override;

  int Open(const std::string& path, int* file) override;
  int Read(int file, std::string* text) override;
  int Write(int file, const std::string& text) override;
  int MakeBell(int* file) override;
  void Close(int file) override;
  int Wait(pollfd* files, size_t count, int timeout_ms) override;
  int StartThread(void* (*body)(void*), void* argument, const char* name, pthread_t* thread) override;
  uint64_t NowNs() const override { return now_ns; }

  // An event.
  void Squeeze();
  // The watched cgroup goes.
  void Remove() { removed = true; }

  // Errnos, 0 for success. Of Open by path, "" for any other one.
  std::map<std::string, int> open_errnos;
  int read_errno = 0;
  int write_errno = 0;
  int bell_errno = 0;
  int thread_errno = 0;
  int wait_errno = 0;
  std::string content = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
  // The event stays, however often it is told of.
  std::atomic<bool> stuck{false};
  std::atomic<bool> removed{false};
  std::atomic<uint64_t> now_ns{1'000'000'000};
  // A wait for time to pass turns the clock instead, where nothing happens.
  std::atomic<bool> time_flies{false};

  int open_count() const { return open_count_; }
  uint64_t wait_count() const { return wait_count_; }
  const std::vector<std::string>& opened() const { return opened_; }
  const std::vector<std::string>& written() const { return written_; }

 private:
  int listener_ = -1;
  int far_end_ = -1;
  int near_end_ = -1;
  std::atomic<int> open_count_{0};
  std::atomic<uint64_t> wait_count_{0};
  std::vector<std::string> opened_;
  std::vector<std::string> written_;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_FAKE_PRESSURE_H_
