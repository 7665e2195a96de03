// OnCpu: a piece of work on one CPU, to its end.
//
// Threads    a thread of its own for each call; the caller waits
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_WORKER_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_WORKER_H_

#include <sched.h>

#include <stdexcept>
#include <thread>

namespace hugepool::guest {

// The calling thread runs there from now on.
inline void PinToCpu(int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(cpu), &cpus);
  if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) throw std::runtime_error("sched_setaffinity was refused");
}

template <typename Work>
void OnCpu(int cpu, Work work) {
  std::thread([&] {
    PinToCpu(cpu);
    work();
  }).join();
}

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_WORKER_H_
