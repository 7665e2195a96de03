#include "bench/bench_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bench/process_memory.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr int kExecFailed = 127;

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What people look for is at the end.
std::string LastLines(const std::string& text) {
  constexpr size_t kMostBytes = 400;
  std::string end = text.size() > kMostBytes ? "…" + text.substr(text.size() - kMostBytes) : text;
  while (!end.empty() && end.back() == '\n') end.pop_back();
  return end;
}

// Reads until the other side closes. "" or what ended it early.
std::string ReadAll(int fd, Clock::time_point deadline, Signals* signals, ProcessOutcome* outcome) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return "time-out";
    pollfd waited_for[] = {{fd, POLLIN, 0}, {signals->fd(), POLLIN, 0}};
    if (poll(waited_for, 2, static_cast<int>(std::min<long>(left, 60'000))) < 0 && errno != EINTR) {
      return fmt::format("poll: {}", std::strerror(errno));
    }
    if (signals->Arrived() != 0) {
      outcome->interrupted = true;
      return "interrupted";
    }
    if ((waited_for[0].revents & (POLLIN | POLLHUP)) == 0) continue;
    char buffer[65536];
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count <= 0) return "";
    outcome->output.append(buffer, static_cast<size_t>(count));
  }
}

}  // namespace

ProcessOutcome RunBenchProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                               double timeout_seconds, Signals* signals) {
  ProcessOutcome outcome;
  std::vector<std::string> argument_texts = arguments, environment_texts = environment;
  const std::vector<char*> argv = Pointers(&argument_texts), envp = Pointers(&environment_texts);
  int output_fds[2];
  const int error_fd = memfd_create("error", MFD_CLOEXEC);
  if (error_fd < 0 || pipe2(output_fds, O_CLOEXEC) != 0) {
    outcome.problem = fmt::format("memfd_create or pipe2: {}", std::strerror(errno));
    if (error_fd >= 0) close(error_fd);
    return outcome;
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(kExecFailed);  // it died before the line above
    sigprocmask(SIG_SETMASK, &signals->mask_before(), nullptr);
    dup2(output_fds[1], STDOUT_FILENO);
    dup2(error_fd, STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(kExecFailed);
  }
  close(output_fds[1]);
  if (pid < 0) {
    outcome.problem = fmt::format("fork: {}", std::strerror(errno));
  } else {
    const auto timeout = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds));
    const std::string early = ReadAll(output_fds[0], Clock::now() + timeout, signals, &outcome);
    if (!early.empty()) kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    outcome.error = ReadTextFile("/proc/self/fd/" + std::to_string(error_fd));
    if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
    if (early == "time-out") {
      outcome.problem = fmt::format("not done after {} s, and ended", timeout_seconds);
    } else if (!early.empty()) {
      outcome.problem = early;
    } else if (WIFSIGNALED(status)) {
      outcome.problem = fmt::format("ended by SIG{} {}", sigabbrev_np(WTERMSIG(status)), LastLines(outcome.error));
    } else if (outcome.exit_code == kExecFailed) {
      outcome.problem = fmt::format("{} cannot be started", arguments[0]);
    }
  }
  close(output_fds[0]);
  close(error_fd);
  return outcome;
}

BenchRun ReadBenchRun(const ProcessOutcome& outcome, const std::string& benchmark) {
  BenchRun run;
  const auto failed = [&](const std::string& problem) {
    run = {};
    run.problem = problem;
    return run;
  };
  if (!outcome.problem.empty()) return failed(outcome.problem);
  const json document = json::parse(outcome.output, nullptr, /*allow_exceptions=*/false);
  const bool has_runs = document.is_object() && document.contains("benchmarks") && document["benchmarks"].is_array();
  if (!has_runs) {
    return failed(fmt::format("exit code {} without a JSON result. {}", outcome.exit_code, LastLines(outcome.error)));
  }
  for (const json& each : document["benchmarks"]) {
    if (!each.is_object() || each.value("name", "") != benchmark) continue;
    if (each.value("error_occurred", false)) return failed(each.value("error_message", "an error without a message"));
    for (const auto& [name, value] : each.items()) {
      if (value.is_number()) run.figures[name] = value.get<double>();
    }
  }
  if (outcome.exit_code != 0) {
    return failed(fmt::format("exit code {}. {}", outcome.exit_code, LastLines(outcome.error)));
  }
  if (run.figures.empty()) return failed("its result does not hold the benchmark " + benchmark);
  if (document.contains("context") && document["context"].is_object()) {
    run.malloc = document["context"].value("malloc", "");
  }
  return run;
}

}  // namespace hugepool::bench
