// Program: one run of kv_bench or of another of our programs, from the outside; and a directory for its files.
//
// Shape      standard error through a pipe (so that a test can wait for a line), standard output into a file
// Owner      the test; the destructor ends a program that still runs
// Threads    one owner
#ifndef HUGEPOOL_TESTS_BENCH_PROGRAM_H_
#define HUGEPOOL_TESTS_BENCH_PROGRAM_H_

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "scratch_dir.h"

namespace hugepool::testing {

nlohmann::json FileJson(const std::string& path);

class Program {
 public:
  // Starts kv_bench, or the program of that path.
  explicit Program(const std::vector<std::string>& arguments, const std::string& path = "");
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Reads standard error until it holds the text. False when it ended without.
  bool WaitForError(const std::string& text);
  // Waits for the end. The exit code, or 128 + signal.
  int Wait();
  const std::string& error() const { return error_; }
  std::string output() const;
  pid_t pid() const { return pid_; }
  // Its children now.
  std::vector<pid_t> Workers() const;

 private:
  bool ReadMore();

  pid_t pid_ = -1;
  int error_fd_ = -1;
  int output_fd_ = -1;
  std::string error_;
};

struct Outcome {
  int exit_code = -1;
  std::string output;
  std::string error;
};
Outcome RunKvBench(const std::vector<std::string>& arguments);
Outcome RunProgram(const std::string& path, const std::vector<std::string>& arguments);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_BENCH_PROGRAM_H_
