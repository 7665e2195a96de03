// Error: what went wrong in a cold call, with the figures and the mend.
//
// Part of the vocabulary: plain data that every floor and every user may include.
//
// Threads    a value; no sharing
// Invariant  code == kOk exactly when every other field has its default
#ifndef HUGEPOOL_ERROR_H_
#define HUGEPOOL_ERROR_H_

#include <cstdint>
#include <string>

#include "hugepool/export.h"

namespace hugepool {

enum class ErrorCode : uint8_t {
  kOk,
  kInvalidArgument,    // a value outside of its range; `message` names value and range
  kNoHugePages,        // huge_pages = required, and too few are free on the nodes asked for
  kNoMemory,           // the machine, a cgroup or the pool's capacity is exhausted
  kNoAddressSpace,     // PROT_NONE address space was refused (RLIMIT_AS)
  kUnsupportedKernel,  // Linux older than 5.14: no MADV_POPULATE_WRITE
  kSystem,             // any other refused system call; see errno_value
};

// Filled by cold calls (Create, Parse, VerifyPlacement). Hot calls return nullptr instead.
struct Error {
  ErrorCode code = ErrorCode::kOk;
  std::string operation;  // what was attempted: "Pool::Create", "mbind", …
  int errno_value = 0;    // of the refused system call, or 0
  int node_id = -1;       // kernel's node id, or -1 where no single node is concerned
  uint64_t bytes = 0;     // how much was asked for, or 0
  std::string message;    // one sentence: the value, and what is allowed
  std::string mend;       // one sentence or command that puts it right

  explicit operator bool() const { return code != ErrorCode::kOk; }

  // "operation: message (errno text; node N; B bytes). mend"
  HUGEPOOL_EXPORT std::string ToString() const;
};

}  // namespace hugepool

#endif  // HUGEPOOL_ERROR_H_
