// PressureWatch on the real kernel: the trigger is taken, a group that goes ends the watching, and real pressure in a
// cgroup trims the pool. What this system does not allow is skipped, with the reason.
#include "hugepool/pressure_watch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "numa_guest/cgroup.h"
#include "numa_guest/child.h"
#include "numa_guest/machine.h"
#include "topology/own_cgroup.h"

namespace hugepool::guest {
namespace {

constexpr size_t kPageCount = 16;

std::shared_ptr<Pool> FullPool() {
  PoolOptions options;
  options.capacity_bytes = kPageCount * kHugePageBytes;
  options.huge_pages = HugePages::kOff;
  options.populate_at_start = PopulateAtStart::kAll;
  Error error;
  auto pool = Pool::Create(options, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

// The folder where cgroup v2 is seen and may be written; "" where there is none.
std::string CgroupMount() {
  const std::optional<internal::OwnCgroup> own = internal::FindOwnCgroup(internal::SystemFiles());
  return own && access(own->mount.c_str(), W_OK) == 0 && geteuid() == 0 ? own->mount : std::string();
}

TEST(PressureKernel, TheTriggerIsTakenWithoutPrivilege) {
  const auto pool = FullPool();
  for (const char* file : {"", "/proc/pressure/memory"}) {
    PressureOptions options;
    options.file = file;
    options.own_thread = *file == '\0';
    Error error;
    const auto watch = PressureWatch::Start(pool, options, &error);
    if (watch == nullptr) {
      EXPECT_FALSE(error.mend.empty());
      EXPECT_NE(error.errno_value, EINVAL) << error.ToString();
      GTEST_SKIP() << error.ToString();
    }
    std::cout << "watches " << watch->options().file << std::endl;
    EXPECT_TRUE(watch->watching());
    EXPECT_EQ(watch->fd() >= 0, !options.own_thread);
    EXPECT_TRUE(watch->HandleEvent());
  }
}

TEST(PressureKernel, AWindowThatNeedsACapabilityIsTakenOrTold) {
  const auto pool = FullPool();
  PressureOptions options;
  options.window_us = 500'000;
  options.stall_us = 100'000;
  Error error;
  const auto watch = PressureWatch::Start(pool, options, &error);
  if (watch != nullptr) return;
  if (error.code == ErrorCode::kUnsupportedKernel) GTEST_SKIP() << error.ToString();
  EXPECT_TRUE(error.errno_value == EINVAL || error.errno_value == EACCES || error.errno_value == EPERM)
      << error.ToString();
  EXPECT_NE(error.mend.find("CAP_SYS_RESOURCE"), std::string::npos) << error.ToString();
}

TEST(PressureKernel, OtherFilesAreRefused) {
  const auto pool = FullPool();
  PressureOptions options;
  Error error;
  options.file = "/proc/self/oom_score_adj";
  EXPECT_EQ(PressureWatch::Start(pool, options, &error), nullptr);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << error.ToString();
  options.file = "/nowhere/memory.pressure";
  EXPECT_EQ(PressureWatch::Start(pool, options, &error), nullptr);
  EXPECT_EQ(error.errno_value, ENOENT) << error.ToString();
}

TEST(PressureKernel, AGroupThatGoesEndsTheWatching) {
  const std::string mount = CgroupMount();
  if (mount.empty()) GTEST_SKIP() << "no cgroup v2 that may be written";
  const auto pool = FullPool();
  auto group = std::make_optional<Cgroup>("hugepool_going", mount);
  PressureOptions options;
  options.file = group->folder() + "/memory.pressure";
  if (!std::filesystem::exists(options.file)) GTEST_SKIP() << options.file << " is not there: PSI is off";
  Error error;
  options.own_thread = true;
  const auto threaded = PressureWatch::Start(pool, options, &error);
  ASSERT_NE(threaded, nullptr) << error.ToString();
  options.own_thread = false;
  const auto looping = PressureWatch::Start(pool, options, &error);
  ASSERT_NE(looping, nullptr) << error.ToString();
  EXPECT_TRUE(looping->HandleEvent());
  group.reset();
  EXPECT_FALSE(looping->HandleEvent());
  while (threaded->watching()) std::this_thread::yield();  // else ctest's limit ends the test
}

// Touches more than memory.high lets it keep, and is slowed down for that: a stall for memory, for ever.
void Overrun(const std::string& group_folder, const Line& line) {
  if (WriteFile(group_folder + "/cgroup.procs", std::to_string(getpid())) != 0) return;
  line.Send(1);
  constexpr size_t kBytes = size_t{48} << 20;
  while (true) {
    void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    std::memset(memory, 1, kBytes);
    munmap(memory, kBytes);
  }
}

TEST(PressureKernel, RealPressureInAGroupTrimsThePool) {
  const std::string mount = CgroupMount();
  if (mount.empty()) GTEST_SKIP() << "no cgroup v2 that may be written";
  const Cgroup group("hugepool_squeezed", mount);
  if (!std::filesystem::exists(group.folder() + "/memory.high")) {
    GTEST_SKIP() << mount << " has no memory controller (cgroup v1 has it, or cgroup.subtree_control does not name it)";
  }
  if (!std::filesystem::exists(group.folder() + "/memory.pressure")) GTEST_SKIP() << "PSI is off";
  group.Set("memory.high", std::to_string(16 << 20));
  // The child comes first: where it is forked there must be neither a pool nor a thread.
  const Child child([&](const Line& line) { Overrun(group.folder(), line); });
  ASSERT_EQ(child.Receive(), 1u);
  const auto pool = FullPool();
  PressureOptions options;
  options.file = group.folder() + "/memory.pressure";
  options.stall_us = 20'000;
  options.step_bytes = 4 * kHugePageBytes;
  options.keep_bytes = 6 * kHugePageBytes;
  Error error;
  const auto watch = PressureWatch::Start(pool, options, &error);
  if (watch == nullptr) GTEST_SKIP() << error.ToString();
  // Else ctest's limit ends the test.
  while (pool->Stats().pressure_event_count < 3) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.committed_bytes, 6 * kHugePageBytes) << stats.ToText();
  EXPECT_EQ(stats.pressure_trimmed_bytes, (kPageCount - 6) * kHugePageBytes);
}

}  // namespace
}  // namespace hugepool::guest
