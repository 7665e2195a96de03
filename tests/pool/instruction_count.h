// InstructionCount: how many instructions a piece of work takes in user space. Exact, and to be had without hardware
// counters, which virtual machines often lack.
//
// Shape      the work runs in a forked child, which its parent steps through with ptrace, one instruction at a time. Each
//            step is an interruption, for which the kernel would abort every restartable sequence for ever; so the
//            parent clears the thread's note of the sequence that it is in (rseq_cs) at each step. Nobody else runs on
//            the child's caches, so nothing is broken by that.
// Units      instructions; a system call is one
// Threads    one: the parent has no other thread and no pool when it forks
// Errors     where tracing is refused, nothing; a failed assertion in the child is one of the test
// Cost       some microseconds an instruction
#ifndef HUGEPOOL_TESTS_POOL_INSTRUCTION_COUNT_H_
#define HUGEPOOL_TESTS_POOL_INSTRUCTION_COUNT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace hugepool::testing {

// Runs a piece of work while it is counted.
using Counted = std::function<void(const std::function<void()>& work)>;

// Calls scene(counted) in a child. One number for each call of counted(work), in order.
std::optional<std::vector<uint64_t>> CountInstructions(const std::function<void(const Counted& counted)>& scene);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_INSTRUCTION_COUNT_H_
