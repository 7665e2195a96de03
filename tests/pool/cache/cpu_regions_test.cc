// CpuRegions: nothing is lost or doubled, whatever preempts, migrates, interrupts or drains; in both modes.
#include "cache/cpu_regions.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "cache/percpu_counts.h"
#include "pool/soak.h"

namespace hugepool::internal {
namespace {

constexpr size_t kBudgetBytes = size_t{1} << 20;
constexpr size_t kRow = 0;
constexpr size_t kTag = 7;

class CpuRegionsIn : public ::testing::TestWithParam<CpuCacheMode> {
 protected:
  void SetUp() override {
    Error error;
    regions_ = CpuRegions::Create(GetParam(), 2, kBudgetBytes, SystemMemory(), metadata_, &error);
    if (regions_ == nullptr && GetParam() == CpuCacheMode::kRseq) GTEST_SKIP() << error.ToString();
    ASSERT_NE(regions_, nullptr) << error.ToString();
    ASSERT_EQ(regions_->mode(), GetParam());
  }

  // Room on the CPU that runs the caller.
  void MakeRoom(size_t count, size_t tag = kTag) {
    const int cpu = SystemMemory().CurrentCpu();
    CpuRegions::Region* const region = regions_->FindOrMap(cpu, kRow, -1);
    ASSERT_NE(region, nullptr);
    region->tags.Add(tag);
    CpuRegions::Grow(region->magazines[tag], count, kMagazineMaxCount);
  }
  size_t Push(void** objects, size_t count, size_t tag = kTag) {
    return regions_->Push(SystemMemory().CurrentCpu(), kRow, tag, objects, count);
  }
  size_t Pop(void** objects, size_t count, size_t tag = kTag) {
    return regions_->Pop(SystemMemory().CurrentCpu(), kRow, tag, objects, count);
  }

  MetadataMemory metadata_{SystemMemory()};
  std::unique_ptr<CpuRegions> regions_;
};

// Locked mode goes by the CPU that it is told, and the pool keeps its children off.
class CpuRegionsByRseq : public CpuRegionsIn {};

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  (void)sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

// Pins the test's thread, so that it finds again what it put somewhere.
class Pinned {
 public:
  Pinned() : before_(AllowedCpus()) { PinTo(before_.front()); }
  ~Pinned() {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : before_) CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
  }

 private:
  std::vector<int> before_;
};

TEST_P(CpuRegionsIn, ACpuWithoutARegionHoldsNothing) {
  Pinned pinned;
  int thing = 0;
  void* object = &thing;
  EXPECT_EQ(Push(&object, 1), 0u);
  EXPECT_EQ(Pop(&object, 1), 0u);
}

TEST_P(CpuRegionsIn, TheNewestComeFirstAndOrderIsKept) {
  Pinned pinned;
  std::array<int, 10> things;
  std::array<void*, 10> objects;
  for (size_t i = 0; i < objects.size(); ++i) objects[i] = &things[i];
  MakeRoom(8);
  EXPECT_EQ(Push(objects.data(), 10), 8u);
  EXPECT_EQ(Push(objects.data() + 8, 1), 0u);
  std::array<void*, 10> popped{};
  EXPECT_EQ(Pop(popped.data(), 3), 3u);
  EXPECT_EQ(popped[0], &things[5]);
  EXPECT_EQ(popped[2], &things[7]);
  EXPECT_EQ(Push(popped.data(), 3), 3u);
  EXPECT_EQ(Pop(popped.data(), 10), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(popped[i], &things[i]);
  EXPECT_EQ(Pop(popped.data(), 10), 0u);
}

TEST_P(CpuRegionsIn, AnotherTagHasAnotherMagazine) {
  Pinned pinned;
  std::array<int, 2> things;
  void* object = things.data();
  MakeRoom(4, 0);
  MakeRoom(4, kTagCount - 1);
  EXPECT_EQ(Push(&object, 1, 0), 1u);
  void* popped = nullptr;
  EXPECT_EQ(Pop(&popped, 1, kTagCount - 1), 0u);
  EXPECT_EQ(Pop(&popped, 1, 0), 1u);
  EXPECT_EQ(popped, object);
}

TEST_P(CpuRegionsIn, AShrunkMagazineTakesNothingAndGivesWhatItHas) {
  Pinned pinned;
  std::array<int, 4> things;
  std::array<void*, 4> objects{&things[0], &things[1], &things[2], &things[3]};
  MakeRoom(4);
  EXPECT_EQ(Push(objects.data(), 4), 4u);
  CpuRegions::Region* const region = regions_->FindOrMap(SystemMemory().CurrentCpu(), kRow, -1);
  EXPECT_EQ(CpuRegions::Shrink(region->magazines[kTag], 3), 3u);
  EXPECT_EQ(CpuRegions::Shrink(region->magazines[kTag], 3), 1u);
  EXPECT_EQ(Push(objects.data(), 1), 0u);
  EXPECT_EQ(Pop(objects.data(), 4), 4u);
}

// What was fetched for one CPU's node must not land in the magazine of another.
TEST_P(CpuRegionsByRseq, AThreadThatWasMovedMeanwhilePushesNothing) {
  Pinned pinned;
  MakeRoom(8);
  int thing = 0;
  void* object = &thing;
  const int cpu = SystemMemory().CurrentCpu();
  for (const int other : {cpu + 1, cpu == 0 ? 1 : cpu - 1, -1}) {
    EXPECT_EQ(regions_->Push(other, kRow, kTag, &object, 1), 0u);
  }
  EXPECT_EQ(Pop(&object, 1), 0u);
  EXPECT_EQ(regions_->Push(cpu, kRow, kTag, &object, 1), 1u);
}

TEST_P(CpuRegionsIn, ADrainTakesAllOfAllCpusAndLeavesTheRoom) {
  std::array<int, 64> things;
  size_t pushed = 0;
  {
    Pinned pinned;
    for (const int cpu : AllowedCpus()) {
      PinTo(cpu);
      MakeRoom(8);
      for (size_t i = 0; i < 8 && pushed < things.size(); ++i) {
        void* object = &things[pushed];
        pushed += Push(&object, 1);
      }
    }
  }
  std::vector<void*> drained;
  EXPECT_TRUE(regions_->Drain([&](size_t row, size_t tag, void* const* objects, size_t count) {
    EXPECT_EQ(row, kRow);
    EXPECT_EQ(tag, kTag);
    drained.insert(drained.end(), objects, objects + count);
  }));
  EXPECT_EQ(drained.size(), pushed);
  EXPECT_FALSE(regions_->Drain([](size_t, size_t, void* const*, size_t) { FAIL() << "nothing was left"; }));
  Pinned pinned;
  MakeRoom(8);
  void* object = things.data();
  EXPECT_EQ(Push(&object, 1), 1u);
  EXPECT_EQ(Pop(&object, 1), 1u);
}

TEST_P(CpuRegionsByRseq, AForkedChildFindsNothing) {
  Pinned pinned;
  int thing = 0;
  void* object = &thing;
  MakeRoom(4);
  ASSERT_EQ(Push(&object, 1), 1u);
  const pid_t child = fork();
  if (child == 0) {
    void* popped = nullptr;
    const bool found = Pop(&popped, 1) != 0 || Push(&object, 1) != 0;
    _exit(found ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Pop(&object, 1), 1u);
}

// Tokens go round between threads that are more than the CPUs, hop from CPU to CPU and are interrupted by signals, while
// one drains: at the end each token is there once. held[i] finds a token that two had at once.
TEST_P(CpuRegionsIn, TokensAreNeitherLostNorDoubledUnderPreemptionSignalsMigrationAndDrains) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr size_t kRoundCount = 20'000;
#else
  constexpr size_t kRoundCount = 400'000;
#endif
  constexpr size_t kTokenCount = 2048;
  const std::vector<int> cpus = AllowedCpus();
  const size_t thread_count = 8 * cpus.size();
  const double seconds = testing::StressSeconds();
  const testing::Stopwatch watch;
  std::vector<std::atomic<int>> held(kTokenCount);
  std::vector<char> tokens(kTokenCount);
  const auto token_of = [&](void* object) { return static_cast<size_t>(static_cast<char*>(object) - tokens.data()); };
  struct sigaction ignore = {};
  ignore.sa_handler = [](int) {};
  struct sigaction before = {};
  ASSERT_EQ(sigaction(SIGUSR2, &ignore, &before), 0);
  const uint64_t aborted_before = PercpuAbortCount();
  std::atomic<size_t> doubled{0};
  std::atomic<size_t> running{thread_count};
  std::vector<std::vector<void*>> left(thread_count);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < thread_count; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t + 1));
      std::vector<void*> mine;
      for (size_t i = t; i < kTokenCount; i += thread_count) {
        held[i] = 1;
        mine.push_back(&tokens[i]);
      }
      std::array<void*, 32> batch;
      const auto goes_on = [&](size_t round) {
        if (seconds > 0) return round % 64 != 0 || watch.Seconds() < seconds;
        // Until a sequence was aborted, or it is plain that none is.
        const bool in_vain = GetParam() == CpuCacheMode::kRseq && PercpuAbortCount() == aborted_before;
        return round < kRoundCount || (in_vain && watch.Seconds() < 10);
      };
      for (size_t round = 0; goes_on(round); ++round) {
        const unsigned choice = random() % 1024;
        if (choice == 0) PinTo(cpus[random() % cpus.size()]);
        if (round % 512 == 0) {
          if (CpuRegions::Region* region = regions_->FindOrMap(SystemMemory().CurrentCpu(), kRow, -1)) {
            region->tags.Add(kTag);
            CpuRegions::Grow(region->magazines[kTag], 64, 192);
            if (choice % 4 == 0) CpuRegions::Shrink(region->magazines[kTag], 32);
          }
        }
        const size_t wanted = 1 + choice % (choice % 7 == 0 ? batch.size() : 1);
        if (choice % 2 == 0 && !mine.empty()) {
          const size_t count = std::min(wanted, mine.size());
          for (size_t i = 0; i < count; ++i) {
            batch[i] = mine[mine.size() - 1 - i];
            held[token_of(batch[i])].store(0, std::memory_order_relaxed);
          }
          const size_t pushed = Push(batch.data(), count);
          for (size_t i = pushed; i < count; ++i) held[token_of(batch[i])].store(1, std::memory_order_relaxed);
          // The refused ones are those that were taken last, from the lower end.
          mine.erase(mine.end() - static_cast<ptrdiff_t>(pushed), mine.end());
        } else {
          const size_t popped = Pop(batch.data(), wanted);
          for (size_t i = 0; i < popped; ++i) {
            if (held[token_of(batch[i])].exchange(1, std::memory_order_relaxed) != 0) ++doubled;
            mine.push_back(batch[i]);
          }
        }
      }
      left[t] = std::move(mine);
      --running;
    });
  }
  std::vector<void*> drained;
  std::thread drainer([&] {
    while (running != 0) {
      regions_->Drain([&](size_t, size_t, void* const* objects, size_t count) {
        for (size_t i = 0; i < count; ++i) {
          if (held[token_of(objects[i])].exchange(1, std::memory_order_relaxed) != 0) ++doubled;
          drained.push_back(objects[i]);
        }
      });
      while (!drained.empty()) {  // back into circulation as far as there is room
        held[token_of(drained.back())].store(0, std::memory_order_relaxed);
        if (Push(&drained.back(), 1) == 0) {
          held[token_of(drained.back())].store(1, std::memory_order_relaxed);
          break;
        }
        drained.pop_back();
      }
      usleep(500);
    }
  });
  std::minstd_rand random(99);
  while (running != 0) {
    pthread_kill(threads[random() % thread_count].native_handle(), SIGUSR2);
    if (random() % 8 == 0) sched_yield();
  }
  for (std::thread& thread : threads) thread.join();
  drainer.join();
  regions_->Drain([&](size_t, size_t, void* const* objects, size_t count) {
    drained.insert(drained.end(), objects, objects + count);
  });
  ASSERT_EQ(sigaction(SIGUSR2, &before, nullptr), 0);
  EXPECT_EQ(doubled, 0u);
  std::vector<int> seen(kTokenCount);
  for (void* object : drained) ++seen[token_of(object)];
  for (const auto& mine : left) {
    for (void* object : mine) ++seen[token_of(object)];
  }
  for (size_t i = 0; i < kTokenCount; ++i) EXPECT_EQ(seen[i], 1) << "token " << i;
  if (GetParam() == CpuCacheMode::kRseq) {
    // Else the test proved nothing.
    EXPECT_GT(PercpuAbortCount(), aborted_before);
    testing::WriteFigures("cpu_regions_tokens",
                          {{"aborted_sequences", static_cast<double>(PercpuAbortCount() - aborted_before)}});
  }
}

std::string NameOf(const ::testing::TestParamInfo<CpuCacheMode>& info) { return ToString(info.param); }
INSTANTIATE_TEST_SUITE_P(Modes, CpuRegionsByRseq, ::testing::Values(CpuCacheMode::kRseq), NameOf);
INSTANTIATE_TEST_SUITE_P(Modes, CpuRegionsIn, ::testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked), NameOf);

}  // namespace
}  // namespace hugepool::internal
