// OsMemory on the real kernel: every call returns what the kernel said, as an errno and never as a signal.
#include "os/os_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "hugepool/types.h"

namespace hugepool::internal {
namespace {

constexpr size_t kPageBytes = 4096;

TEST(OsMemory, ReservedAddressSpaceBecomesMemoryOnlyWhenAllowed) {
  OsMemory& os = SystemMemory();
  void* address = nullptr;
  ASSERT_EQ(os.Reserve(64 * kPageBytes, &address), 0);
  EXPECT_NE(os.Populate(address, kPageBytes), 0) << "PROT_NONE memory was populated";
  ASSERT_EQ(os.AllowAccess(address, 4 * kPageBytes), 0);
  ASSERT_EQ(os.Populate(address, 4 * kPageBytes), 0);
  EXPECT_EQ(os.ResidentBytes(address, 64 * kPageBytes), 4 * kPageBytes);
  std::memset(address, 7, 4 * kPageBytes);
  ASSERT_EQ(os.GiveBack(address, 4 * kPageBytes), 0);
  EXPECT_EQ(os.ResidentBytes(address, 64 * kPageBytes), 0u);
  EXPECT_EQ(*static_cast<char*>(address), 0) << "given back, so zero again";
  EXPECT_EQ(os.Unmap(address, 64 * kPageBytes), 0);
}

TEST(OsMemory, LocateTellsTheNodeWithoutTouching) {
  OsMemory& os = SystemMemory();
  void* address = nullptr;
  ASSERT_EQ(os.MapSmall(2 * kPageBytes, &address), 0);
  ASSERT_EQ(os.Populate(address, kPageBytes), 0);
  void* const addresses[] = {address, static_cast<char*>(address) + kPageBytes};
  int node_ids[] = {-1, -1};
  const int refused = os.Locate(addresses, 2, node_ids);
  if (refused == EPERM || refused == ENOSYS) GTEST_SKIP() << "this system refuses move_pages";
  ASSERT_EQ(refused, 0);
  EXPECT_GE(node_ids[0], 0);
  EXPECT_EQ(node_ids[1], -ENOENT);
  EXPECT_EQ(os.ResidentBytes(address, 2 * kPageBytes), kPageBytes);
  os.Unmap(address, 2 * kPageBytes);
}

TEST(OsMemory, BindingTakesExistingNodesOnly) {
  OsMemory& os = SystemMemory();
  void* address = nullptr;
  ASSERT_EQ(os.MapSmall(kPageBytes, &address), 0);
  const int refused = os.BindTo(address, kPageBytes, 0);
  if (refused == EPERM || refused == ENOSYS) GTEST_SKIP() << "this system refuses mbind";
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(os.PreferNode(address, kPageBytes, 0), 0);
  EXPECT_EQ(os.BindTo(address, kPageBytes, -1), EINVAL);
  EXPECT_EQ(os.BindTo(address, kPageBytes, 1024), EINVAL);
  EXPECT_EQ(os.BindTo(address, kPageBytes, 1023), EINVAL);
  os.Unmap(address, kPageBytes);
}

TEST(OsMemory, HugePagesThatAreNotThereAreAnErrnoAndNoSignal) {
  OsMemory& os = SystemMemory();
  constexpr size_t kBytes = size_t{256} << 30;  // more than is reserved anywhere
  void* address = nullptr;
  ASSERT_EQ(os.Reserve(kBytes + kHugePageBytes, &address), 0);
  char* const first =
      reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(address) + kHugePageBytes - 1) & ~(kHugePageBytes - 1));
  const int refused = os.MapHugetlb(first, kBytes, kHugePageBytes);
  if (refused != 0) {
    os.Unmap(address, kBytes + kHugePageBytes);
    GTEST_SKIP() << "this kernel maps no hugetlb without reservation: " << strerrordesc_np(refused);
  }
  uint64_t free_count = 0;
  ASSERT_EQ(os.FreeHugePages(0, kHugePageBytes, &free_count), 0);
  // Page by page until there is none: the call says so.
  int result = 0;
  size_t populated = 0;
  while (populated < 8 && (result = os.Populate(first + populated * kHugePageBytes, kHugePageBytes)) == 0) ++populated;
  if (free_count == 0) {
    EXPECT_EQ(result, EFAULT);
    EXPECT_EQ(populated, 0u);
  } else {
    EXPECT_GT(populated, 0u);
  }
  EXPECT_EQ(os.Unmap(address, kBytes + kHugePageBytes), 0);
}

TEST(OsMemory, FiguresOfANodeThatIsNotThereAreRefused) {
  OsMemory& os = SystemMemory();
  uint64_t figure = 0;
  EXPECT_NE(os.FreeHugePages(1000, kHugePageBytes, &figure), 0);
  EXPECT_NE(os.NodeAvailableBytes(1000, &figure), 0);
  ASSERT_EQ(os.NodeAvailableBytes(0, &figure), 0);
  EXPECT_GT(figure, uint64_t{16} << 20);
}

TEST(OsMemory, TheClockGoesForwardByWhatIsSlept) {
  OsMemory& os = SystemMemory();
  const uint64_t before_ns = os.NowNs();
  os.SleepNs(20'000'000);
  // The coarse clock ticks every 1 to 10 ms.
  EXPECT_GE(os.NowNs() + 10'000'000, before_ns + 20'000'000);
  EXPECT_GE(os.CurrentCpu(), 0);
}

}  // namespace
}  // namespace hugepool::internal
