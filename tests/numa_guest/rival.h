// Rival: another process that takes huge pages and gives them back when it is told to.
//
// Units      huge pages of 2 MiB
// Owner      the test; ends with it
// Errors     as Child
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_RIVAL_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_RIVAL_H_

#include <cstdint>

#include "numa_guest/child.h"

namespace hugepool::guest {

class Rival {
 public:
  Rival();

  // Takes up to `count` pages of that node, on top of what it has; returns how many it got.
  uint64_t Take(int node_id, uint64_t count);
  uint64_t TakeAll(int node_id);
  void GiveAllBack();

 private:
  Child child_;
};

// In the calling process: maps `count` huge pages bound to the node and populates them one by one. Returns how many
// came before the kernel refused; *refused_errno is its word (0: none refused). The mapping stays for the process's
// life.
uint64_t TakeHugePages(int node_id, uint64_t count, int* refused_errno, void** address);

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_RIVAL_H_
