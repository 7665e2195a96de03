// WorkerProcess: the parent's handle of one Worker.
//
// Shape      this same binary, started again with --worker, the row's library preloaded and its variables set; every
//            allocator variable of the caller's environment is taken out first
// Owner      the parent; the destructor ends the process. The kernel ends it, too, when the parent dies
// Threads    one owner
// Errors     Ask returns an object with event "failed" when the worker dies, with the signal or exit code
#ifndef HUGEPOOL_BENCH_WORKER_PROCESS_H_
#define HUGEPOOL_BENCH_WORKER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/allocator_catalog.h"
#include "bench/signals.h"

namespace hugepool::bench {

class WorkerProcess {
 public:
  // library_path: what to preload, or "". nullptr and *problem filled when the system refuses.
  static std::unique_ptr<WorkerProcess> Start(const AllocatorRow& row, const std::string& library_path,
                                              Signals* signals, std::string* problem);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Sends one command and waits for its reply, for a signal (event "interrupted"), or for the worker's end.
  nlohmann::json Ask(const nlohmann::json& command);

  // Tells the worker to close everything and waits for its end. "" when it left with exit code 0.
  std::string Finish();

  pid_t pid() const { return pid_; }

 private:
  WorkerProcess() = default;
  std::string DescribeEnd();  // waits for the end of a worker whose pipe closed

  pid_t pid_ = -1;  // -1 once waited for
  int command_fd_ = -1;
  int reply_fd_ = -1;
  Signals* signals_ = nullptr;
  std::string received_;  // behind the last newline
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_WORKER_PROCESS_H_
