// Promise 5, bounded caches: whoever frees, allocates, comes, goes or idles, what a pool holds back beyond its live blocks
// is the stated budget, and Trim has it back from CPUs whose threads sleep.
//
// The budget   CacheLimit: cache_bytes_per_cpu for each CPU, and once more for each node (its depots); 0 without caches
// The memory   CommitLimit: what the slabs of a class need at its peak: live blocks, the budget and a batch in each thread's
//              hands, rounded up to slabs (at most 1/64 is lost at their ends); a slab that each thread may fetch at the same
//              moment, a page for each of those, one page ahead for each node and one that is not full
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <semaphore>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "os/os_memory.h"
#include "pool/four_nodes.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

constexpr size_t kPage = kHugePageBytes;
constexpr size_t kBudgetBytes = size_t{512} << 10;
constexpr size_t kBatch = 65;  // most blocks that a thread has in its hands between a slab and a magazine

std::vector<int> AllowedCpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  EXPECT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

// The calling thread runs on the i-th allowed CPU from now on.
void PinTo(size_t i) {
  static const std::vector<int> cpus = AllowedCpus();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpus[i % cpus.size()], &one);
  ASSERT_EQ(pthread_setaffinity_np(pthread_self(), sizeof one, &one), 0);
}

size_t CacheLimit(const Pool& pool, size_t cpu_count) {
  const PoolStats stats = pool.Stats();
  return stats.cache_mode == "off" ? 0 : pool.options().cache_bytes_per_cpu * (cpu_count + stats.nodes.size());
}

// Of one class, of which at most live_count blocks of so many usable bytes are in users' hands at any time.
size_t SlabLimit(size_t usable_bytes, size_t live_count, size_t cache_limit, size_t thread_count) {
  const size_t bytes = (live_count + thread_count * kBatch) * usable_bytes + cache_limit;
  return bytes + bytes / 64;
}

// Of a pool whose classes need slab_bytes together; the slabs of its classes have at most most_slab_bytes.
size_t CommitLimit(const Pool& pool, size_t slab_bytes, size_t most_slab_bytes, size_t thread_count) {
  const size_t bytes = slab_bytes + thread_count * (most_slab_bytes + kPage) + (pool.Stats().nodes.size() + 1) * kPage;
  return (bytes + kPage - 1) / kPage * kPage;
}

// Nothing but a look: no pool has so much to trim.
size_t Committed(Pool& pool) { return pool.Trim(SIZE_MAX); }

// While nobody is inside.
void ExpectBounded(const Pool& pool, size_t cpu_count) {
  const PoolStats stats = pool.Stats();
  EXPECT_LE(stats.cached_bytes, CacheLimit(pool, cpu_count)) << stats.ToText();
}

std::string NameOf(const ::testing::TestParamInfo<CpuCacheMode>& info) { return ToString(info.param); }

class BoundedCaches : public ::testing::TestWithParam<CpuCacheMode> {
 protected:
  void SetUp() override {
    PoolOptions options;
    options.capacity_bytes = 512 * kMiB;
    options.huge_pages = HugePages::kOff;
    options.cpu_cache = GetParam();
    options.cache_bytes_per_cpu = kBudgetBytes;
    Error error;
    pool_ = Pool::Create(options, &error);
    if (pool_ == nullptr && GetParam() == CpuCacheMode::kRseq) GTEST_SKIP() << error.ToString();
    ASSERT_NE(pool_, nullptr) << error.ToString();
  }
  void TearDown() override {
    if (pool_ == nullptr) return;
    EXPECT_EQ(pool_->Trim(0), 0u) << pool_->Stats().ToText();
    EXPECT_EQ(Complaint(*pool_), "");
  }

  const size_t cpu_count_ = AllowedCpus().size();
  std::shared_ptr<Pool> pool_;
};

// Blocks on their way from one thread to another, at most so many.
class Channel {
 public:
  explicit Channel(size_t limit) : limit_(limit) {}
  void Send(void* const* blocks, size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return blocks_.size() + count <= limit_; });
    blocks_.insert(blocks_.end(), blocks, blocks + count);
    changed_.notify_all();
  }
  size_t Receive(void** blocks, size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !blocks_.empty(); });
    count = std::min(count, blocks_.size());
    std::copy_n(blocks_.begin(), count, blocks);
    blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<ptrdiff_t>(count));
    changed_.notify_all();
    return count;
  }

 private:
  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<void*> blocks_;
};

// One thread only allocates, the other one only frees, each on a CPU of its own where there are two. The case of mimalloc's
// issue 1364, whose memory grew from 437 MiB to 1.8 GiB.
TEST_P(BoundedCaches, AThreadThatOnlyFreesWhatAnotherAllocates) {
  constexpr size_t kChunk = 128;
  constexpr size_t kInChannel = 8 * kChunk;
  struct Case {
    size_t bytes;
    size_t count;
    bool batches;
  };
  const size_t few = kSanitized ? 50 : 1;
  for (const Case& one : {Case{64, 2'000'000, false}, Case{64, 2'000'000, true}, Case{4160, 1'000'000, false},
                          Case{4160, 1'000'000, true}, Case{60'000, 100'000, true}}) {
    SCOPED_TRACE(std::to_string(one.bytes) + " bytes" + (one.batches ? ", in batches" : ""));
    const size_t count = one.count / few;
    void* const probe = pool_->Allocate(one.bytes);
    const size_t usable_bytes = pool_->UsableSize(probe);
    pool_->Deallocate(probe);
    ASSERT_EQ(pool_->Trim(0), 0u);
    // In the channel, and what each side holds of a chunk.
    const size_t slab_limit = SlabLimit(usable_bytes, kInChannel + 2 * kChunk, CacheLimit(*pool_, cpu_count_), 2);
    const size_t commit_limit = CommitLimit(*pool_, slab_limit, kPage, 2);
    Channel channel(kInChannel);
    std::atomic<size_t> most_committed_bytes{0};
    std::binary_semaphore freed{0};
    std::binary_semaphore looked{0};
    std::thread producer([&] {
      PinTo(0);
      std::array<void*, kChunk> blocks;
      for (size_t sent = 0; sent < count; sent += kChunk) {
        const size_t here = std::min(kChunk, count - sent);
        if (one.batches) {
          ASSERT_EQ(pool_->AllocateBatch(one.bytes, blocks.data(), here), here);
        } else {
          for (size_t i = 0; i < here; ++i) ASSERT_NE(blocks[i] = pool_->Allocate(one.bytes), nullptr);
        }
        most_committed_bytes = std::max<size_t>(most_committed_bytes, Committed(*pool_));
        channel.Send(blocks.data(), here);
      }
    });
    std::thread consumer([&] {
      PinTo(1);
      std::array<void*, kChunk> blocks;
      for (size_t got = 0; got < count;) {
        const size_t here = channel.Receive(blocks.data(), kChunk);
        if (one.batches) {
          pool_->DeallocateBatch(blocks.data(), here);
        } else {
          for (size_t i = 0; i < here; ++i) pool_->Deallocate(blocks[i]);
        }
        got += here;
      }
      freed.release();
      looked.acquire();
    });
    producer.join();
    freed.acquire();
    // One thread is gone and the other one sleeps: what lies on their CPUs is the budget, and Trim has it.
    ExpectBounded(*pool_, cpu_count_);
    EXPECT_LE(most_committed_bytes, commit_limit) << pool_->Stats().ToText();
    EXPECT_EQ(pool_->Stats().allocated_count, 0u);
    EXPECT_EQ(pool_->Trim(0), 0u) << pool_->Stats().ToText();
    looked.release();
    consumer.join();
    std::cout << one.bytes << " B: at most " << most_committed_bytes / kMiB << " MiB committed, limit "
              << commit_limit / kMiB << std::endl;
  }
}

TEST_P(BoundedCaches, AThousandThreadsThatComeAndGo) {
  constexpr size_t kAtATime = 8;
  constexpr size_t kMine = 32;
  constexpr size_t kLeftBehind = 128;
  constexpr std::array<size_t, 4> kSizes = {64, 416, 4160, 16'177};
  const size_t operation_count = kSanitized ? 100 : 2'000;
  size_t slab_limit = 0;
  for (const size_t bytes : kSizes) {
    void* const probe = pool_->Allocate(bytes);
    slab_limit += SlabLimit(pool_->UsableSize(probe), kAtATime * kMine + kLeftBehind + kAtATime,
                            CacheLimit(*pool_, cpu_count_), kAtATime);
    pool_->Deallocate(probe);
  }
  const size_t commit_limit = CommitLimit(*pool_, slab_limit, kPage / 4, kAtATime);
  std::mutex mutex;
  std::vector<void*> left_behind;
  std::atomic<size_t> most_committed_bytes{0};
  const auto live_for_a_while = [&](size_t number) {
    std::minstd_rand random(static_cast<unsigned>(number + 1));
    std::vector<void*> mine;
    for (size_t i = 0; i < operation_count; ++i) {
      if (mine.size() < kMine && random() % 5 < 3) {
        mine.push_back(pool_->Allocate(kSizes[random() % kSizes.size()]));
        ASSERT_NE(mine.back(), nullptr) << pool_->Stats().ToText();
      } else if (!mine.empty()) {
        std::swap(mine[random() % mine.size()], mine.back());
        pool_->Deallocate(mine.back());
        mine.pop_back();
      }
    }
    // It goes and leaves its blocks to others; what is too much there it frees, whoever's it was.
    const std::lock_guard lock(mutex);
    for (void* block : mine) {
      if (left_behind.size() < kLeftBehind) {
        left_behind.push_back(block);
      } else {
        std::swap(left_behind[random() % kLeftBehind], block);
        pool_->Deallocate(block);
      }
    }
    most_committed_bytes = std::max<size_t>(most_committed_bytes, Committed(*pool_));
  };
  for (size_t number = 0; number < 1000; number += kAtATime) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kAtATime; ++i) threads.emplace_back(live_for_a_while, number + i);
    for (std::thread& thread : threads) thread.join();
    ExpectBounded(*pool_, cpu_count_);
    EXPECT_EQ(pool_->Stats().allocated_count, left_behind.size());
  }
  EXPECT_LE(most_committed_bytes, commit_limit) << pool_->Stats().ToText();
  pool_->DeallocateBatch(left_behind.data(), left_behind.size());
  ExpectBounded(*pool_, cpu_count_);
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
  std::cout << "at most " << most_committed_bytes / kMiB << " MiB committed, limit " << commit_limit / kMiB
            << std::endl;
}

// The budget moves between classes all the time, and threads are moved in the middle of that.
TEST_P(BoundedCaches, ThreadsThatAreMovedFromCpuToCpu) {
  constexpr size_t kThreads = 6;
  constexpr size_t kMine = 48;
  const size_t rounds = kSanitized ? 2 : 10;
  const size_t operation_count = kSanitized ? 1'000 : 10'000;  // of a thread and round
  for (size_t round = 0; round < rounds; ++round) {
    std::atomic<size_t> working{kThreads};
    std::atomic<bool> moving{true};
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::minstd_rand random(static_cast<unsigned>(round * kThreads + t + 1));
        std::vector<void*> mine(kMine, nullptr);
        for (size_t i = 0; i < operation_count; ++i) {
          void*& block = mine[random() % kMine];
          pool_->Deallocate(block);
          // About a hundred classes, more than the budget has room for.
          block = pool_->Allocate(size_t{16} << (random() % 11) | random() % 4096);
          ASSERT_NE(block, nullptr) << pool_->Stats().ToText();
        }
        for (void* const block : mine) pool_->Deallocate(block);
        --working;
        moving.wait(true);  // to move a thread that has ended would move the one that moves it
      });
    }
    const std::vector<int> cpus = AllowedCpus();
    for (size_t i = 0; working != 0; ++i) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpus[i / kThreads % cpus.size()], &one);
      EXPECT_EQ(pthread_setaffinity_np(threads[i % kThreads].native_handle(), sizeof one, &one), 0);
    }
    moving = false;
    moving.notify_all();
    for (std::thread& thread : threads) thread.join();
    ExpectBounded(*pool_, cpu_count_);
    EXPECT_EQ(pool_->Stats().allocated_count, 0u);
  }
}

// A producer that has handed everything on and sleeps keeps the budget of its CPU from the others, and no more.
TEST_P(BoundedCaches, AnIdleProducer) {
  constexpr size_t kBytes = 4160;
  const size_t count = (64 * kMiB) / kBytes;
  const size_t rounds = kSanitized ? 2 : 33;  // of two operations a block: 10^6
  std::vector<void*> blocks(count);
  std::binary_semaphore produced{0};
  std::binary_semaphore done{0};
  std::thread producer([&] {
    PinTo(0);
    for (void*& block : blocks) block = pool_->Allocate(kBytes);
    produced.release();
    done.acquire();
    // Awake again, it is served as before.
    void* const block = pool_->Allocate(kBytes);
    EXPECT_NE(block, nullptr);
    pool_->Deallocate(block);
  });
  produced.acquire();
  const size_t usable_bytes = pool_->UsableSize(blocks[0]);
  const size_t commit_limit =
      CommitLimit(*pool_, SlabLimit(usable_bytes, count, CacheLimit(*pool_, cpu_count_), 2), kPage, 2);
  std::thread consumer([&] {
    PinTo(1);
    for (size_t round = 0; round < rounds; ++round) {
      for (void* const block : blocks) pool_->Deallocate(block);
      ExpectBounded(*pool_, cpu_count_);
      EXPECT_EQ(pool_->Stats().allocated_count, 0u);
      for (void*& block : blocks) ASSERT_NE(block = pool_->Allocate(kBytes), nullptr);
      ASSERT_LE(Committed(*pool_), commit_limit) << pool_->Stats().ToText();
    }
    pool_->DeallocateBatch(blocks.data(), blocks.size());
  });
  consumer.join();
  ExpectBounded(*pool_, cpu_count_);
  EXPECT_EQ(pool_->Trim(0), 0u) << "while the producer sleeps: " << pool_->Stats().ToText();
  done.release();
  producer.join();
}

INSTANTIATE_TEST_SUITE_P(Modes, BoundedCaches,
                         ::testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked, CpuCacheMode::kOff), NameOf);

// Twenty pools in one process ------------------------------------------------------------------------------------------

constexpr size_t kPoolCount = 20;
constexpr size_t kThreadCount = 8;
constexpr std::array<size_t, 4> kPoolSizes = {64, 1000, 4160, 40'000};
constexpr size_t kLiveOfAClass = size_t{1} << 20;  // bytes, of each size in each pool

struct LiveBlock {
  char* address;
  uint64_t id;
};

// A pool and what is live in it. Threads work on it with `users` shared; whoever has it alone finds nobody inside.
struct Tenant {
  std::shared_mutex users;
  std::shared_ptr<Pool> pool;
  size_t commit_limit = 0;
  std::mutex mutex;  // guards what follows
  std::array<std::vector<LiveBlock>, kPoolSizes.size()> live;
  std::array<size_t, kPoolSizes.size()> claimed{};  // live ones, and those that somebody allocates now
};

size_t LiveLimit(size_t size) { return kLiveOfAClass / kPoolSizes[size]; }

// Options that take turns, each list at its own pace, so that twenty pools have no two alike.
PoolOptions OptionsOf(size_t number, bool hugetlb, bool rseq) {
  PoolOptions options;
  options.name = "pool" + std::to_string(number);
  options.capacity_bytes = 64 * kMiB;
  constexpr std::array<HugePages, 4> kHuge = {HugePages::kOff, HugePages::kTransparent, HugePages::kPreferred,
                                              HugePages::kRequired};
  const std::array<Placement, 4> placements = {Placement::Local(), Placement::LocalStrict(), Placement::Interleave(),
                                               Placement::Node(0)};
  constexpr std::array<CpuCacheMode, 4> kModes = {CpuCacheMode::kRseq, CpuCacheMode::kLocked, CpuCacheMode::kAuto,
                                                  CpuCacheMode::kOff};
  constexpr std::array<size_t, 5> kBudgets = {64 << 10, 256 << 10, 1 << 20, 0, 512 << 10};
  options.huge_pages = kHuge[number % 4];
  if (options.huge_pages == HugePages::kRequired && !hugetlb) options.huge_pages = HugePages::kPreferred;
  options.placement = placements[number / 4 % 4];
  options.cpu_cache = kModes[(number / 2 + number / 4) % 4];
  if (options.cpu_cache == CpuCacheMode::kRseq && !rseq) options.cpu_cache = CpuCacheMode::kAuto;
  options.cache_bytes_per_cpu = kBudgets[number % 5];
  return options;
}

void AllocateSome(Tenant& tenant, size_t size, bool batch, std::atomic<uint64_t>& next_id) {
  std::array<void*, 16> blocks;
  size_t count = batch ? blocks.size() : 1;
  {
    const std::lock_guard lock(tenant.mutex);
    count = std::min(count, LiveLimit(size) - std::min(LiveLimit(size), tenant.claimed[size]));
    tenant.claimed[size] += count;
  }
  if (count == 0) return;
  if (batch) {
    ASSERT_EQ(tenant.pool->AllocateBatch(kPoolSizes[size], blocks.data(), count), count)
        << tenant.pool->Stats().ToText();
  } else {
    blocks[0] = tenant.pool->Allocate(kPoolSizes[size]);
    ASSERT_NE(blocks[0], nullptr) << tenant.pool->Stats().ToText();
  }
  for (size_t i = 0; i < count; ++i) {
    const LiveBlock block{static_cast<char*>(blocks[i]), next_id.fetch_add(1) << 8};
    Stamp(block.address, 64, block.id);
    const std::lock_guard lock(tenant.mutex);
    tenant.live[size].push_back(block);
  }
}

void FreeSome(Tenant& tenant, size_t size, bool batch, uint64_t dice) {
  std::array<void*, 16> blocks;
  size_t count = 0;
  {
    const std::lock_guard lock(tenant.mutex);
    std::vector<LiveBlock>& live = tenant.live[size];
    for (; count < (batch ? blocks.size() : 1) && !live.empty(); ++count) {
      std::swap(live[dice % live.size()], live.back());
      EXPECT_TRUE(HasStamp(live.back().address, 64, live.back().id));
      blocks[count] = live.back().address;
      live.pop_back();
    }
  }
  if (batch) {
    tenant.pool->DeallocateBatch(blocks.data(), count);
  } else if (count == 1) {
    tenant.pool->Deallocate(blocks[0]);
  }
  const std::lock_guard lock(tenant.mutex);
  tenant.claimed[size] -= count;
}

// With `users` held alone.
void CheckTenant(Tenant& tenant, size_t cpu_count) {
  SCOPED_TRACE(tenant.pool->options().ToString());
  ExpectBounded(*tenant.pool, cpu_count);
  EXPECT_LE(Committed(*tenant.pool), tenant.commit_limit) << tenant.pool->Stats().ToText();
  size_t live_count = 0;
  for (const std::vector<LiveBlock>& live : tenant.live) live_count += live.size();
  EXPECT_EQ(tenant.pool->Stats().allocated_count, live_count);
  EXPECT_EQ(Complaint(*tenant.pool), "");
}

TEST(TwentyPools, EachWithinItsOwnBudgetAndDestroyedWhileOthersGoOn) {
  const size_t cpu_count = AllowedCpus().size();
  uint64_t free_count = 0;
  (void)internal::SystemMemory().FreeHugePages(0, kPage, &free_count);
  // Five pools that may need their whole capacity at once.
  const bool hugetlb = free_count >= 5 * 64 * kMiB / kPage;
  std::cout << (hugetlb ? "with" : "without") << " huge_pages=required: node 0 has " << free_count << " free pages\n";
  const bool rseq = internal::SystemMemory().HasRseq() == 0;
  std::vector<Tenant> tenants(kPoolCount);
  for (size_t i = 0; i < kPoolCount; ++i) {
    Error error;
    tenants[i].pool = Pool::Create(OptionsOf(i, hugetlb, rseq), &error);
    ASSERT_NE(tenants[i].pool, nullptr) << error.ToString();
    size_t slab_limit = 0;
    for (size_t size = 0; size < kPoolSizes.size(); ++size) {
      void* const probe = tenants[i].pool->Allocate(kPoolSizes[size]);
      slab_limit += SlabLimit(tenants[i].pool->UsableSize(probe), LiveLimit(size),
                              CacheLimit(*tenants[i].pool, cpu_count), kThreadCount);
      tenants[i].pool->Deallocate(probe);
    }
    tenants[i].commit_limit = CommitLimit(*tenants[i].pool, slab_limit, kPage / 2, kThreadCount);
  }
  const uint64_t operation_target = kSanitized ? 100'000 : 2'000'000;
  std::atomic<uint64_t> operation_count{0};
  std::atomic<uint64_t> next_id{1};
  std::atomic<bool> stop{false};
  const uint64_t seed = Seed();
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreadCount; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(seed + t);
      while (!stop) {
        Tenant& tenant = tenants[random() % kPoolCount];
        const std::shared_lock lock(tenant.users);
        if (tenant.pool == nullptr) continue;
        for (int i = 0; i < 64; ++i) {
          const uint64_t dice = random();
          const size_t size = dice % kPoolSizes.size();
          const bool batch = dice / 8 % 8 == 0;
          if (dice / 64 % 2 == 0) {
            AllocateSome(tenant, size, batch, next_id);
          } else {
            FreeSome(tenant, size, batch, dice / 128);
          }
        }
        operation_count += 64;
      }
    });
  }
  // Looks at each pool now and then; and from half of the operations on, one pool after another goes.
  std::mt19937_64 random(seed);
  std::vector<size_t> order(kPoolCount);
  for (size_t i = 0; i < kPoolCount; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  size_t gone = 0;
  for (uint64_t look = 1; operation_count < operation_target || gone < kPoolCount - 2; ++look) {
    const uint64_t next_at = operation_target * look / 200;
    while (operation_count < next_at) std::this_thread::yield();
    Tenant& looked_at = tenants[random() % kPoolCount];
    {
      const std::unique_lock lock(looked_at.users);
      if (looked_at.pool != nullptr) CheckTenant(looked_at, cpu_count);
    }
    if (look < 100 || look % 5 != 0 || gone >= kPoolCount - 2) continue;
    Tenant& going = tenants[order[gone++]];
    const std::unique_lock lock(going.users);
    CheckTenant(going, cpu_count);
    // Every other one with blocks that are live still: they go with it.
    if (gone % 2 == 0) {
      for (const auto& live : going.live) {
        for (const LiveBlock& block : live) going.pool->Deallocate(block.address);
      }
      EXPECT_EQ(going.pool->Trim(0), 0u) << going.pool->Stats().ToText();
    }
    going.pool.reset();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (Tenant& tenant : tenants) {
    if (tenant.pool != nullptr) CheckTenant(tenant, cpu_count);
  }
  EXPECT_GE(operation_count, operation_target);
}

// Four nodes, made up --------------------------------------------------------------------------------------------------

// CPUs of one node allocate, those of the other one only free, and all of it has to go home: outboxes are part of each
// CPU's budget, and each of four nodes has its depots.
TEST(BoundedCachesOfFourNodes, BlocksThatAreFreedOnAnotherNode) {
  for (const CpuCacheMode mode : {CpuCacheMode::kLocked, CpuCacheMode::kOff}) {
    SCOPED_TRACE(ToString(mode));
    SimulatedOs os(EachNode(256, kGiB));
    PoolOptions options;
    options.capacity_bytes = 512 * kMiB;
    options.huge_pages = HugePages::kRequired;
    options.cpu_cache = mode;
    options.cache_bytes_per_cpu = kBudgetBytes;
    const auto pool = MakePool(options, os, FourNodes());
    std::minstd_rand random(1);
    constexpr std::array<size_t, 5> kSizes = {64, 416, 4160, 16'177, 60'000};
    constexpr size_t kMost = 2000;
    size_t slab_limit = 0;
    for (const size_t bytes : kSizes) {
      void* const probe = pool->Allocate(bytes);
      slab_limit += 2 * SlabLimit(pool->UsableSize(probe), kMost, CacheLimit(*pool, 4), 1);  // on two nodes
      pool->Deallocate(probe);
    }
    const size_t commit_limit = CommitLimit(*pool, slab_limit, kPage, 1);
    std::vector<void*> blocks;
    for (size_t i = 0; i < (kSanitized ? 100'000 : 1'000'000); ++i) {
      // A phase in which node 0 allocates and node 1 frees, then the other way round.
      const bool turned = i / 100'000 % 2 == 1;
      if (blocks.size() < kMost && random() % 2 == 0) {
        SimulatedOs::SetCpu(static_cast<int>(random() % 2) + (turned ? 2 : 0));
        blocks.push_back(pool->Allocate(kSizes[random() % kSizes.size()]));
        ASSERT_NE(blocks.back(), nullptr);
      } else if (!blocks.empty()) {
        SimulatedOs::SetCpu(static_cast<int>(random() % 2) + (turned ? 0 : 2));
        std::swap(blocks[random() % blocks.size()], blocks.back());
        pool->Deallocate(blocks.back());
        blocks.pop_back();
      }
      if (i % 1000 == 0) {
        ExpectBounded(*pool, 4);
        ASSERT_LE(Committed(*pool), commit_limit) << pool->Stats().ToText();
      }
    }
    for (void* const block : blocks) pool->Deallocate(block);
    ExpectBounded(*pool, 4);
    EXPECT_EQ(pool->Trim(0), 0u) << pool->Stats().ToText();
    EXPECT_EQ(Complaint(*pool), "");
    EXPECT_TRUE(os.complaints().empty());
  }
  SimulatedOs::SetCpu(0);
}

}  // namespace
}  // namespace hugepool::testing
