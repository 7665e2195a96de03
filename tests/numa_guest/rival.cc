#include "numa_guest/rival.h"

#include <numaif.h>
#include <sys/mman.h>

#include <cerrno>
#include <stdexcept>
#include <utility>
#include <vector>

namespace hugepool::guest {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kEverything = 4096;
constexpr uint64_t kGiveAllBack = 0;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, which Debian 12's headers may lack

// A request is the number of pages above, node id plus one below 16 bits; 0 gives all back.
uint64_t ToRequest(int node_id, uint64_t count) { return count << 16 | static_cast<uint64_t>(node_id + 1); }

void Serve(const Line& line) {
  std::vector<std::pair<void*, uint64_t>> taken;
  for (uint64_t request = 0; line.Receive(&request);) {
    if (request == kGiveAllBack) {
      for (const auto& [address, bytes] : taken) munmap(address, bytes);
      taken.clear();
      line.Send(0);
      continue;
    }
    const uint64_t count = request >> 16;
    int refused_errno = 0;
    void* address = nullptr;
    const uint64_t got = TakeHugePages(static_cast<int>(request & 0xffff) - 1, count, &refused_errno, &address);
    taken.emplace_back(address, count * kHugePage);
    line.Send(got);
  }
}

}  // namespace

uint64_t TakeHugePages(int node_id, uint64_t count, int* refused_errno, void** address) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB;
  void* mapped = mmap(nullptr, count * kHugePage, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (mapped == MAP_FAILED) throw std::runtime_error("hugetlb address space was refused");
  const unsigned long mask = 1UL << static_cast<unsigned>(node_id);
  if (mbind(mapped, count * kHugePage, MPOL_BIND, &mask, 8 * sizeof mask + 1, 0) != 0) {
    throw std::runtime_error("mbind was refused");
  }
  *address = mapped;
  *refused_errno = 0;
  for (uint64_t page = 0; page < count; ++page) {
    if (madvise(static_cast<char*>(mapped) + page * kHugePage, kHugePage, kPopulateWrite) != 0) {
      *refused_errno = errno;
      return page;
    }
  }
  return count;
}

Rival::Rival() : child_(Serve) {}

uint64_t Rival::Take(int node_id, uint64_t count) { return child_.Ask(ToRequest(node_id, count)); }

uint64_t Rival::TakeAll(int node_id) { return Take(node_id, kEverything); }

void Rival::GiveAllBack() { child_.Ask(kGiveAllBack); }

}  // namespace hugepool::guest
