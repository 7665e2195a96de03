// Die: the end of the process after misuse that cannot be answered (double free, foreign pointer, wrong size).
//
// Threads    any thread; allocates nothing
#ifndef HUGEPOOL_OS_REPORT_H_
#define HUGEPOOL_OS_REPORT_H_

namespace hugepool::internal {

// Writes "hugepool: <what>: <details>" to standard error in one write and aborts.
[[noreturn]] void Die(const char* what, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace hugepool::internal

#endif  // HUGEPOOL_OS_REPORT_H_
