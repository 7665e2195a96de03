// What the kernel says about memory that the test has just mapped.
#include "bench/process_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace hugepool::bench {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Populated on 4 KiB pages.
void* MapSmall(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  std::memset(memory, 1, bytes);
  return memory;
}

TEST(ProcessMemory, FootprintGrowsByWhatIsTouched) {
  const uint64_t before = ReadFootprintBytes();
  void* memory = MapSmall(64 * kMiB);
  EXPECT_NEAR(static_cast<double>(ReadFootprintBytes() - before), 64.0 * kMiB, 2.0 * kMiB);
  munmap(memory, 64 * kMiB);
  EXPECT_NEAR(static_cast<double>(ReadFootprintBytes()), static_cast<double>(before), 2.0 * kMiB);
}

TEST(ProcessMemory, MappingIsFoundWithItsPages) {
  void* memory = MapSmall(8 * kMiB);
  // An entry of its own in maps: other rights than its neighbors.
  mprotect(memory, 8 * kMiB, PROT_READ);
  std::vector<Mapping> mappings = ReadMappings();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(memory);
  Mapping* mapping = Find(&mappings, begin + 5 * kMiB);
  ASSERT_NE(mapping, nullptr);
  EXPECT_LE(mapping->begin, begin);
  EXPECT_GE(mapping->end, begin + 8 * kMiB);
  EXPECT_GE(mapping->pages.small_bytes, 8 * kMiB);
  EXPECT_EQ(mapping->pages.hugetlb_bytes, 0u);
  EXPECT_EQ(Find(&mappings, 1), nullptr);
  munmap(memory, 8 * kMiB);
}

TEST(ProcessMemory, HugetlbIsCountedAndIsNoPartOfRss) {
  void* memory = mmap(nullptr, 4 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no two free huge pages of 2 MiB";
  const PageKinds before = ReadPages();
  std::memset(memory, 1, 4 * kMiB);
  const PageKinds after = ReadPages();
  EXPECT_EQ(after.hugetlb_bytes - before.hugetlb_bytes, 4 * kMiB);
  std::vector<Mapping> mappings = ReadMappings();
  const Mapping* mapping = Find(&mappings, reinterpret_cast<uintptr_t>(memory));
  ASSERT_NE(mapping, nullptr);
  EXPECT_EQ(mapping->pages.hugetlb_bytes, 4 * kMiB);
  EXPECT_EQ(mapping->pages.small_bytes, 0u);
  munmap(memory, 4 * kMiB);
}

TEST(ProcessMemory, TransparentPagesAreTakenOffTheSmallOnes) {
  const std::string modes = ReadTextFile("/sys/kernel/mm/transparent_hugepage/enabled");
  if (modes.empty() || modes.find("[never]") != std::string::npos) GTEST_SKIP() << "transparent huge pages are off";
  const PageKinds before = ReadPages();
  void* memory = mmap(nullptr, 32 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  madvise(memory, 32 * kMiB, MADV_HUGEPAGE);
  std::memset(memory, 1, 32 * kMiB);
  const PageKinds after = ReadPages();
  EXPECT_GE(after.transparent_bytes - before.transparent_bytes, 20 * kMiB);
  EXPECT_NEAR(static_cast<double>(after.total_bytes() - before.total_bytes()), 32.0 * kMiB, 2.0 * kMiB);
  munmap(memory, 32 * kMiB);
}

TEST(ProcessMemory, FieldsAreReadByTheirWholeName) {
  const std::string text = "VmRSSx:  9 kB\nVmRSS:\t   12 kB\nNote: none\n";
  EXPECT_EQ(FieldBytes(text, "VmRSS"), 12u * 1024);
  EXPECT_EQ(FieldBytes(text, "VmR"), 0u);
  EXPECT_EQ(FieldBytes("", "VmRSS"), 0u);
}

TEST(ProcessMemory, LoadedMallocIsALibraryOfThisProcess) {
  const std::string loaded = LoadedMalloc();
  EXPECT_NE(loaded.find("libc"), std::string::npos) << loaded;
  EXPECT_NE(ReadTextFile("/proc/self/maps").find(loaded), std::string::npos);
}

}  // namespace
}  // namespace hugepool::bench
