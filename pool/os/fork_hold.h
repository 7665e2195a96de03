// ForkHold: keeps addresses that a forked child does not inherit (MADV_DONTFORK) out of everybody's hands there, so
// that an address of the parent's pool is never one of the child's malloc.
//
// Owner      the NodeBacking whose pages the addresses belong to
// Threads    any; one lock for the process, also held from before a fork until after it
// Invariant  in a child, right after fork(), every held range is PROT_NONE, but for what another fork handler mapped
//            there first. A child made by a raw clone() has no such luck.
// Cost       Hold and Release O(ranges); a fork one system call per range
#ifndef HUGEPOOL_OS_FORK_HOLD_H_
#define HUGEPOOL_OS_FORK_HOLD_H_

#include <cstddef>

namespace hugepool::internal {

class ForkHold {
 public:
  static void Hold(void* address, size_t bytes);
  // The range that was held from `address` on; nothing where there is none.
  static void Release(void* address);
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_OS_FORK_HOLD_H_
