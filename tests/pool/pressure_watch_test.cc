// PressureWatch: an event trims one step, at most one a window, and never below what is to be kept; what is refused is
// said; a child does nothing and waits for nobody. The files are polled by the kernel; only what fills them is made up.
#include "hugepool/pressure_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "pool/fake_pressure.h"
#include "pool/four_nodes.h"
#include "pool/pressure_core.h"
#include "pool/soak.h"
#include "pool/stamp.h"
#include "pool/topology/made_up_machine.h"

namespace hugepool::testing {
namespace {

using internal::SystemFiles;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr size_t kPage = kHugePageBytes;
constexpr size_t kPageCount = 16;
constexpr uint64_t kWindowNs = 2'000'000'000;

// All its pages are there, and empty.
std::shared_ptr<Pool> FullPool() {
  PoolOptions options;
  options.capacity_bytes = kPageCount * kPage;
  options.huge_pages = HugePages::kOff;
  options.populate_at_start = PopulateAtStart::kAll;
  Error error;
  auto pool = Pool::Create(options, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

PressureOptions InOwnLoop() {
  PressureOptions options;
  options.file = "/the/file";
  options.own_thread = false;
  options.step_bytes = 2 * kPage;
  return options;
}

PressureOptions InItsThread() {
  PressureOptions options = InOwnLoop();
  options.own_thread = true;
  return options;
}

// Whether the file tells of an event now.
bool Told(int fd) {
  pollfd file{fd, POLLPRI, 0};
  return poll(&file, 1, 10'000) == 1 && (file.revents & POLLPRI) != 0;
}

class PressureWatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<PressureWatch> Start(const PressureOptions& options) {
    return internal::StartPressureWatch(pool_, options, os_, SystemFiles(machine_.root()), &error_);
  }
  // Waits for the thread; the test's limit of time ends it where nothing comes.
  void WaitForEvents(uint64_t count) const {
    while (pool_->Stats().pressure_event_count < count) std::this_thread::yield();
  }
  size_t committed_bytes() const { return pool_->Stats().committed_bytes; }

  MadeUpMachine machine_;
  FakePressure os_;
  Error error_;
  std::shared_ptr<Pool> pool_ = FullPool();
};

TEST_F(PressureWatchTest, AnEventTrimsOneStepAndIsCounted) {
  const auto watch = Start(InOwnLoop());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  EXPECT_THAT(os_.written(), ElementsAre("some 200000 2000000"));
  os_.Squeeze();
  ASSERT_TRUE(Told(watch->fd()));
  EXPECT_TRUE(watch->HandleEvent());
  const PoolStats stats = pool_->Stats();
  EXPECT_EQ(stats.committed_bytes, (kPageCount - 2) * kPage);
  EXPECT_EQ(stats.pressure_event_count, 1u);
  EXPECT_EQ(stats.pressure_trimmed_bytes, 2 * kPage);
  EXPECT_THAT(stats.ToText(), HasSubstr("trimmed under pressure: 4M at 1 events"));
  EXPECT_THAT(stats.ToPrometheus(), HasSubstr("hugepool_pressure_trimmed_bytes_total{pool=\"hugepool\"} 4194304"));
  EXPECT_EQ(Complaint(*pool_), "");
}

TEST_F(PressureWatchTest, TheFileGoesIntoAnEpollSet) {
  const auto watch = Start(InOwnLoop());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  const int set = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLPRI, .data = {}};
  ASSERT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, watch->fd(), &event), 0);
  EXPECT_EQ(epoll_wait(set, &event, 1, 0), 0);
  os_.Squeeze();
  EXPECT_EQ(epoll_wait(set, &event, 1, 10'000), 1);
  EXPECT_TRUE((event.events & EPOLLPRI) != 0);
  close(set);
}

TEST_F(PressureWatchTest, AtMostOneTrimAWindow) {
  const auto watch = Start(InOwnLoop());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  EXPECT_TRUE(watch->HandleEvent());
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(watch->HandleEvent());
  os_.now_ns += kWindowNs - 1;
  EXPECT_TRUE(watch->HandleEvent());
  EXPECT_EQ(committed_bytes(), (kPageCount - 2) * kPage);
  os_.now_ns += 1;
  EXPECT_TRUE(watch->HandleEvent());
  EXPECT_EQ(committed_bytes(), (kPageCount - 4) * kPage);
  EXPECT_EQ(pool_->Stats().pressure_event_count, 2u);
}

TEST_F(PressureWatchTest, ItStopsAtWhatIsToBeKept) {
  PressureOptions options = InOwnLoop();
  options.step_bytes = 3 * kPage;
  options.keep_bytes = 5 * kPage - 1;
  const auto watch = Start(options);
  ASSERT_NE(watch, nullptr) << error_.ToString();
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(watch->HandleEvent());
    EXPECT_GE(committed_bytes(), options.keep_bytes);
    os_.now_ns += kWindowNs;
  }
  EXPECT_EQ(committed_bytes(), 5 * kPage);
  EXPECT_EQ(pool_->Stats().pressure_trimmed_bytes, (kPageCount - 5) * kPage);
}

TEST_F(PressureWatchTest, CachedBlocksAreDrainedAndLiveOnesStay) {
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) {
    blocks.push_back(pool_->Allocate(4000));
    Stamp(blocks.back(), 4000, static_cast<uint64_t>(i) << 24);
  }
  for (size_t i = 100; i < blocks.size(); ++i) pool_->Deallocate(blocks[i]);
  ASSERT_GT(pool_->Stats().cached_bytes, 0u);
  PressureOptions options = InOwnLoop();
  options.step_bytes = SIZE_MAX;
  const auto watch = Start(options);
  ASSERT_NE(watch, nullptr) << error_.ToString();
  EXPECT_TRUE(watch->HandleEvent());
  const PoolStats stats = pool_->Stats();
  EXPECT_EQ(stats.cached_bytes, 0u);
  EXPECT_EQ(stats.allocated_count, 100u);
  EXPECT_LE(stats.committed_bytes, 2 * kPage);
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_TRUE(HasStamp(blocks[i], 4000, i << 24));
    pool_->Deallocate(blocks[i]);
  }
}

// Pages that are half full are marked at an event, and come back when they are empty: not more of them at each event.
TEST_F(PressureWatchTest, WhatIsMarkedAtManyEventsLeavesWhatIsToBeKept) {
  std::vector<void*> blocks;
  while (void* const block = pool_->Allocate(4160)) blocks.push_back(block);
  std::minstd_rand random(1);
  std::shuffle(blocks.begin(), blocks.end(), random);
  const size_t live_count = blocks.size() / 4;
  for (size_t i = live_count; i < blocks.size(); ++i) pool_->Deallocate(blocks[i]);
  PressureOptions options = InOwnLoop();
  options.keep_bytes = 12 * kPage;
  const auto watch = Start(options);
  ASSERT_NE(watch, nullptr) << error_.ToString();
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(watch->HandleEvent());
    os_.now_ns += kWindowNs;
  }
  const PoolStats stats = pool_->Stats();
  EXPECT_GT(stats.nodes[0].draining_bytes + kPageCount * kPage - stats.committed_bytes, 0u) << stats.ToText();
  EXPECT_GE(stats.committed_bytes, options.keep_bytes + stats.nodes[0].draining_bytes) << stats.ToText();
  for (size_t i = 0; i < live_count; ++i) pool_->Deallocate(blocks[i]);
  EXPECT_EQ(Complaint(*pool_), "");
}

TEST_F(PressureWatchTest, ItsThreadTrimsByItselfAndEndsWithTheWatch) {
  auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  EXPECT_EQ(watch->fd(), -1);
  os_.Squeeze();
  WaitForEvents(1);
  EXPECT_TRUE(watch->watching());
  watch.reset();
  EXPECT_EQ(os_.open_count(), 0);
  EXPECT_EQ(committed_bytes(), (kPageCount - 2) * kPage);
}

TEST_F(PressureWatchTest, AWatchThatNothingHappensToEndsAtOnce) {
  for (int i = 0; i < 100; ++i) ASSERT_NE(Start(InItsThread()), nullptr) << error_.ToString();
  EXPECT_EQ(os_.open_count(), 0);
  EXPECT_EQ(pool_->Stats().pressure_event_count, 0u);
}

TEST_F(PressureWatchTest, AFileThatAlwaysTellsOfAnEventMakesNoStorm) {
  os_.stuck = true;
  os_.time_flies = true;
  const uint64_t start_ns = os_.now_ns;
  const uint64_t waits_before = os_.wait_count();
  const auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  os_.Squeeze();
  while (os_.wait_count() - waits_before < 2000) std::this_thread::yield();
  // Two waits an event: one that tells, one until the window is over.
  const uint64_t event_count = pool_->Stats().pressure_event_count;
  EXPECT_GE(event_count, 990u);
  EXPECT_GE(os_.now_ns - start_ns, (event_count - 2) * kWindowNs);
  const uint64_t wait_count = os_.wait_count() - waits_before;
  EXPECT_LE(wait_count, 2 * pool_->Stats().pressure_event_count + 4);
}

TEST_F(PressureWatchTest, AnEventWithinTheWindowIsSeenBehindIt) {
  const auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  os_.Squeeze();
  WaitForEvents(1);
  os_.Squeeze();
  EXPECT_EQ(pool_->Stats().pressure_event_count, 1u);
  os_.now_ns += kWindowNs;
  WaitForEvents(2);
}

TEST_F(PressureWatchTest, AGroupThatGoesEndsTheWatching) {
  const auto looping = Start(InOwnLoop());
  const auto threaded = Start(InItsThread());
  ASSERT_TRUE(looping && threaded) << error_.ToString();
  EXPECT_TRUE(looping->watching());
  os_.Remove();
  EXPECT_FALSE(looping->HandleEvent());
  EXPECT_FALSE(looping->watching());
  os_.Squeeze();
  while (threaded->watching()) std::this_thread::yield();
  EXPECT_EQ(pool_->Stats().pressure_event_count, 0u);
}

TEST_F(PressureWatchTest, AThreadThatMayNotWaitEndsTheWatchingAndDoesNotSpin) {
  os_.wait_errno = ENOSYS;
  const auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  while (watch->watching()) std::this_thread::yield();
  EXPECT_EQ(os_.wait_count(), 1u);
}

TEST_F(PressureWatchTest, TheWatchKeepsItsPool) {
  auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  const std::weak_ptr<Pool> pool = pool_;
  pool_.reset();
  os_.Squeeze();
  while (pool.lock()->Stats().pressure_event_count == 0) std::this_thread::yield();
  watch.reset();
  EXPECT_TRUE(pool.expired());
}

TEST_F(PressureWatchTest, ItsThreadTakesNoSignalsOfTheProcess) {
  struct sigaction before;
  struct sigaction counting {};
  static std::atomic<pid_t> taker;
  counting.sa_handler = [](int) { taker = gettid(); };
  ASSERT_EQ(sigaction(SIGUSR1, &counting, &before), 0);
  const auto watch = Start(InItsThread());
  ASSERT_NE(watch, nullptr) << error_.ToString();
  os_.Squeeze();
  WaitForEvents(1);
  sigset_t signals;
  sigset_t mask;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  // Blocked here, it would be the watching thread's if that one took any.
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, &mask), 0);
  ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
  os_.now_ns += kWindowNs;
  os_.Squeeze();
  WaitForEvents(2);
  EXPECT_EQ(taker, 0);
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &mask, nullptr), 0);
  EXPECT_EQ(taker, gettid());
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

// Everybody goes on while the pool is trimmed again and again: nothing is lost, nothing is handed out twice.
TEST_F(PressureWatchTest, AllocatingThreadsGoOnWhileItTrims) {
  os_.stuck = true;
  os_.time_flies = true;
  PressureOptions options = InItsThread();
  options.step_bytes = SIZE_MAX;
  auto watch = Start(options);
  ASSERT_NE(watch, nullptr) << error_.ToString();
  os_.Squeeze();
  const uint64_t operation_count = kSanitized ? 20'000 : 300'000;
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<char*> blocks(64, nullptr);
      for (uint64_t i = 0; i < operation_count; ++i) {
        const uint64_t id = (t << 32) + i * 7 % blocks.size();
        char*& block = blocks[i * 7 % blocks.size()];
        if (block != nullptr) {
          EXPECT_TRUE(HasStamp(block, 64, id << 8));
          pool_->Deallocate(block);
        }
        block = static_cast<char*>(pool_->Allocate(64 + i * 31 % 9000));
        ASSERT_NE(block, nullptr) << pool_->Stats().ToText();
        Stamp(block, 64, id << 8);
      }
      for (char* const block : blocks) pool_->Deallocate(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
  WaitForEvents(10);
  watch.reset();
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
  EXPECT_EQ(Complaint(*pool_), "");
}

// The end of a child that did what it was told: 0. No gtest in there.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body());
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(PressureWatchTest, AChildWaitsForNobodyAndTheParentsWatchGoesOn) {
  auto threaded = Start(InItsThread());
  auto looping = Start(InOwnLoop());
  ASSERT_TRUE(threaded && looping) << error_.ToString();
  EXPECT_EQ(InChild([&] {
              if (looping->HandleEvent() || threaded->HandleEvent() || looping->watching()) return 1;
              if (Start(InOwnLoop()) != nullptr || error_.code != ErrorCode::kInvalidArgument) return 2;
              threaded.reset();
              looping.reset();
              pool_.reset();
              return 0;
            }),
            0);
  EXPECT_EQ(pool_->Stats().pressure_event_count, 0u);
  os_.Squeeze();
  WaitForEvents(1);
  EXPECT_TRUE(threaded->watching());
}

// What is refused -----------------------------------------------------------------------------------------------------

TEST_F(PressureWatchTest, ValuesOutOfRangeAreNamedWithTheirRange) {
  const auto refused = [&](const std::function<void(PressureOptions*)>& change) {
    PressureOptions options = InOwnLoop();
    change(&options);
    EXPECT_EQ(Start(options), nullptr);
    EXPECT_EQ(error_.code, ErrorCode::kInvalidArgument);
    return error_.message + ". " + error_.mend;
  };
  EXPECT_EQ(refused([](auto* o) { o->window_us = 499'999; }),
            "window_us = 499999 is out of range. Allowed: 500000 to 10000000.");
  EXPECT_EQ(refused([](auto* o) { o->window_us = 10'000'001; }),
            "window_us = 10000001 is out of range. Allowed: 500000 to 10000000.");
  EXPECT_EQ(refused([](auto* o) { o->stall_us = 0; }), "stall_us = 0 is out of range. Allowed: 1 to 2000000.");
  EXPECT_EQ(refused([](auto* o) { o->stall_us = 2'000'001; }),
            "stall_us = 2000001 is out of range. Allowed: 1 to 2000000.");
  EXPECT_EQ(refused([](auto* o) { o->step_bytes = kPage - 1; }),
            "step_bytes = 2097151 is out of range. Allowed: 2097152 to 18446744073709551615.");
  EXPECT_EQ(refused([](auto* o) { o->keep_bytes = kPageCount * kPage + 1; }),
            "keep_bytes = 33554433 is out of range. Allowed: 0 to 33554432.");
  EXPECT_THAT(refused([](auto* o) { o->file = std::string("/a\0b", 4); }), HasSubstr("0 byte"));
  EXPECT_EQ(internal::StartPressureWatch(nullptr, InOwnLoop(), os_, SystemFiles(machine_.root()), &error_), nullptr);
  EXPECT_THAT(error_.message, HasSubstr("pool is null"));
  EXPECT_EQ(internal::StartPressureWatch(nullptr, InOwnLoop(), os_, SystemFiles(machine_.root()), nullptr), nullptr);
  EXPECT_THAT(os_.opened(), IsEmpty());
}

TEST_F(PressureWatchTest, EveryRefusedCallIsToldAndLeavesNoFileOpen) {
  struct Case {
    int FakePressure::*call;
    int errno_value;
    ErrorCode code;
    const char* operation;
    const char* in_message;
    const char* in_mend;
  };
  const std::vector<Case> cases = {
      {&FakePressure::read_errno, EOPNOTSUPP, ErrorCode::kUnsupportedKernel, "read", "switched off", "psi=1"},
      {&FakePressure::write_errno, EOPNOTSUPP, ErrorCode::kUnsupportedKernel, "write", "switched off", "psi=1"},
      {&FakePressure::write_errno, EPERM, ErrorCode::kSystem, "write", "may not be written", "CAP_SYS_RESOURCE"},
      {&FakePressure::write_errno, EINVAL, ErrorCode::kSystem, "write", "window_us = 2500000", "multiples of 2000000"},
      {&FakePressure::write_errno, ENOMEM, ErrorCode::kSystem, "write", "/the/file", "Pool::Trim"},
      {&FakePressure::bell_errno, EMFILE, ErrorCode::kSystem, "eventfd", "/the/file", "ulimit -n"},
      {&FakePressure::thread_errno, EAGAIN, ErrorCode::kSystem, "pthread_create", "thread", "own_thread = false"},
  };
  PressureOptions options = InItsThread();
  options.window_us = 2'500'000;
  for (const Case& one : cases) {
    SCOPED_TRACE(std::string(one.operation) + " " + std::to_string(one.errno_value));
    os_.*one.call = one.errno_value;
    EXPECT_EQ(Start(options), nullptr);
    os_.*one.call = 0;
    EXPECT_EQ(error_.code, one.code);
    EXPECT_EQ(error_.errno_value, one.errno_value);
    EXPECT_THAT(error_.operation, HasSubstr(one.operation));
    EXPECT_THAT(error_.message, HasSubstr(one.in_message));
    EXPECT_THAT(error_.mend, HasSubstr(one.in_mend));
    EXPECT_EQ(os_.open_count(), 0);
  }
  for (const int errno_value : {ENOENT, EACCES, EROFS, EMFILE}) {
    os_.open_errnos[""] = errno_value;
    EXPECT_EQ(Start(options), nullptr);
    EXPECT_EQ(error_.operation, "open");
    EXPECT_EQ(error_.errno_value, errno_value);
    EXPECT_THAT(error_.message, HasSubstr("file = '/the/file'"));
    EXPECT_FALSE(error_.mend.empty());
  }
}

TEST_F(PressureWatchTest, AFileThatIsNoPressureFileIsRefused) {
  os_.content = "MemTotal: 1 kB\n";
  EXPECT_EQ(Start(InOwnLoop()), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error_.message, HasSubstr("'MemTotal: 1 kB"));
  EXPECT_THAT(error_.mend, HasSubstr("/proc/pressure/memory"));
  EXPECT_THAT(os_.written(), IsEmpty());
  EXPECT_EQ(os_.open_count(), 0);
}

// Which file ----------------------------------------------------------------------------------------------------------

constexpr const char* kMounts =
    "25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw\n"
    "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 25 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST_F(PressureWatchTest, TheFileIsThatOfTheProcesssOwnGroup) {
  struct Case {
    std::string group;
    std::string mounts;
    std::string file;
  };
  const std::string system = "/proc/pressure/memory";
  const std::vector<Case> cases = {
      {"9:memory:/v1\n0::/db.slice/db\n", kMounts, "/sys/fs/cgroup/db.slice/db/memory.pressure"},
      {"0::/\n", kMounts, "/sys/fs/cgroup/memory.pressure"},
      // A part of the tree is mounted.
      {"0::/pod/db\n", "1 2 0:3 /pod /cgroup rw - cgroup2 none rw\n", "/cgroup/db/memory.pressure"},
      {"0::/pod\n", "1 2 0:3 /pod /cgroup rw - cgroup2 none rw\n", "/cgroup/memory.pressure"},
      {"0::/podium\n", "1 2 0:3 /pod /cgroup rw - cgroup2 none rw\n", system},
      // Not to be reached: the group lies above what this process sees, or there is no cgroup v2, or no /proc.
      {"0::/../other\n", kMounts, system},
      {"0::/db\n", std::string("9 1 0:3 /pod /pod rw - cgroup2 none rw\n") + kMounts,
       "/sys/fs/cgroup/db/memory.pressure"},
      {"4:memory:/v1\n", kMounts, system},
      {"0::/db\n", "25 30 0:23 / /sys rw - sysfs sysfs rw\n", system},
      {"", "", system},
  };
  PressureOptions options = InOwnLoop();
  options.file.clear();
  for (const Case& one : cases) {
    SCOPED_TRACE(one.group + one.mounts);
    machine_.Write("/proc/self/cgroup", one.group);
    machine_.Write("/proc/self/mountinfo", one.mounts);
    const auto watch = Start(options);
    ASSERT_NE(watch, nullptr) << error_.ToString();
    EXPECT_EQ(watch->options().file, one.file);
    EXPECT_EQ(os_.opened().back(), one.file);
  }
}

TEST_F(PressureWatchTest, WhereTheGroupsFileIsRefusedTheMachinesIsTaken) {
  machine_.Write("/proc/self/cgroup", "0::/db\n");
  machine_.Write("/proc/self/mountinfo", kMounts);
  os_.open_errnos["/sys/fs/cgroup/db/memory.pressure"] = EROFS;
  PressureOptions options = InOwnLoop();
  options.file.clear();
  error_ = Error{};
  const auto watch = Start(options);
  ASSERT_NE(watch, nullptr) << error_.ToString();
  EXPECT_FALSE(error_) << error_.ToString();
  EXPECT_EQ(watch->options().file, "/proc/pressure/memory");
  EXPECT_THAT(os_.opened(), SizeIs(2));
  os_.open_errnos["/proc/pressure/memory"] = ENOENT;
  EXPECT_EQ(Start(options), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kUnsupportedKernel);
  EXPECT_THAT(error_.message, HasSubstr("/proc/pressure/memory"));
}

}  // namespace
}  // namespace hugepool::testing
