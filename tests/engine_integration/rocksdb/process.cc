// What process_test.cc runs in processes of their own: RocksDB must not have been used before a fork, and a system call
// filter cannot be taken off again.
//
// Usage      rocksdb_process MODE BACKING; modes: new_pool, inherited, exit_only (each forks, the parent leaves at
// once)
//            and denied (no fork). Backings: required, transparent, off
// Errors     exit code 1 and a line on standard error
#include <errno.h>
#include <hugepool/rocksdb.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr int kRecordCount = 10000;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "rocksdb_process: %s\n", what.c_str());
  std::exit(1);
}

rocksdb::AllocatorOptions OptionsOf(HugePages huge_pages) {
  rocksdb::AllocatorOptions options;
  options.capacity_bytes = 16 * kMiB;
  options.huge_pages = huge_pages;
  // The child asks while the parent's pages are on their way back.
  options.wait_for_huge_pages_seconds = 20;
  return options;
}

std::shared_ptr<::rocksdb::MemoryAllocator> MakeAllocator(HugePages huge_pages) {
  Error error;
  auto allocator = rocksdb::NewMemoryAllocator(OptionsOf(huge_pages), &error);
  if (allocator == nullptr) Fail(error.ToString());
  return allocator;
}

// Opens a database and fills a cache on the allocator.
void UseDatabase(const std::shared_ptr<::rocksdb::MemoryAllocator>& allocator) {
  RealDatabase database(kRecordCount);
  std::string problem = database.Create();
  if (!problem.empty()) Fail(problem);
  const auto cache = MakeCache(CacheKind::kLru, 3 * kMiB, allocator);
  problem = database.Open(cache);
  if (!problem.empty()) Fail(problem);
  problem = database.ReadAtRandom(2, 20000);
  if (!problem.empty()) Fail(problem);
  if (cache->GetUsage() < kMiB) Fail("the cache did not fill");
}

void ExpectPoolServed(const ::rocksdb::MemoryAllocator& allocator) {
  if (rocksdb::Fallback(allocator)->count != 0) Fail("the pool did not serve; malloc did");
}

// Pool with blocks in use, then fork; the parent leaves at once. Kept past main: destructors run in both processes.
std::shared_ptr<::rocksdb::MemoryAllocator> inherited;

bool ForkWithPool(HugePages huge_pages) {
  inherited = MakeAllocator(huge_pages);
  static void* blocks[100];
  for (void*& block : blocks) {
    block = inherited->Allocate(3746);
    std::memset(block, 1, 3746);
  }
  const pid_t pid = fork();
  if (pid < 0) Fail("fork failed");
  if (pid == 0) return true;
  for (void* block : blocks) inherited->Deallocate(block);
  return false;
}

void UseInherited() {
  UseDatabase(inherited);
  const rocksdb::FallbackStats fallback = *rocksdb::Fallback(*inherited);
  if (fallback.count == 0) Fail("the child's blocks were not counted as fall-back");
  if (fallback.live_count != 0) Fail("blocks of the child are not back");
}

// EPERM for the calls that container profiles refuse.
void DenyCalls() {
  constexpr long kDenied[] = {SYS_mbind,      SYS_set_mempolicy, SYS_get_mempolicy,
                              SYS_move_pages, SYS_migrate_pages, SYS_membarrier};
  constexpr size_t kCount = std::size(kDenied);
  sock_filter filter[kCount + 3];
  filter[0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (size_t i = 0; i < kCount; ++i) {
    filter[i + 1] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(kDenied[i]),
                             static_cast<unsigned char>(kCount - i), 0);
  }
  filter[kCount + 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[kCount + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  const sock_fprog program = {static_cast<unsigned short>(std::size(filter)), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    std::fprintf(stderr, "rocksdb_process: no seccomp: %s\n", std::strerror(errno));
    std::exit(77);
  }
  errno = 0;
  if (syscall(SYS_mbind, 0, 0, 0, 0, 0, 0) == 0 || errno != EPERM) Fail("the filter does not deny mbind");
}

void UseDenied(HugePages huge_pages) {
  DenyCalls();
  const auto allocator = MakeAllocator(huge_pages);
  UseDatabase(allocator);
  ExpectPoolServed(*allocator);
  if (rocksdb::PoolOf(*allocator)->Stats().refused_bind_count == 0) Fail("a denied mbind was not counted");
}

int Main(const std::string& mode, const std::string& backing) {
  const HugePages huge_pages = backing == "required"      ? HugePages::kRequired
                               : backing == "transparent" ? HugePages::kTransparent
                                                          : HugePages::kOff;
  if (mode == "denied") {
    UseDenied(huge_pages);
    return 0;
  }
  if (!ForkWithPool(huge_pages)) return 0;
  if (mode == "exit_only") std::exit(0);
  if (mode == "inherited") {
    UseInherited();
    return 0;
  }
  if (mode != "new_pool") Fail("unknown mode " + mode);
  const auto allocator = MakeAllocator(huge_pages);
  UseDatabase(allocator);
  ExpectPoolServed(*allocator);
  return 0;
}

}  // namespace
}  // namespace hugepool::testing

int main(int argc, char** argv) { return argc == 3 ? hugepool::testing::Main(argv[1], argv[2]) : 2; }
