// LocalPool in debug builds: misuse ends the process with a report. The checks stand in the header, so this file is a
// user's debug build in every preset.
#undef NDEBUG
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include "hugepool/local_pool.h"
#include "pool/four_nodes.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

// Runs on a local pool of objects of this size, made inside of the dying process.
void OnLocal(size_t object_bytes, const std::function<void(LocalBlockPool&)>& misuse) {
  SimulatedOs os(EachNode(16, 1024 * kMiB));
  PoolOptions options;
  options.capacity_bytes = 16 * kMiB;
  options.name = "victim";
  auto local = LocalBlockPool::Create(MakePool(options, os, OneNode()), object_bytes, nullptr);
  misuse(*local);
}

constexpr size_t kRecordBytes = 64;
constexpr size_t kBlockBytes = 4160;

TEST(LocalPoolMisuseDeathTest, AForeignPointerIsFound) {
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(OnLocal(object_bytes,
                         [](LocalBlockPool& local) {
                           (void)local.Allocate();
                           alignas(16) static char foreign[8192];
                           local.Deallocate(foreign);
                         }),
                 "hugepool: foreign pointer freed: 0x[0-9a-f]+ is not in this LocalBlockPool .* pool 'victim'");
    EXPECT_DEATH(OnLocal(object_bytes,
                         [object_bytes](LocalBlockPool& local) {
                           auto other = LocalBlockPool::Create(
                               std::shared_ptr<Pool>(std::shared_ptr<Pool>(), &local.pool()), object_bytes, nullptr);
                           (void)local.Allocate();
                           local.Deallocate(other->Allocate());
                         }),
                 "hugepool: foreign pointer freed")
        << "another local pool's, of the same pool and size";
  }
}

TEST(LocalPoolMisuseDeathTest, APointerIntoAnObjectIsFound) {
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(OnLocal(object_bytes,
                         [](LocalBlockPool& local) {
                           (void)local.Allocate();
                           local.Deallocate(static_cast<char*>(local.Allocate()) + 16);
                         }),
                 "hugepool: interior pointer freed: 0x[0-9a-f]+ lies inside of an object of (64|4160) bytes");
  }
}

TEST(LocalPoolMisuseDeathTest, AnObjectThatWasNeverHandedOutIsFound) {
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(OnLocal(object_bytes,
                         [](LocalBlockPool& local) {
                           char* const object = static_cast<char*>(local.Allocate());
                           local.Deallocate(object + local.stride_bytes());
                         }),
                 "hugepool: double free: 0x[0-9a-f]+, an object of (64|4160) bytes of a LocalBlockPool, is free");
  }
}

TEST(LocalPoolMisuseDeathTest, ADoubleFreeOfTheObjectFreedLastIsFound) {
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(OnLocal(object_bytes,
                         [](LocalBlockPool& local) {
                           (void)local.Allocate();
                           void* const object = local.Allocate();
                           local.Deallocate(object);
                           local.Deallocate(object);
                         }),
                 "hugepool: double free: ");
  }
}

TEST(LocalPoolMisuseDeathTest, MoreFreesThanAllocationsAreFound) {
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(OnLocal(object_bytes,
                         [](LocalBlockPool& local) {
                           void* const first = local.Allocate();
                           void* const second = local.Allocate();
                           local.Deallocate(first);
                           local.Deallocate(second);
                           local.Deallocate(first);
                         }),
                 "hugepool: double free: ");
  }
}

// Nothing but the overlap is looked for: whoever does not find it within ten seconds, ends well, and fails.
void TwoThreads(size_t object_bytes) {
  OnLocal(object_bytes, [](LocalBlockPool& local) {
    std::atomic<bool> stopped{false};
    const auto use = [&local, &stopped] {
      while (!stopped) local.Deallocate(local.Allocate());
    };
    std::thread first(use);
    std::thread second(use);
    std::this_thread::sleep_for(std::chrono::seconds(10));
    stopped = true;
    first.join();
    second.join();
  });
}

TEST(LocalPoolMisuseDeathTest, TwoThreadsAtOnceAreFound) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer ends the process first, at the race that this is";
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    EXPECT_DEATH(TwoThreads(object_bytes),
                 "hugepool: two threads at once: a LocalBlockPool of (64|4160)-byte objects has one owner; .* lock");
  }
}

TEST(LocalPoolMisuse, UseByOneThreadAfterAnotherIsNoMisuse) {
  OnLocal(kRecordBytes, [](LocalBlockPool& local) {
    for (int i = 0; i < 10; ++i) {
      std::thread([&local] {
        for (int k = 0; k < 1000; ++k) local.Deallocate(local.Allocate());
      }).join();
    }
    EXPECT_EQ(local.live_count(), 0u);
  });
}

TEST(LocalPoolFork, AChildMayDestroyThePoolOfItsParent) {
  PoolOptions options;
  options.capacity_bytes = 16 * kMiB;
  options.huge_pages = HugePages::kOff;
  Error error;
  const auto pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  for (const size_t object_bytes : {kRecordBytes, kBlockBytes}) {
    std::optional<LocalBlockPool> local = LocalBlockPool::Create(pool, object_bytes, &error);
    ASSERT_TRUE(local) << error.ToString();
    for (int i = 0; i < 2000; ++i) local->Deallocate(local->Allocate());
    void* const object = local->Allocate();
    const pid_t child = fork();
    if (child == 0) {
      local.reset();
      // And makes its own on the same pool, which malloc serves there.
      auto own = LocalBlockPool::Create(pool, object_bytes, nullptr);
      for (int i = 0; i < 2000; ++i) own->Deallocate(own->Allocate());
      _exit(own->live_count() == 0 && own->chunk_count() == 1 ? 0 : 1);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
    local->Deallocate(object);
  }
}

}  // namespace
}  // namespace hugepool::testing
