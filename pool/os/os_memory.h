// OsMemory: every system call that the pool makes, and nothing else. No policy here: each call returns what the kernel
// said, and tests put an OsMemory of their own in its place to make any call fail at any position.
//
// Units      bytes; node ids are the kernel's
// Threads    every call from any thread; no state but the zones' reserves, read once
// Errors     0, or the errno of the refused call
// Cost       one system call each, unless said otherwise
#ifndef HUGEPOOL_OS_OS_MEMORY_H_
#define HUGEPOOL_OS_OS_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace hugepool::internal {

class OsMemory {
 public:
  OsMemory() = default;
  virtual ~OsMemory() = default;
  OsMemory(const OsMemory&) = delete;
  OsMemory& operator=(const OsMemory&) = delete;

  // PROT_NONE address space, MAP_NORESERVE; 4 KiB-aligned.
  virtual int Reserve(size_t bytes, void** address);
  // Writable private anonymous memory, 4 KiB pages only (MADV_NOHUGEPAGE): for metadata.
  virtual int MapSmall(size_t bytes, void** address);
  // Replaces a part of a reservation by one hugetlb mapping: MAP_FIXED, MAP_NORESERVE, private. page_bytes is a power
  // of two; EINVAL where kernel or CPU have no such pages.
  virtual int MapHugetlb(void* address, size_t bytes, size_t page_bytes);
  virtual int Unmap(void* address, size_t bytes);
  // mprotect(PROT_READ), and mprotect(PROT_READ | PROT_WRITE).
  virtual int AllowReading(void* address, size_t bytes);
  virtual int AllowAccess(void* address, size_t bytes);
  // madvise with advice: MADV_DONTFORK, MADV_DONTDUMP, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_WIPEONFORK, MADV_COLLAPSE.
  virtual int Advise(void* address, size_t bytes, int advice);
  // mbind: strictly to the node (MPOL_BIND), or to it first (MPOL_PREFERRED).
  virtual int BindTo(void* address, size_t bytes, int node_id);
  virtual int PreferNode(void* address, size_t bytes, int node_id);
  // madvise(MADV_POPULATE_WRITE): EFAULT where a touch would be SIGBUS, ENOMEM without memory, EINVAL before
  // Linux 5.14.
  virtual int Populate(void* address, size_t bytes);
  // madvise(MADV_DONTNEED): EINVAL on hugetlb before Linux 5.18.
  virtual int GiveBack(void* address, size_t bytes);
  // move_pages without targets: node_ids[i] = node of the page at addresses[i], or -errno (-ENOENT: not present).
  virtual int Locate(void* const* addresses, size_t count, int* node_ids);
  // Bytes of the range that the kernel holds resident (mincore; page tables, not swap). 0 where it does not say.
  virtual uint64_t ResidentBytes(void* address, size_t bytes);
  // What a node can still give to 4 KiB pages: free plus reclaimable file pages (its sysfs meminfo), less what its
  // zones keep back (/proc/zoneinfo, read once per node).
  virtual int NodeAvailableBytes(int node_id, uint64_t* bytes);
  // The same of a machine with one node: MemAvailable. (A node's own figures lag where a guest takes memory into use
  // lazily.)
  virtual int MachineAvailableBytes(uint64_t* bytes);
  // Free hugetlb pages of one node and size, from sysfs. Surplus pages are not counted.
  virtual int FreeHugePages(int node_id, size_t page_bytes, uint64_t* count);

  // 0 where glibc registered this process's threads for restartable sequences. ENOSYS: it did not (an old kernel or
  // glibc, valgrind, glibc.pthread.rseq=0), or this code was built for ThreadSanitizer, which does not see through them.
  virtual int HasRseq() const;
  // membarrier(REGISTER_PRIVATE_EXPEDITED_RSEQ), once per process; then PRIVATE_EXPEDITED_RSEQ: when FenceRseq returns,
  // every sequence that was running has ended or will start anew, and its stores are seen. ENOSYS before Linux 5.10.
  virtual int RegisterRseqFence();
  virtual int FenceRseq();
  // No CPU id of this kernel is as large, ever: the length of its CPU mask (sched_getaffinity), or 8,192, Linux's own
  // limit, where it does not say.
  virtual size_t CpuIdLimit() const;

  // The CPU that runs the caller. Cost: one read of the rseq area (glibc), or a vDSO call.
  virtual int CurrentCpu() const;
  // The kernel's id of the node on which that CPU stands, which must run the caller; -1: it does not, or the kernel does
  // not say. Cost: a vDSO call.
  virtual int NodeOfCurrentCpu(int cpu) const;
  // CLOCK_MONOTONIC_COARSE, and a sleep: both here so that tests can turn the clock.
  virtual uint64_t NowNs() const;
  virtual void SleepNs(uint64_t duration_ns);
};

// The real one; lives for ever.
OsMemory& SystemMemory();

}  // namespace hugepool::internal

#endif  // HUGEPOOL_OS_OS_MEMORY_H_
