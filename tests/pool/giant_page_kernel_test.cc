// Pages of 1 GiB from the real kernel: KernelPageSize, flags, fork, a rival that has the only one, and all of it back.
// It needs one free: tests/house/giant_pages_test.sh reserves it, runs this, and puts the count back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "os/os_memory.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

uint64_t FreeGiantPages() {
  uint64_t count = 0;
  (void)internal::SystemMemory().FreeHugePages(0, kGiantPageBytes, &count);
  return count;
}

// What smaps says of the mapping in which the address lies.
struct Mapping {
  uint64_t kernel_page_kib = 0;
  uint64_t hugetlb_kib = 0;
  std::string flags;
};

Mapping MappingOf(const void* address) {
  Mapping mapping;
  std::ifstream file("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    uintptr_t first = 0;
    uintptr_t last = 0;
    uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &first, &last) == 2) {
      inside = first <= reinterpret_cast<uintptr_t>(address) && reinterpret_cast<uintptr_t>(address) < last;
    } else if (!inside) {
      continue;
    } else if (std::sscanf(line.c_str(), "KernelPageSize: %" SCNu64, &kib) == 1) {
      mapping.kernel_page_kib = kib;
    } else if (std::sscanf(line.c_str(), "Private_Hugetlb: %" SCNu64, &kib) == 1 ||
               std::sscanf(line.c_str(), "Shared_Hugetlb: %" SCNu64, &kib) == 1) {
      // Linux 6.18 takes a page of 1 GiB for shared now and then, though nobody shares it.
      mapping.hugetlb_kib += kib;
    } else if (line.starts_with("VmFlags:")) {
      mapping.flags = line + " ";
    }
  }
  return mapping;
}

PoolOptions Options(size_t capacity_bytes, HugePages huge_pages) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = huge_pages;
  options.page_bytes = kGiantPageBytes;
  return options;
}

TEST(GiantPageKernel, OneIsPopulatedWrittenSharedOutAndGivenBack) {
  ASSERT_GE(FreeGiantPages(), 1u) << "run it through tests/house/giant_pages_test.sh";
  const uint64_t free_count = FreeGiantPages();
  const size_t capacity_bytes = free_count * kGiantPageBytes;  // all of them, so that a second pool finds none
  Error error;
  auto pool = Pool::Create(Options(capacity_bytes, HugePages::kRequired), &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  const Stopwatch populating;
  char* const first = static_cast<char*>(pool->Allocate(1000));
  const double populate_seconds = populating.Seconds();
  ASSERT_NE(first, nullptr) << pool->Stats().ToText();
  EXPECT_EQ(FreeGiantPages(), free_count - 1);

  // The kernel's word for what it is.
  const Mapping mapping = MappingOf(first);
  EXPECT_EQ(mapping.kernel_page_kib, kGiantPageBytes / 1024);
  EXPECT_EQ(mapping.hugetlb_kib, kGiantPageBytes / 1024);
  EXPECT_THAT(mapping.flags, HasSubstr(" ht "));  // hugetlb
  EXPECT_THAT(mapping.flags, HasSubstr(" dc "));  // not copied on fork
  EXPECT_THAT(mapping.flags, HasSubstr(" dd "));  // not in core dumps
  auto report = pool->VerifyPlacement(&error);
  ASSERT_TRUE(report) << error.ToString();
  EXPECT_EQ(report->hugetlb_bytes, kGiantPageBytes);
  EXPECT_EQ(report->hugetlb_page_bytes, kGiantPageBytes);
  EXPECT_EQ(report->transparent_bytes + report->small_bytes, 0u);
  EXPECT_EQ(report->MisplacedCount(), 0u);
  uint64_t present_count = 0;
  for (const auto& node : report->nodes) present_count += node.page_count;
  EXPECT_EQ(present_count, 1u);

  // Every byte of it is there.
  std::memset(first, 0x5a, 1000);
  const Stopwatch writing;
  std::vector<unsigned char*> blocks;
  while (void* block = pool->Allocate(kMiB)) {
    std::memset(block, static_cast<int>(blocks.size() % 251), kMiB);
    blocks.push_back(static_cast<unsigned char*>(block));
  }
  const double write_seconds = writing.Seconds();
  EXPECT_GE(blocks.size(), capacity_bytes / kMiB - 2);
  for (size_t i = 0; i < blocks.size(); ++i) {
    ASSERT_EQ(blocks[i][0], i % 251);
    ASSERT_EQ(std::memcmp(blocks[i], blocks[i] + 1, kMiB - 1), 0) << "block " << i;
  }
  EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), capacity_bytes);
  std::string why;
  EXPECT_TRUE(pool->CheckInvariants(&why)) << why;

  // A second pool finds none left: refused with the figures, or on the next rung; no signal either way.
  EXPECT_EQ(Pool::Create(Options(kGiantPageBytes, HugePages::kRequired), &error), nullptr);
  EXPECT_THAT(error.message, HasSubstr("needs 1 free pages of 1 GiB on node 0; 0 are free"));
  auto second = Pool::Create(Options(2 * kGiantPageBytes, HugePages::kPreferred), &error);
  ASSERT_NE(second, nullptr) << error.ToString();
  void* const degraded = second->Allocate(16 * kMiB);
  ASSERT_NE(degraded, nullptr);
  std::memset(degraded, 1, 16 * kMiB);
  EXPECT_EQ(second->Stats().CommittedBytes(Backing::kHugetlb), 0u);
  EXPECT_EQ(second->Stats().DegradedBytes(), 16 * kMiB);
  EXPECT_GE(second->Stats().nodes.front().refused_count[static_cast<size_t>(Backing::kHugetlb)], 1u);

  // A child has none of it, and is served by malloc.
  const pid_t child = fork();
  if (child == 0) {
    void* const mine = pool->Allocate(kMiB);
    if (mine == nullptr || pool->Owns(mine)) _exit(1);
    pool->Deallocate(first);
    std::signal(SIGSEGV, SIG_DFL);
    _exit(*static_cast<volatile char*>(first));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) << status;
  EXPECT_EQ(first[999], 0x5a);

  // Back to the kernel only when all of a page is empty; then the other pool climbs up to it.
  for (unsigned char* block : blocks) pool->Deallocate(block);
  EXPECT_EQ(pool->Trim(0), kGiantPageBytes) << "the page of the small block stays";
  EXPECT_EQ(first[0], 0x5a);
  pool->Deallocate(first);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(FreeGiantPages(), free_count);
  report = pool->VerifyPlacement(&error);
  ASSERT_TRUE(report) << error.ToString();
  EXPECT_EQ(report->hugetlb_bytes, 0u);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  void* const climbed = second->Allocate(3 * kMiB);
  ASSERT_NE(climbed, nullptr);
  EXPECT_EQ(MappingOf(climbed).kernel_page_kib, kGiantPageBytes / 1024);
  second->Deallocate(degraded);
  EXPECT_EQ(second->Stats().DegradedBytes(), 0u);
  EXPECT_EQ(second->Stats().CommittedBytes(Backing::kHugetlb), kGiantPageBytes);
  EXPECT_TRUE(second->CheckInvariants(&why)) << why;

  // Destroying a pool gives back what is still in use.
  second.reset();
  pool.reset();
  EXPECT_EQ(FreeGiantPages(), free_count);
  WriteFigures("giant_page_kernel", {{"pages", static_cast<double>(free_count)},
                                     {"populate_one_seconds", populate_seconds},
                                     {"write_all_seconds", write_seconds}});
}

}  // namespace
}  // namespace hugepool::testing
