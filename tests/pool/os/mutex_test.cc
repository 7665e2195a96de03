// Mutex and Die: the lock order is enforced in debug builds; misuse ends the process with a report.
#include "os/mutex.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "os/report.h"

namespace hugepool::internal {
namespace {

// A block of its own in each death test, so that the analysis of locks sees every one released.
void LockInOrder(LockRank first, LockRank second) {
  Mutex a(first);
  Mutex b(second);
  const MutexLock lock_a(a);
  const MutexLock lock_b(b);
}

#ifdef NDEBUG
TEST(Mutex, LocksOutOfOrderDie) { GTEST_SKIP() << "lock ranks are checked in debug builds only"; }
#else
TEST(MutexDeathTest, LocksOutOfOrderDie) {
  EXPECT_DEATH(LockInOrder(LockRank::kNodeArena, LockRank::kSlabBin), "hugepool: lock order: a lock of rank 3");
  EXPECT_DEATH(LockInOrder(LockRank::kSlabBin, LockRank::kCpuCache), "hugepool: lock order: a lock of rank 1");
  EXPECT_DEATH(LockInOrder(LockRank::kCpuCache, LockRank::kCpuCache), "hugepool: lock order: a lock of rank 1");
}
#endif

TEST(Mutex, LocksInOrderAreTakenAgainAndAgain) {
  for (int i = 0; i < 3; ++i) {
    LockInOrder(LockRank::kCpuCache, LockRank::kSlabBin);
    LockInOrder(LockRank::kSlabBin, LockRank::kNodeArena);
  }
}

TEST(Mutex, OnlyOneThreadHoldsIt) {
  Mutex mutex(LockRank::kSlabBin);
  size_t count = 0;
  const auto add = [&] {
    for (int i = 0; i < 10'000; ++i) {
      const MutexLock lock(mutex);
      ++count;
    }
  };
  std::thread other(add);
  add();
  other.join();
  EXPECT_EQ(count, 20'000u);
}

TEST(Mutex, TryLockDoesNotWait) {
  Mutex mutex(LockRank::kSlabBin);
  const MutexLock lock(mutex);
  bool taken = false;
  std::thread([&] {
    if (mutex.TryLock()) {
      taken = true;
      mutex.Unlock();
    }
  }).join();
  EXPECT_FALSE(taken);
}

TEST(DieDeathTest, SaysWhatHappenedInOneLine) {
  EXPECT_DEATH(Die("double free", "%d bytes at %p", 64, static_cast<void*>(nullptr)),
               "hugepool: double free: 64 bytes at ");
  const std::string endless(5000, 'x');
  EXPECT_DEATH(Die("a long report", "%s", endless.c_str()), "hugepool: a long report: xxxx");
}

}  // namespace
}  // namespace hugepool::internal
