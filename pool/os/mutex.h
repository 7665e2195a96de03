// Mutex, MutexLock: a std::mutex that clang's thread-safety analysis understands, and the order in which locks are
// taken.
//
// Owner      each lock is a member beside the fields that it guards (HUGEPOOL_GUARDED_BY)
// Invariant  a thread takes locks in ascending rank only; debug builds end the process when it does not
// Cost       uncontended 10–20 ns
#ifndef HUGEPOOL_OS_MUTEX_H_
#define HUGEPOOL_OS_MUTEX_H_

#include <cstdint>
#include <mutex>

#ifdef __clang__
#define HUGEPOOL_ANNOTATE(x) __attribute__((x))
#else
#define HUGEPOOL_ANNOTATE(x)
#endif
#define HUGEPOOL_GUARDED_BY(x) HUGEPOOL_ANNOTATE(guarded_by(x))
#define HUGEPOOL_REQUIRES(...) HUGEPOOL_ANNOTATE(requires_capability(__VA_ARGS__))
#define HUGEPOOL_EXCLUDES(...) HUGEPOOL_ANNOTATE(locks_excluded(__VA_ARGS__))
#define HUGEPOOL_ACQUIRE(...) HUGEPOOL_ANNOTATE(acquire_capability(__VA_ARGS__))
#define HUGEPOOL_TRY_ACQUIRE(...) HUGEPOOL_ANNOTATE(try_acquire_capability(__VA_ARGS__))
#define HUGEPOOL_RELEASE(...) HUGEPOOL_ANNOTATE(release_capability(__VA_ARGS__))
#define HUGEPOOL_CAPABILITY(x) HUGEPOOL_ANNOTATE(capability(x))
#define HUGEPOOL_SCOPED_CAPABILITY HUGEPOOL_ANNOTATE(scoped_lockable)

namespace hugepool::internal {

// The one lock order of the pool: from the caches down to the pages. No system call is made under any of them.
enum class LockRank : uint8_t {
  kCpuCache = 1,    // one CPU's magazines, in locked mode; those of two CPUs are never held together
  kDepot = 2,       // one class of a depot; two are never held together
  kSlabBin = 3,     // the slabs of one node and class
  kNodeArena = 4,   // the pages and runs of one node
  kMetadata = 5,    // the list of metadata mappings
  kClassTable = 6,  // the size classes that were added to a pool
};

class HUGEPOOL_CAPABILITY("mutex") Mutex {
 public:
  explicit Mutex(LockRank rank) : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() HUGEPOOL_ACQUIRE() {
    CheckRank();
    mutex_.lock();
    Taken();
  }
  bool TryLock() HUGEPOOL_TRY_ACQUIRE(true) {
    CheckRank();
    if (!mutex_.try_lock()) return false;
    Taken();
    return true;
  }
  void Unlock() HUGEPOOL_RELEASE() {
    Released();
    mutex_.unlock();
  }

  // Whether the calling thread holds one of these; for tests. Builds without assertions do not know, and say no.
#ifdef NDEBUG
  static bool AnyHeld() { return false; }
#else
  static bool AnyHeld();
#endif

 private:
#ifdef NDEBUG
  void CheckRank() const {}
  void Taken() const {}
  void Released() const {}
#else
  void CheckRank() const;
  void Taken() const;
  void Released() const;
#endif

  std::mutex mutex_;
  [[maybe_unused]] const LockRank rank_;
};

class HUGEPOOL_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HUGEPOOL_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() HUGEPOOL_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_OS_MUTEX_H_
