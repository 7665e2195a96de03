#include "bench/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace hugepool::testing {

nlohmann::json FileJson(const std::string& path) {
  return nlohmann::json::parse(FileText(path), nullptr, /*allow_exceptions=*/false);
}

Program::Program(const std::vector<std::string>& arguments, const std::string& path) {
  const std::string program = path.empty() ? KV_BENCH : path;
  std::vector<std::string> texts = {program.substr(program.rfind('/') + 1)};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) std::abort();
  error_fd_ = pipe_fds[0];
  output_fd_ = memfd_create("output", MFD_CLOEXEC);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(output_fd_, STDOUT_FILENO);
    dup2(pipe_fds[1], STDERR_FILENO);
    execv(program.c_str(), argv.data());
    _exit(126);
  }
  close(pipe_fds[1]);
}

Program::~Program() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(error_fd_);
  close(output_fd_);
}

bool Program::ReadMore() {
  char buffer[4096];
  const ssize_t count = read(error_fd_, buffer, sizeof buffer);
  if (count <= 0) return false;
  error_.append(buffer, static_cast<size_t>(count));
  return true;
}

bool Program::WaitForError(const std::string& text) {
  while (error_.find(text) == std::string::npos) {
    if (!ReadMore()) return false;
  }
  return true;
}

int Program::Wait() {
  while (ReadMore()) {
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Program::output() const { return FileText("/proc/self/fd/" + std::to_string(output_fd_)); }

std::vector<pid_t> Program::Workers() const {
  const std::string pid = std::to_string(pid_);
  std::istringstream list(FileText("/proc/" + pid + "/task/" + pid + "/children"));
  return {std::istream_iterator<pid_t>(list), std::istream_iterator<pid_t>()};
}

Outcome RunKvBench(const std::vector<std::string>& arguments) { return RunProgram(KV_BENCH, arguments); }

Outcome RunProgram(const std::string& path, const std::vector<std::string>& arguments) {
  Program program(arguments, path);
  Outcome outcome;
  outcome.exit_code = program.Wait();
  outcome.output = program.output();
  outcome.error = program.error();
  return outcome;
}

}  // namespace hugepool::testing
