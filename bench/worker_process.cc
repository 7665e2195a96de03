#include "bench/worker_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include "bench/worker.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;

struct Pipe {
  int read_fd = -1;
  int write_fd = -1;
  bool Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return false;
    // Out of the way of kCommandFd and kReplyFd, which the child fills by dup2.
    read_fd = fcntl(fds[0], F_DUPFD_CLOEXEC, 16);
    write_fd = fcntl(fds[1], F_DUPFD_CLOEXEC, 16);
    close(fds[0]);
    close(fds[1]);
    return read_fd >= 0 && write_fd >= 0;
  }
};

}  // namespace

std::unique_ptr<WorkerProcess> WorkerProcess::Start(const AllocatorRow& row, const std::string& library_path,
                                                    Signals* signals, std::string* problem) {
  Pipe commands, replies;
  if (!commands.Open() || !replies.Open()) {
    *problem = fmt::format("pipe: {}", std::strerror(errno));
    return nullptr;
  }
  // All memory is taken before fork: the child makes system calls only.
  std::vector<std::string> variables = RowEnvironment(row, library_path);
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  char name[] = "kv_bench";
  char flag[] = "--worker";
  char* const argv[] = {name, flag, nullptr};
  const pid_t parent = getpid();

  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died before the line above
    sigprocmask(SIG_SETMASK, &signals->mask_before(), nullptr);
    if (dup2(commands.read_fd, kCommandFd) < 0 || dup2(replies.write_fd, kReplyFd) < 0) _exit(1);
    execve("/proc/self/exe", argv, envp.data());
    _exit(127);
  }
  close(commands.read_fd);
  close(replies.write_fd);
  if (pid < 0) {
    *problem = fmt::format("fork: {}", std::strerror(errno));
    close(commands.write_fd);
    close(replies.read_fd);
    return nullptr;
  }
  auto worker = std::unique_ptr<WorkerProcess>(new WorkerProcess());
  worker->pid_ = pid;
  worker->command_fd_ = commands.write_fd;
  worker->reply_fd_ = replies.read_fd;
  worker->signals_ = signals;
  return worker;
}

WorkerProcess::~WorkerProcess() {
  close(command_fd_);
  close(reply_fd_);
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::string WorkerProcess::DescribeEnd() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (WIFSIGNALED(status)) return fmt::format("the worker was ended by SIG{}", sigabbrev_np(WTERMSIG(status)));
  return fmt::format("the worker left with exit code {}", WEXITSTATUS(status));
}

json WorkerProcess::Ask(const json& command) {
  const std::string line = command.dump() + "\n";
  if (pid_ < 0) return {{"event", "failed"}, {"reason", "the worker has ended"}};
  if (write(command_fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return {{"event", "failed"}, {"reason", DescribeEnd()}};
  }
  while (true) {
    const size_t end = received_.find('\n');
    if (end != std::string::npos) {
      json reply = json::parse(received_.substr(0, end), nullptr, /*allow_exceptions=*/false);
      received_.erase(0, end + 1);
      if (reply.is_object() && reply.contains("event")) return reply;
      return {{"event", "failed"}, {"reason", "a reply that is no JSON object"}};
    }
    pollfd waited_for[] = {{reply_fd_, POLLIN, 0}, {signals_->fd(), POLLIN, 0}};
    if (poll(waited_for, 2, -1) < 0 && errno != EINTR) {
      return {{"event", "failed"}, {"reason", fmt::format("poll: {}", std::strerror(errno))}};
    }
    if (signals_->Arrived() != 0) return {{"event", "interrupted"}};
    if ((waited_for[0].revents & (POLLIN | POLLHUP)) == 0) continue;
    char buffer[65536];
    const ssize_t count = read(reply_fd_, buffer, sizeof(buffer));
    if (count <= 0) return {{"event", "failed"}, {"reason", DescribeEnd()}};
    received_.append(buffer, static_cast<size_t>(count));
  }
}

std::string WorkerProcess::Finish() {
  const json reply = Ask({{"command", "finish"}});
  if (reply["event"] == "interrupted") return "interrupted";
  if (reply["event"] != "finished") return reply.value("reason", "no answer to finish");
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return WIFSIGNALED(status) ? fmt::format("the worker ended by SIG{} when it left", sigabbrev_np(WTERMSIG(status)))
                             : fmt::format("the worker left with exit code {}", WEXITSTATUS(status));
}

}  // namespace hugepool::bench
