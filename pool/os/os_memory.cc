#include "os/os_memory.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <numaif.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "hugepool/internal/percpu.h"

// Debian 12's headers know the first; both are part of the kernel's ABI.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace hugepool::internal {
namespace {

int ErrnoOf(bool failed) { return failed ? errno : 0; }

// mbind takes a mask that is one bit longer than its largest node, by the kernel's old quirk.
constexpr int kMaxNodeId = 1023;
// The most CPUs that a kernel can be built for (x86-64 with MAXSMP).
constexpr size_t kLinuxCpuLimit = 8192;
constexpr size_t kBitsPerWord = 8 * sizeof(unsigned long);

int SetPolicy(void* address, size_t bytes, int policy, int node_id) {
  if (node_id < 0 || node_id > kMaxNodeId) return EINVAL;
  std::array<unsigned long, (kMaxNodeId + 1) / kBitsPerWord + 1> mask{};
  mask[static_cast<size_t>(node_id) / kBitsPerWord] = 1UL << (static_cast<size_t>(node_id) % kBitsPerWord);
  return ErrnoOf(mbind(address, bytes, policy, mask.data(), kMaxNodeId + 2, 0) != 0);
}

// Reads a small file whole; returns an errno.
int ReadSmallFile(const char* path, char* buffer, size_t buffer_bytes) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  size_t length = 0;
  int result = 0;
  while (length + 1 < buffer_bytes) {
    const ssize_t got = read(file, buffer + length, buffer_bytes - 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result = errno;
    if (got <= 0) break;
    length += static_cast<size_t>(got);
  }
  buffer[length] = '\0';
  close(file);
  return result;
}

// The number behind "label:" in a node's meminfo, in bytes; 0 where the line is missing.
uint64_t MeminfoBytes(const char* text, const char* label) {
  const char* line = std::strstr(text, label);
  return line == nullptr ? 0 : std::strtoull(line + std::strlen(label), nullptr, 10) * 1024;
}

// What the allocator keeps back on a node whatever is free: the high watermark and the largest lowmem protection of
// each zone. Memory below it is not for 4 KiB pages of a process: asking for it wakes the OOM killer.
uint64_t ReadZoneReserveBytes(int node_id) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/zoneinfo", "re"), std::fclose);
  if (file == nullptr) return 0;
  constexpr uint64_t kPageBytes = 4096;
  uint64_t page_count = 0;
  bool inside = false;
  char line[512];
  while (std::fgets(line, sizeof line, file.get()) != nullptr) {
    int node = -1;
    unsigned long long high = 0;
    if (std::sscanf(line, "Node %d, zone", &node) == 1) {
      inside = node == node_id;
    } else if (inside && std::sscanf(line, " high %llu", &high) == 1) {
      page_count += high;
    } else if (const char* list = std::strstr(line, "protection: ("); inside && list != nullptr) {
      uint64_t largest = 0;
      for (const char* next = std::strchr(list, '('); next != nullptr; next = std::strchr(next + 1, ',')) {
        largest = std::max<uint64_t>(largest, std::strtoull(next + 1, nullptr, 10));
      }
      page_count += largest;
    }
  }
  return page_count * kPageBytes;
}

// Read once per node: watermarks change with an operator's sysctl, not with load, and the file is long on large
// machines.
uint64_t ZoneReserveBytes(int node_id) {
  static std::array<std::atomic<uint64_t>, kMaxNodeId + 1> reserves_plus_one;  // 0: not read yet
  if (node_id < 0 || node_id > kMaxNodeId) return 0;
  // Relaxed: threads that race read the same file and store the same number.
  std::atomic<uint64_t>& known = reserves_plus_one[static_cast<size_t>(node_id)];
  if (const uint64_t value = known.load(std::memory_order_relaxed); value != 0) return value - 1;
  const uint64_t bytes = ReadZoneReserveBytes(node_id);
  known.store(bytes + 1, std::memory_order_relaxed);
  return bytes;
}

}  // namespace

int OsMemory::Reserve(size_t bytes, void** address) {
  void* mapped = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return errno;
  *address = mapped;
  return 0;
}

int OsMemory::MapSmall(size_t bytes, void** address) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return errno;
  // Refused only by kernels without THP, where it is what we want anyway.
  (void)madvise(mapped, bytes, MADV_NOHUGEPAGE);
  *address = mapped;
  return 0;
}

int OsMemory::MapHugetlb(void* address, size_t bytes, size_t page_bytes) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | MAP_HUGETLB;
  // MAP_HUGE_2MB, MAP_HUGE_1GB: log2 of the page size above MAP_HUGE_SHIFT.
  const int page_size = std::countr_zero(page_bytes) << 26;
  return ErrnoOf(mmap(address, bytes, PROT_READ | PROT_WRITE, kFlags | page_size, -1, 0) == MAP_FAILED);
}

int OsMemory::Unmap(void* address, size_t bytes) { return ErrnoOf(munmap(address, bytes) != 0); }

int OsMemory::AllowReading(void* address, size_t bytes) { return ErrnoOf(mprotect(address, bytes, PROT_READ) != 0); }

int OsMemory::AllowAccess(void* address, size_t bytes) {
  return ErrnoOf(mprotect(address, bytes, PROT_READ | PROT_WRITE) != 0);
}

int OsMemory::Advise(void* address, size_t bytes, int advice) { return ErrnoOf(madvise(address, bytes, advice) != 0); }

int OsMemory::BindTo(void* address, size_t bytes, int node_id) { return SetPolicy(address, bytes, MPOL_BIND, node_id); }

int OsMemory::PreferNode(void* address, size_t bytes, int node_id) {
  return SetPolicy(address, bytes, MPOL_PREFERRED, node_id);
}

int OsMemory::Populate(void* address, size_t bytes) {
  int result = 0;
  do {
    result = ErrnoOf(madvise(address, bytes, MADV_POPULATE_WRITE) != 0);
  } while (result == EINTR || result == EAGAIN);
  return result;
}

int OsMemory::GiveBack(void* address, size_t bytes) { return ErrnoOf(madvise(address, bytes, MADV_DONTNEED) != 0); }

int OsMemory::Locate(void* const* addresses, size_t count, int* node_ids) {
  return ErrnoOf(move_pages(0, count, const_cast<void**>(addresses), nullptr, node_ids, 0) != 0);
}

uint64_t OsMemory::ResidentBytes(void* address, size_t bytes) {
  constexpr size_t kPageBytes = 4096;
  std::array<unsigned char, 4096> present;
  uint64_t page_count = 0;
  for (size_t offset = 0; offset < bytes; offset += present.size() * kPageBytes) {
    const size_t part_bytes = std::min(bytes - offset, present.size() * kPageBytes);
    if (mincore(static_cast<char*>(address) + offset, part_bytes, present.data()) != 0) return 0;
    for (size_t page = 0; page * kPageBytes < part_bytes; ++page) page_count += present[page] & 1;
  }
  return page_count * kPageBytes;
}

int OsMemory::MachineAvailableBytes(uint64_t* bytes) {
  char text[4096];
  const int result = ReadSmallFile("/proc/meminfo", text, sizeof text);
  if (result != 0) return result;
  *bytes = MeminfoBytes(text, "MemAvailable:");
  return 0;
}

int OsMemory::NodeAvailableBytes(int node_id, uint64_t* bytes) {
  char path[96];
  std::snprintf(path, sizeof path, "/sys/devices/system/node/node%d/meminfo", node_id);
  char text[4096];
  const int result = ReadSmallFile(path, text, sizeof text);
  if (result != 0) return result;
  const uint64_t free_bytes = MeminfoBytes(text, "MemFree:") + MeminfoBytes(text, "Inactive(file):") +
                              MeminfoBytes(text, "Active(file):") / 2 + MeminfoBytes(text, "SReclaimable:") / 2;
  *bytes = free_bytes - std::min(free_bytes, ZoneReserveBytes(node_id));
  return 0;
}

int OsMemory::FreeHugePages(int node_id, size_t page_bytes, uint64_t* count) {
  char path[128];
  std::snprintf(path, sizeof path, "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB/free_hugepages", node_id,
                page_bytes / 1024);
  char text[64];
  const int result = ReadSmallFile(path, text, sizeof text);
  if (result != 0) return result;
  *count = std::strtoull(text, nullptr, 10);
  return 0;
}

int OsMemory::HasRseq() const {
#if HUGEPOOL_PERCPU_INLINE
  return __rseq_size == 0 ? ENOSYS : 0;
#else
  return ENOSYS;
#endif
}

int OsMemory::RegisterRseqFence() {
  return ErrnoOf(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0);
}

int OsMemory::FenceRseq() { return ErrnoOf(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) != 0); }

size_t OsMemory::CpuIdLimit() const {
  // The bare call returns the bytes of the kernel's own CPU mask.
  std::array<unsigned char, kLinuxCpuLimit / 8> mask;
  const long bytes = syscall(SYS_sched_getaffinity, 0, mask.size(), mask.data());
  return bytes <= 0 ? kLinuxCpuLimit : static_cast<size_t>(bytes) * 8;
}

int OsMemory::CurrentCpu() const { return sched_getcpu(); }

int OsMemory::NodeOfCurrentCpu(int cpu) const {
  unsigned now = 0;
  unsigned node_id = 0;
  return getcpu(&now, &node_id) == 0 && static_cast<int>(now) == cpu ? static_cast<int>(node_id) : -1;
}

uint64_t OsMemory::NowNs() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void OsMemory::SleepNs(uint64_t duration_ns) {
  timespec left{static_cast<time_t>(duration_ns / 1'000'000'000), static_cast<long>(duration_ns % 1'000'000'000)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

OsMemory& SystemMemory() {
  static OsMemory* const system = new OsMemory;  // never destroyed: pools may outlive static destructors
  return *system;
}

}  // namespace hugepool::internal
