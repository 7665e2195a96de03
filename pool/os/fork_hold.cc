#include "os/fork_hold.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <mutex>
#include <vector>

namespace hugepool::internal {
namespace {

struct Range {
  void* address;
  size_t bytes;
  bool inherited = false;  // held already in the process that forked
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

// Where something else was mapped first (ThreadSanitizer starts a thread), what is left around it is held.
void MapWhatIsFree(char* address, size_t bytes) {
  constexpr size_t kPageBytes = 4096;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  if (mmap(address, bytes, PROT_NONE, kFlags, -1, 0) != MAP_FAILED || errno != EEXIST || bytes <= kPageBytes) return;
  const size_t lower_bytes = bytes / 2 / kPageBytes * kPageBytes;
  MapWhatIsFree(address, lower_bytes);
  MapWhatIsFree(address + lower_bytes, bytes - lower_bytes);
}

void MapInChild() {
  Ranges& ranges = AllRanges();
  for (Range& range : ranges.held) {
    if (!range.inherited) MapWhatIsFree(static_cast<char*>(range.address), range.bytes);
    range.inherited = true;
  }
  ranges.mutex.unlock();
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
