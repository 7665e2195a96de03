#include "pool/instruction_count.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>

#include "hugepool/internal/percpu.h"

namespace hugepool::testing {
namespace {

// What the child says to its parent; no signal reaches it.
constexpr int kBegin = SIGUSR1;
constexpr int kEnd = SIGUSR2;
constexpr int kRefused = 77;

[[noreturn]] void RunScene(const std::function<void(const Counted&)>& scene) {
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kRefused);
  bool threw = false;
  try {
    scene([](const std::function<void()>& work) {
      raise(kBegin);
      work();
      raise(kEnd);
    });
  } catch (const std::exception& thrown) {
    std::printf("child: %s\n", thrown.what());
    threw = true;
  }
  std::fflush(nullptr);
  _exit(threw || ::testing::Test::HasFailure() ? 1 : 0);
}

// The next stop of the child; false: it has ended.
bool WaitForStop(pid_t child, int* status) {
  while (waitpid(child, status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFSTOPPED(*status);
}

// The calling thread's rseq_cs, which stands at the same address in its forked child; nullptr without sequences.
[[maybe_unused]] char* SequenceOfThisThread() {
#if HUGEPOOL_PERCPU_INLINE
  return __rseq_size == 0 ? nullptr : static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset + 8;
#else
  return nullptr;
#endif
}

}  // namespace

std::optional<std::vector<uint64_t>> CountInstructions(const std::function<void(const Counted&)>& scene) {
  char* const sequence = SequenceOfThisThread();
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) RunScene(scene);
  if (child < 0) return std::nullopt;
  std::vector<uint64_t> counts;
  bool counting = false;
  int status = 0;
  while (WaitForStop(child, &status)) {
    int signal = WSTOPSIG(status);
    if (signal == SIGTRAP && counting) {
      ++counts.back();
      signal = 0;
    } else if (signal == kBegin || signal == kEnd) {
      counting = signal == kBegin;
      if (counting) counts.push_back(0);
      signal = 0;
    }
    if (counting && sequence != nullptr) (void)ptrace(PTRACE_POKEDATA, child, sequence, nullptr);
    (void)ptrace(counting ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr,
                 reinterpret_cast<void*>(static_cast<intptr_t>(signal)));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRefused) return std::nullopt;
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the counted child ended with status " << status;
  return counts;
}

}  // namespace hugepool::testing
