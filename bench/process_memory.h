// ProcessMemory: what the kernel says about this process's memory.
//
// Units      bytes
// Threads    any thread
// Errors     a file of /proc that cannot be read leaves zeros (no /proc at all: the parent refuses to start)
// Cost       ReadFootprintBytes one small file; ReadPages and ReadMappings: the kernel walks every page table
#ifndef HUGEPOOL_BENCH_PROCESS_MEMORY_H_
#define HUGEPOOL_BENCH_PROCESS_MEMORY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hugepool::bench {

// By the size of the page that the kernel put there.
struct PageKinds {
  uint64_t hugetlb_bytes = 0;      // Private_Hugetlb + Shared_Hugetlb
  uint64_t transparent_bytes = 0;  // AnonHugePages
  uint64_t small_bytes = 0;        // Rss less AnonHugePages
  uint64_t total_bytes() const { return hugetlb_bytes + transparent_bytes + small_bytes; }
  void Add(const PageKinds& other) {
    hugetlb_bytes += other.hugetlb_bytes;
    transparent_bytes += other.transparent_bytes;
    small_bytes += other.small_bytes;
  }
};

// VmRSS + HugetlbPages of /proc/self/status: the same sum as VmRSS + Private_Hugetlb + Shared_Hugetlb, without a walk.
uint64_t ReadFootprintBytes();

// The whole process, by smaps.
PageKinds ReadPages();

struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  PageKinds pages;
  bool holds_block = false;  // set by the caller; see Find
};
// Every mapping of the process, by smaps, ascending.
std::vector<Mapping> ReadMappings();
// The mapping in which the address lies, or nullptr.
Mapping* Find(std::vector<Mapping>* mappings, uintptr_t address);

// The library of maps that serves malloc: its path where it is a known peer, else the C library's.
std::string LoadedMalloc();

// Whole small text file, or "" when it cannot be read.
std::string ReadTextFile(const std::string& path);

// The number behind `name:` in a "Name:   123 kB" file, in bytes; 0 when absent.
uint64_t FieldBytes(std::string_view text, std::string_view name);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_PROCESS_MEMORY_H_
