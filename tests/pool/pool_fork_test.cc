// fork: a child keeps the books and not the pages; whatever it does, nothing is lost and nothing crashes.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

// A pool whose destructor runs among the static ones, in the parent and in every child that calls exit().
std::shared_ptr<Pool>& StaticPool() {
  static std::shared_ptr<Pool> pool;
  return pool;
}

struct Ending {
  bool exited = false;
  int code = -1;
  int signal = 0;
};

std::ostream& operator<<(std::ostream& out, const Ending& ending) {
  return ending.exited ? out << "exit code " << ending.code : out << "signal " << ending.signal;
}

Ending WaitFor(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) return {true, WEXITSTATUS(status), 0};
  return {false, -1, WTERMSIG(status)};
}

// Runs `body` in a child; its result is the child's exit code, 0 for "all as promised". A child must not call gtest.
Ending InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  return WaitFor(child);
}

// Every return says where: the line is the exit code's place in the source, modulo 200.
#define HUGEPOOL_CHILD_EXPECT(condition)         \
  do {                                           \
    if (!(condition)) return 1 + __LINE__ % 200; \
  } while (false)

class PoolFork : public ::testing::TestWithParam<HugePages> {
 protected:
  void SetUp() override {
    internal::OsMemory os;
    uint64_t free_count = 0;
    (void)os.FreeHugePages(0, kHugePageBytes, &free_count);
    if (GetParam() == HugePages::kRequired && free_count < 2 * kPageCount) {
      GTEST_SKIP() << "hugetlb: node 0 has " << free_count << " free huge pages, this test needs " << 2 * kPageCount;
    }
    options_.capacity_bytes = kPageCount * kHugePageBytes;
    options_.huge_pages = GetParam();
    pool_ = MakeOne();
  }

  std::shared_ptr<Pool> MakeOne() const {
    Error error;
    auto pool = Pool::Create(options_, &error);
    EXPECT_NE(pool, nullptr) << error.ToString();
    return pool;
  }

  static constexpr size_t kPageCount = 16;
  PoolOptions options_;
  std::shared_ptr<Pool> pool_;
};

TEST_P(PoolFork, AChildIsServedByMallocAndCounted) {
  void* const small = pool_->Allocate(1000);
  void* const large = pool_->Allocate(3 * kMiB);
  Stamp(small, 1000, 1);
  Stamp(large, 3 * kMiB, 2);
  const auto cache = SlabCache::Create(pool_, 300, nullptr, 4096);
  ASSERT_TRUE(cache);
  const Ending ending = InChild([&]() -> int {
    std::vector<std::pair<char*, size_t>> mine;
    for (size_t bytes = 0; bytes < 40 * kMiB; bytes += 1 + bytes / 2) {
      char* const block = static_cast<char*>(pool_->Allocate(bytes));
      HUGEPOOL_CHILD_EXPECT(block != nullptr);
      HUGEPOOL_CHILD_EXPECT(!pool_->Owns(block));
      HUGEPOOL_CHILD_EXPECT(pool_->NodeOf(block) == -1);
      HUGEPOOL_CHILD_EXPECT(pool_->UsableSize(block) >= bytes);
      HUGEPOOL_CHILD_EXPECT(reinterpret_cast<uintptr_t>(block) % (bytes >= 1024 ? 64 : 16) == 0);
      Stamp(block, bytes, bytes << 24);
      mine.emplace_back(block, bytes);
    }
    HUGEPOOL_CHILD_EXPECT(reinterpret_cast<uintptr_t>(pool_->Allocate(10, 4096)) % 4096 == 0);
    HUGEPOOL_CHILD_EXPECT(pool_->Allocate(10, 3) == nullptr);
    HUGEPOOL_CHILD_EXPECT(reinterpret_cast<uintptr_t>(SlabCache(*cache).Allocate()) % 4096 == 0);
    for (const auto& [block, bytes] : mine) {
      HUGEPOOL_CHILD_EXPECT(HasStamp(block, bytes, bytes << 24));
      pool_->Deallocate(block, bytes);
    }
    HUGEPOOL_CHILD_EXPECT(pool_->Stats().child_deallocate_count == 0);
    HUGEPOOL_CHILD_EXPECT(pool_->Stats().child_allocate_count == mine.size() + 2);
    // The parent's blocks: their books are there, freeing them is counted and does nothing, twice as little as once.
    HUGEPOOL_CHILD_EXPECT(pool_->Owns(small) && pool_->Owns(large));
    HUGEPOOL_CHILD_EXPECT(pool_->UsableSize(small) == 1024 && pool_->UsableSize(large) == 3 * kMiB);
    HUGEPOOL_CHILD_EXPECT(pool_->NodeOf(small) >= 0);
    pool_->Deallocate(small);
    pool_->Deallocate(small, 5000);
    pool_->Deallocate(large, 3 * kMiB);
    HUGEPOOL_CHILD_EXPECT(pool_->Stats().child_deallocate_count == 3);
    pool_->Deallocate(nullptr);
    HUGEPOOL_CHILD_EXPECT(pool_->Trim(0) == 0);
    std::string why;
    HUGEPOOL_CHILD_EXPECT(pool_->CheckInvariants(&why));
    Error error;
    HUGEPOOL_CHILD_EXPECT(!pool_->VerifyPlacement(&error));
    HUGEPOOL_CHILD_EXPECT(error.code != ErrorCode::kOk && !error.mend.empty());
    return 0;
  });
  EXPECT_EQ(ending.code, 0) << ending;
  EXPECT_TRUE(HasStamp(small, 1000, 1));
  EXPECT_TRUE(HasStamp(large, 3 * kMiB, 2));
  EXPECT_EQ(pool_->Stats().child_allocate_count, 0u);
  pool_->Deallocate(small);
  pool_->Deallocate(large);
  EXPECT_EQ(Complaint(*pool_), "");
}

TEST_P(PoolFork, AChildReadsNothingOfTheParentsBlocks) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer answers SIGSEGV with a report and an exit code of its own";
  char* const block = static_cast<char*>(pool_->Allocate(1000));
  Stamp(block, 1000, 1);
  const Ending ending = InChild([block] { return static_cast<int>(*static_cast<volatile char*>(block)); });
  EXPECT_EQ(ending.signal, SIGSEGV) << ending;
}

TEST_P(PoolFork, AChildMakesAPoolOfItsOwnAndFillsIt) {
  (void)pool_->Allocate(5 * kMiB);
  const Ending ending = InChild([&]() -> int {
    PoolOptions options = options_;
    options.populate_at_start = PopulateAtStart::kNone;
    const auto own = Pool::Create(options, nullptr);
    HUGEPOOL_CHILD_EXPECT(own != nullptr);
    std::vector<void*> blocks;
    while (void* block = own->Allocate(100'000)) {
      HUGEPOOL_CHILD_EXPECT(own->Owns(block) && !pool_->Owns(block));
      Stamp(block, 100'000, blocks.size() << 21);
      blocks.push_back(block);
    }
    HUGEPOOL_CHILD_EXPECT(blocks.size() > 200);
    for (size_t i = 0; i < blocks.size(); ++i) {
      HUGEPOOL_CHILD_EXPECT(HasStamp(blocks[i], 100'000, i << 21));
      own->Deallocate(blocks[i]);
    }
    HUGEPOOL_CHILD_EXPECT(own->Trim(0) == 0);
    std::string why;
    HUGEPOOL_CHILD_EXPECT(own->CheckInvariants(&why));
    return 0;
  });
  EXPECT_EQ(ending.code, 0) << ending;
}

TEST_P(PoolFork, AChildThatOnlyExitsRunsStaticDestructorsSafely) {
  StaticPool() = pool_;
  (void)pool_->Allocate(kMiB);
  std::fflush(nullptr);  // exit() would write the parent's output a second time
  const pid_t child = fork();
  if (child == 0) {
    pool_.reset();
    std::exit(0);
  }
  EXPECT_EQ(WaitFor(child).code, 0);
  StaticPool().reset();
  void* const block = pool_->Allocate(kMiB);
  ASSERT_NE(block, nullptr);
  Stamp(block, kMiB, 7);
  EXPECT_TRUE(HasStamp(block, kMiB, 7));
}

TEST_P(PoolFork, AChildMayDestroyThePoolAndAGrandchildToo) {
  const Ending ending = InChild([&]() -> int {
    (void)pool_->Allocate(100);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      void* const block = pool_->Allocate(kMiB);
      const bool foreign = block != nullptr && !pool_->Owns(block);
      pool_->Deallocate(block);
      pool_.reset();
      _exit(foreign ? 0 : 1);
    }
    HUGEPOOL_CHILD_EXPECT(WaitFor(grandchild).code == 0);
    pool_.reset();
    return 0;
  });
  EXPECT_EQ(ending.code, 0) << ending;
  EXPECT_EQ(Complaint(*pool_), "");
  EXPECT_NE(pool_->Allocate(kMiB), nullptr);
}

TEST_P(PoolFork, AChildOutlivesItsParent) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  pool_.reset();
  const pid_t parent = fork();
  if (parent == 0) {
    const auto pool = Pool::Create(options_, nullptr);
    if (pool == nullptr) _exit(1);
    void* const block = pool->Allocate(3 * kMiB);
    Stamp(block, 3 * kMiB, 1);
    int alive_ends[2];
    if (pipe(alive_ends) != 0) _exit(2);
    if (fork() == 0) {
      close(alive_ends[1]);
      char nothing = 0;
      while (read(alive_ends[0], &nothing, 1) > 0) {  // until the parent is gone
      }
      pool->Deallocate(block);
      void* const mine = pool->Allocate(kMiB);
      Stamp(mine, kMiB, 2);
      const auto own = Pool::Create(options_, nullptr);
      void* const from_own = own == nullptr ? nullptr : own->Allocate(3 * kMiB);
      if (from_own != nullptr) Stamp(from_own, 3 * kMiB, 3);
      const bool good = from_own != nullptr && HasStamp(from_own, 3 * kMiB, 3) && HasStamp(mine, kMiB, 2) &&
                        pool->Stats().child_deallocate_count == 1;
      const char answer = good ? 'y' : 'n';
      _exit(write(pipe_ends[1], &answer, 1) == 1 ? 0 : 3);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  EXPECT_EQ(WaitFor(parent).code, 0);
  char answer = '-';
  EXPECT_EQ(read(pipe_ends[0], &answer, 1), 1) << "the child died";
  EXPECT_EQ(answer, 'y');
  close(pipe_ends[0]);
}

TEST_P(PoolFork, ForkWhileOtherThreadsHammerThePool) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<void*> blocks(16, nullptr);
      for (uint64_t i = 0; !stop; ++i) {
        void*& block = blocks[i * 7 % blocks.size()];
        if (block != nullptr) {
          EXPECT_TRUE(HasStamp(block, 64, (t * 16 + i * 7 % 16) << 21));
          pool_->Deallocate(block);
        }
        block = pool_->Allocate(i % 100 == 0 ? 400'000 : 64 + i % 5000);
        if (block != nullptr) Stamp(block, 64, (t * 16 + i * 7 % 16) << 21);
        if (i % 1000 == 0) (void)pool_->Trim(0);
      }
      for (void* block : blocks) pool_->Deallocate(block);
    });
  }
  // What a child may call holds no lock that a thread of the parent held when it forked.
  const size_t fork_count = kSanitized ? 40 : 200;
  for (size_t i = 0; i < fork_count; ++i) {
    void* const block = pool_->Allocate(100 + i);
    const Ending ending = InChild([&]() -> int {
      alarm(60);
      pool_->Deallocate(block);
      void* const mine = pool_->Allocate(kMiB + i);
      HUGEPOOL_CHILD_EXPECT(mine != nullptr && !pool_->Owns(mine));
      pool_->Deallocate(mine);
      (void)pool_->Trim(0);
      HUGEPOOL_CHILD_EXPECT(pool_->Stats().child_deallocate_count == (block != nullptr ? 1 : 0));
      pool_.reset();
      return 0;
    });
    pool_->Deallocate(block);
    ASSERT_EQ(ending.code, 0) << "fork " << i << ": " << ending;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Complaint(*pool_), "");
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
}

std::string Name(const ::testing::TestParamInfo<HugePages>& info) {
  return info.param == HugePages::kRequired ? "hugetlb" : ToString(info.param);
}
INSTANTIATE_TEST_SUITE_P(HugePages, PoolFork, ::testing::Values(HugePages::kRequired, HugePages::kTransparent), Name);

// Limits of the whole process, set in a child so that nobody else has them.
TEST(PoolLimits, WorksUnderAnAddressSpaceLimitOrSaysWhyNot) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's shadow memory does not fit below an address space limit";
  const Ending ending = InChild([]() -> int {
    PoolOptions options;
    options.capacity_bytes = 64 * kMiB;
    Error error;
    size_t created = 0;
    size_t refused = 0;
    for (const uint64_t limit_bytes : {8 * kGiB, 1 * kGiB, 512 * kMiB, 320 * kMiB, 200 * kMiB, 120 * kMiB, 64 * kMiB}) {
      const rlimit limit{limit_bytes, 8 * kGiB};
      HUGEPOOL_CHILD_EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
      const auto pool = Pool::Create(options, &error);
      if (pool == nullptr) {
        ++refused;
        HUGEPOOL_CHILD_EXPECT(error.code == ErrorCode::kNoAddressSpace || error.code == ErrorCode::kNoMemory);
        HUGEPOOL_CHILD_EXPECT(error.errno_value == ENOMEM);
        HUGEPOOL_CHILD_EXPECT(error.mend.find("ulimit -v") != std::string::npos);
        continue;
      }
      ++created;
      HUGEPOOL_CHILD_EXPECT(refused == 0);
      void* const block = pool->Allocate(10 * kMiB);
      HUGEPOOL_CHILD_EXPECT(block != nullptr);
      Stamp(block, 10 * kMiB, 1);
      HUGEPOOL_CHILD_EXPECT(HasStamp(block, 10 * kMiB, 1));
    }
    HUGEPOOL_CHILD_EXPECT(created >= 2 && refused >= 1);
    return 0;
  });
  EXPECT_EQ(ending.code, 0) << ending;
}

}  // namespace
}  // namespace hugepool::testing
