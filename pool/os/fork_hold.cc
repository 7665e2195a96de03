#include "os/fork_hold.h"

#include <pthread.h>
#include <sys/mman.h>

#include <mutex>
#include <vector>

namespace hugepool::internal {
namespace {

struct Range {
  void* address;
  size_t bytes;
};

struct Ranges {
  std::mutex mutex;
  std::vector<Range> held;
};

void LockBeforeFork();
void UnlockInParent();
void MapInChild();

Ranges& AllRanges() {
  // Never destroyed: pools may outlive static destructors. Without memory for the handlers nothing is held.
  static Ranges* const ranges = [] {
    auto* const fresh = new Ranges;
    (void)pthread_atfork(LockBeforeFork, UnlockInParent, MapInChild);
    return fresh;
  }();
  return *ranges;
}

void LockBeforeFork() { AllRanges().mutex.lock(); }
void UnlockInParent() { AllRanges().mutex.unlock(); }

void MapInChild() {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  // Refused where a grandchild inherited what its parent held.
  for (const Range& range : AllRanges().held) (void)mmap(range.address, range.bytes, PROT_NONE, kFlags, -1, 0);
  AllRanges().mutex.unlock();
}

}  // namespace

void ForkHold::Hold(void* address, size_t bytes) {
  Ranges& ranges = AllRanges();
  const std::lock_guard lock(ranges.mutex);
  ranges.held.push_back({address, bytes});
}

void ForkHold::Release(void* address) {
  Ranges& ranges = AllRanges();
  const std::lock_guard lock(ranges.mutex);
  std::erase_if(ranges.held, [address](const Range& range) { return range.address == address; });
}

}  // namespace hugepool::internal
