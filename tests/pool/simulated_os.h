// SimulatedOs: a machine of several made-up nodes on whatever machine the tests run: real mappings, made-up memory.
//
// Shape      mappings are real (anonymous, 4 KiB pages); which node a page of 2 MiB lies on, whether it is populated
//            and how much every node has left stands in records. Populating touches one 4 KiB page, so that hundreds
//            of thousands of populations are cheap; the rest comes when it is written to. Pages of 1 GiB have a count
//            of their own, and are populated and given back whole.
// Units      bytes; node ids are the kernel's; positions count the calls of one kind from 0
// Threads    any; guarded by mutex_. The CPU is set per thread.
// Invariant  free huge pages + huge pages present = what the node was given; the same for small bytes
// Errors     as the kernel's: EFAULT without a huge page, ENOMEM without small memory (a prefix may be populated),
//            and whatever a test asks for; what the pool must never do is written into complaints()
#ifndef HUGEPOOL_TESTS_POOL_SIMULATED_OS_H_
#define HUGEPOOL_TESTS_POOL_SIMULATED_OS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "hugepool/types.h"
#include "os/os_memory.h"

namespace hugepool::testing {

enum class Call : uint8_t {
  kReserve,
  kMapSmall,
  kMapHugetlb,
  kUnmap,
  kAllowAccess,
  kAllowReading,
  kAdvise,
  kBindTo,
  kPreferNode,
  kPopulate,
  kGiveBack,
  kLocate,
  kNodeAvailableBytes,
  kMachineAvailableBytes,
  kFreeHugePages,
};
inline constexpr size_t kCallCount = 15;
const char* ToString(Call call);
std::vector<Call> AllCalls();

class SimulatedOs : public internal::OsMemory {
 public:
  struct NodeMemory {
    int node_id = 0;
    uint64_t huge_page_count = 0;
    uint64_t small_bytes = 0;
    uint64_t giant_page_count = 0;
  };

  explicit SimulatedOs(const std::vector<NodeMemory>& nodes);
  // Unmaps whatever is still mapped.
  ~SimulatedOs() override;

  int Reserve(size_t bytes, void** address) override;
  int MapSmall(size_t bytes, void** address) override;
  int MapHugetlb(void* address, size_t bytes, size_t page_bytes) override;
  int Unmap(void* address, size_t bytes) override;
  int AllowAccess(void* address, size_t bytes) override;
  int AllowReading(void* address, size_t bytes) override;
  int Advise(void* address, size_t bytes, int advice) override;
  int BindTo(void* address, size_t bytes, int node_id) override;
  int PreferNode(void* address, size_t bytes, int node_id) override;
  int Populate(void* address, size_t bytes) override;
  int GiveBack(void* address, size_t bytes) override;
  int Locate(void* const* addresses, size_t count, int* node_ids) override;
  int NodeAvailableBytes(int node_id, uint64_t* bytes) override;
  int MachineAvailableBytes(uint64_t* bytes) override;
  int FreeHugePages(int node_id, size_t page_bytes, uint64_t* count) override;
  // A CPU that is set per thread is no place for restartable sequences.
  int HasRseq() const override;
  size_t CpuIdLimit() const override;
  int CurrentCpu() const override;
  int NodeOfCurrentCpu(int cpu) const override;
  uint64_t NowNs() const override;
  void SleepNs(uint64_t duration_ns) override;

  // Failures. FailOnce: the call at this position; FailFrom: it and all later ones.
  void FailOnce(Call call, uint64_t position, int errno_value);
  void FailFrom(Call call, uint64_t position, int errno_value);
  void FailNever();
  uint64_t call_count(Call call) const;

  // The machine. What rivals take and give back is set here; what the pool holds is not touched.
  void SetFreeHugePages(int node_id, uint64_t count);
  uint64_t free_huge_page_count(int node_id) const;
  void SetFreeGiantPages(int node_id, uint64_t count);
  uint64_t free_giant_page_count(int node_id) const;
  void SetSmallBytes(int node_id, uint64_t bytes);
  uint64_t small_bytes(int node_id) const;
  // Pages of unbound ranges come from this node, and from the others when it has none.
  void SetFirstTouchNode(int node_id);
  // Pages of bound ranges come from this node nevertheless: a kernel that breaks its word. -1: it keeps it.
  void MisplaceTo(int node_id);
  // The errno with which the kernel refuses to put a huge page together; 0: it does.
  void RefuseCollapse(int errno_value);
  // The CPU on which the calling thread runs, as the pool sees it. -1 is what a kernel without the call answers.
  // node_id: where a CPU stands of which the topology does not know.
  static void SetCpu(int cpu, int node_id = -1);
  void AdvanceNs(uint64_t duration_ns);
  // Called after each SleepNs with the time it is then.
  void OnSleep(std::function<void(uint64_t now_ns)> on_sleep);

  // The records. The node of a populated page, -1 where none is present.
  int NodeOf(const void* address) const;
  // Whether every page of [address, address + bytes) is populated.
  bool IsPresent(const void* address, size_t bytes) const;
  uint64_t present_page_count() const;
  size_t mapping_count() const;
  uint64_t mapped_bytes() const;
  // Lines of /proc/self/maps that lie in live mappings of this OS.
  size_t CountKernelMaps() const;
  std::vector<std::string> complaints() const;

 private:
  struct Node {
    uint64_t huge_page_count = 0;
    uint64_t small_bytes = 0;
    uint64_t giant_page_count = 0;
    uint64_t& HugetlbCount(size_t page_bytes) {
      return page_bytes == kGiantPageBytes ? giant_page_count : huge_page_count;
    }
  };
  struct Page {
    int node_id = -1;
    bool hugetlb = false;
    uint64_t bytes = 0;
  };
  struct HugetlbRange {
    uintptr_t last = 0;
    size_t page_bytes = 0;
  };
  struct Failure {
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    int errno_value = 0;
  };
  struct Range {
    uintptr_t last = 0;
    int node_id = -1;
  };

  // All with mutex_ held. Count complains of a caller that holds a lock of the pool (debug builds).
  int Count(Call call);
  void Complain(const std::string& what);
  bool IsMapped(uintptr_t first, size_t bytes) const;
  int BoundNode(uintptr_t address) const;
  // Where a page of this address must come from; -1: from anywhere.
  int ForcedNode(uintptr_t address) const;
  // 0 where no hugetlb is mapped.
  size_t HugetlbPageBytes(uintptr_t address) const;
  // Of the page in which the address lies: its first address, and how long it is.
  uintptr_t PageStart(uintptr_t address) const;
  size_t PageBytes(uintptr_t address) const;
  int PopulatePage(uintptr_t address);
  int TakeHugePage(uintptr_t address, Page* page);
  int TakeSmallBytes(uintptr_t address, Page* page);
  void DropPage(uintptr_t start);
  void DropPages(uintptr_t first, size_t bytes);

  mutable std::mutex mutex_;
  std::map<int, Node> nodes_;
  int first_touch_node_;
  int misplaced_node_ = -1;
  int collapse_errno_ = 0;
  uint64_t now_ns_ = 1'000'000'000;
  std::function<void(uint64_t)> on_sleep_;
  std::array<uint64_t, kCallCount> call_counts_{};
  std::array<Failure, kCallCount> failures_{};
  std::map<uintptr_t, size_t> mappings_;       // first address → bytes
  std::map<uintptr_t, Range> bound_;           // first address → bound range
  std::map<uintptr_t, HugetlbRange> hugetlb_;  // first address → hugetlb mapping
  std::unordered_map<uintptr_t, Page> pages_;  // by first address
  std::vector<std::string> complaints_;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_SIMULATED_OS_H_
