// Child: a process that does one thing for a test: beside it (a rival, a predecessor) or in its place (in a cgroup,
// under a seccomp filter).
//
// Owner      the test; a child that still runs at destruction is killed and waited for
// Threads    the parent must have one thread and no pool when it forks
// Errors     a refused fork or pipe, and a child that breaks the pipe, end the test (std::runtime_error)
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_CHILD_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_CHILD_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace hugepool::guest {

// Both ends of a conversation in whole numbers.
class Line {
 public:
  Line(int read_file, int write_file) : read_file_(read_file), write_file_(write_file) {}
  void Send(uint64_t number) const;
  // False when the other side is gone.
  bool Receive(uint64_t* number) const;

 private:
  int read_file_;
  int write_file_;
};

class Child {
 public:
  // The child ends with status 0 when `work` returns without a failed assertion, and 1 otherwise.
  explicit Child(const std::function<void(const Line&)>& work);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void Send(uint64_t number) const { line_.Send(number); }
  uint64_t Receive() const;
  uint64_t Ask(uint64_t number) const {
    Send(number);
    return Receive();
  }
  // SIGKILL, without waiting for the kernel to take the process apart.
  void Kill() const;
  // The status as waitpid gives it.
  int Wait();

 private:
  pid_t pid_ = -1;
  int files_[2] = {-1, -1};
  Line line_{-1, -1};
};

// Runs `work` in a child and waits; its assertions are printed by the child. Returns the status as waitpid gives it.
int RunInChild(const std::function<void()>& work);

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_CHILD_H_
