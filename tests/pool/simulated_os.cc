#include "pool/simulated_os.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "os/mutex.h"
#include "pool/kernel_maps.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; newer than Debian 12's headers
#endif

namespace hugepool::testing {
namespace {

uintptr_t AddressOf(const void* address) { return reinterpret_cast<uintptr_t>(address); }

thread_local int current_cpu = 0;
thread_local int current_node = -1;

}  // namespace

const char* ToString(Call call) {
  constexpr std::array<const char*, kCallCount> kNames = {"Reserve",
                                                          "MapSmall",
                                                          "MapHugetlb",
                                                          "Unmap",
                                                          "AllowAccess",
                                                          "AllowReading",
                                                          "Advise",
                                                          "BindTo",
                                                          "PreferNode",
                                                          "Populate",
                                                          "GiveBack",
                                                          "Locate",
                                                          "NodeAvailableBytes",
                                                          "MachineAvailableBytes",
                                                          "FreeHugePages"};
  return kNames[static_cast<size_t>(call)];
}

std::vector<Call> AllCalls() {
  std::vector<Call> calls;
  for (size_t i = 0; i < kCallCount; ++i) calls.push_back(static_cast<Call>(i));
  return calls;
}

SimulatedOs::SimulatedOs(const std::vector<NodeMemory>& nodes) : first_touch_node_(nodes.front().node_id) {
  for (const NodeMemory& node : nodes) {
    nodes_[node.node_id] = Node{node.huge_page_count, node.small_bytes, node.giant_page_count};
  }
  current_cpu = 0;
}

SimulatedOs::~SimulatedOs() {
  for (const auto& [first, bytes] : mappings_) munmap(reinterpret_cast<void*>(first), bytes);
}

int SimulatedOs::Count(Call call) {
  if (internal::Mutex::AnyHeld()) Complain(std::string(ToString(call)) + " was called with a lock of the pool held");
  const uint64_t position = call_counts_[static_cast<size_t>(call)]++;
  const Failure& failure = failures_[static_cast<size_t>(call)];
  return position >= failure.first && position <= failure.last ? failure.errno_value : 0;
}

void SimulatedOs::Complain(const std::string& what) {
  if (complaints_.size() < 20) complaints_.push_back(what);
}

bool SimulatedOs::IsMapped(uintptr_t first, size_t bytes) const {
  auto mapping = mappings_.upper_bound(first);
  if (mapping == mappings_.begin()) return false;
  --mapping;
  return first + bytes <= mapping->first + mapping->second;
}

int SimulatedOs::Reserve(size_t bytes, void** address) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kReserve)) return refused;
  const int refused = OsMemory::Reserve(bytes, address);
  if (refused == 0) mappings_[AddressOf(*address)] = bytes;
  return refused;
}

int SimulatedOs::MapSmall(size_t bytes, void** address) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kMapSmall)) return refused;
  const int refused = OsMemory::MapSmall(bytes, address);
  if (refused == 0) mappings_[AddressOf(*address)] = bytes;
  return refused;
}

int SimulatedOs::MapHugetlb(void* address, size_t bytes, size_t page_bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kMapHugetlb)) return refused;
  const uintptr_t first = AddressOf(address);
  if (!IsMapped(first, bytes)) Complain("hugetlb mapped outside of a reservation");
  if (page_bytes != kHugePageBytes && page_bytes != kGiantPageBytes) return EINVAL;
  if (first % page_bytes != 0 || bytes % page_bytes != 0) return EINVAL;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (mmap(address, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0) == MAP_FAILED) return errno;
  (void)madvise(address, bytes, MADV_NOHUGEPAGE);
  // A new mapping loses the old one's pages and binding, as in the kernel.
  DropPages(first, bytes);
  if (BoundNode(first) >= 0) Complain("a bound range was replaced by a new mapping");
  hugetlb_[first] = HugetlbRange{first + bytes, page_bytes};
  return 0;
}

int SimulatedOs::Unmap(void* address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kUnmap)) return refused;
  const auto mapping = mappings_.find(AddressOf(address));
  if (mapping == mappings_.end() || mapping->second != bytes) {
    Complain("unmapped what was not mapped as such");
    return EINVAL;
  }
  DropPages(mapping->first, mapping->second);
  const auto inside = [first = mapping->first, last = mapping->first + bytes](const auto& entry) {
    return entry.first >= first && entry.first < last;
  };
  std::erase_if(bound_, inside);
  std::erase_if(hugetlb_, inside);
  mappings_.erase(mapping);
  return OsMemory::Unmap(address, bytes);
}

int SimulatedOs::AllowAccess(void* address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kAllowAccess)) return refused;
  if (!IsMapped(AddressOf(address), bytes)) Complain("access allowed outside of a mapping");
  return OsMemory::AllowAccess(address, bytes);
}

int SimulatedOs::AllowReading(void* address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kAllowReading)) return refused;
  if (!IsMapped(AddressOf(address), bytes)) Complain("access allowed outside of a mapping");
  return OsMemory::AllowReading(address, bytes);
}

int SimulatedOs::Advise(void* address, size_t bytes, int advice) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kAdvise)) return refused;
  const uintptr_t first = AddressOf(address);
  if (!IsMapped(first, bytes)) Complain("advice outside of a mapping");
  if (advice == MADV_COLLAPSE) {
    const auto page = pages_.find(first);
    if (page == pages_.end() || page->second.bytes != kHugePageBytes) Complain("collapsed what is not present");
    return collapse_errno_;
  }
  // Real huge pages would make each touch of one byte a touch of 2 MiB.
  if (advice == MADV_HUGEPAGE) advice = MADV_NOHUGEPAGE;
  return OsMemory::Advise(address, bytes, advice);
}

int SimulatedOs::BindTo(void* address, size_t bytes, int node_id) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kBindTo)) return refused;
  const uintptr_t first = AddressOf(address);
  if (!IsMapped(first, bytes)) Complain("bound outside of a mapping");
  if (!nodes_.contains(node_id)) return EINVAL;
  for (uintptr_t page = first; page < first + bytes; page += PageBytes(page)) {
    if (pages_.contains(page)) Complain("bound after populating");
  }
  bound_[first] = Range{first + bytes, node_id};
  return 0;
}

int SimulatedOs::PreferNode(void* address, size_t bytes, int node_id) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kPreferNode)) return refused;
  if (!IsMapped(AddressOf(address), bytes)) Complain("placed outside of a mapping");
  return nodes_.contains(node_id) ? 0 : EINVAL;
}

int SimulatedOs::BoundNode(uintptr_t address) const {
  auto range = bound_.upper_bound(address);
  if (range == bound_.begin()) return -1;
  --range;
  return address < range->second.last ? range->second.node_id : -1;
}

int SimulatedOs::ForcedNode(uintptr_t address) const {
  return misplaced_node_ >= 0 ? misplaced_node_ : BoundNode(address);
}

size_t SimulatedOs::HugetlbPageBytes(uintptr_t address) const {
  auto range = hugetlb_.upper_bound(address);
  if (range == hugetlb_.begin()) return 0;
  --range;
  return address < range->second.last ? range->second.page_bytes : 0;
}

size_t SimulatedOs::PageBytes(uintptr_t address) const { return std::max(HugetlbPageBytes(address), kHugePageBytes); }

uintptr_t SimulatedOs::PageStart(uintptr_t address) const { return address - address % PageBytes(address); }

// EFAULT when no allowed node has a huge page, as MADV_POPULATE_WRITE answers.
int SimulatedOs::TakeHugePage(uintptr_t address, Page* page) {
  const int bound = ForcedNode(address);
  const size_t page_bytes = HugetlbPageBytes(address);
  std::vector<int> order{bound >= 0 ? bound : first_touch_node_};
  if (bound < 0) {
    for (const auto& [node_id, node] : nodes_) order.push_back(node_id);
  }
  for (const int node_id : order) {
    Node& node = nodes_[node_id];
    if (node.HugetlbCount(page_bytes) == 0) continue;
    --node.HugetlbCount(page_bytes);
    *page = Page{node_id, true, page_bytes};
    return 0;
  }
  return EFAULT;
}

// ENOMEM when the node has less than a page's worth left: what it has is populated all the same.
int SimulatedOs::TakeSmallBytes(uintptr_t address, Page* page) {
  const int bound = ForcedNode(address);
  const int node_id = page->bytes != 0 ? page->node_id : bound >= 0 ? bound : first_touch_node_;
  Node& node = nodes_[node_id];
  const uint64_t taken = std::min(kHugePageBytes - page->bytes, node.small_bytes);
  node.small_bytes -= taken;
  *page = Page{node_id, false, page->bytes + taken};
  return page->bytes == kHugePageBytes ? 0 : ENOMEM;
}

int SimulatedOs::PopulatePage(uintptr_t address) {
  Page page;
  const auto found = pages_.find(address);
  if (found != pages_.end()) page = found->second;
  if (page.bytes == PageBytes(address)) return 0;
  const bool fresh = page.bytes == 0;
  const int refused = HugetlbPageBytes(address) != 0 ? TakeHugePage(address, &page) : TakeSmallBytes(address, &page);
  if (page.bytes != 0) {
    pages_[address] = page;
    if (fresh) *reinterpret_cast<volatile char*>(address) = 0;
  }
  return refused;
}

int SimulatedOs::Populate(void* address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kPopulate)) return refused;
  const uintptr_t first = AddressOf(address);
  if (!IsMapped(first, bytes)) Complain("populated outside of a mapping");
  if (first != PageStart(first) || bytes % PageBytes(first) != 0) Complain("a part of a huge page was populated");
  for (uintptr_t page = first; page < first + bytes; page += PageBytes(page)) {
    if (const int refused = PopulatePage(page)) return refused;
  }
  return 0;
}

void SimulatedOs::DropPage(uintptr_t start) {
  const auto page = pages_.find(start);
  if (page == pages_.end()) return;
  Node& node = nodes_[page->second.node_id];
  if (page->second.hugetlb) {
    ++node.HugetlbCount(page->second.bytes);
  } else {
    node.small_bytes += page->second.bytes;
  }
  pages_.erase(page);
}

void SimulatedOs::DropPages(uintptr_t first, size_t bytes) {
  if (bytes / kHugePageBytes < pages_.size()) {
    const uintptr_t aligned = PageStart(first + kHugePageBytes - 1);
    for (uintptr_t page = aligned; page < first + bytes; page += PageBytes(page)) DropPage(page);
    return;
  }
  std::vector<uintptr_t> dropped;
  for (const auto& [start, page] : pages_) {
    if (start >= first && start < first + bytes) dropped.push_back(start);
  }
  for (const uintptr_t start : dropped) DropPage(start);
}

int SimulatedOs::GiveBack(void* address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kGiveBack)) return refused;
  const uintptr_t first = AddressOf(address);
  if (!IsMapped(first, bytes)) Complain("given back outside of a mapping");
  if (first != PageStart(first) || bytes % PageBytes(first) != 0) Complain("a part of a huge page was given back");
  DropPages(first, bytes);
  return OsMemory::GiveBack(address, bytes);
}

int SimulatedOs::Locate(void* const* addresses, size_t count, int* node_ids) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kLocate)) return refused;
  uintptr_t start = UINTPTR_MAX;
  auto page = pages_.end();
  for (size_t i = 0; i < count; ++i) {
    const uintptr_t address = AddressOf(addresses[i]);
    if (address / kHugePageBytes != start / kHugePageBytes) {
      start = PageStart(address);
      page = pages_.find(start);
    }
    const bool present = page != pages_.end() && address - start < page->second.bytes;
    node_ids[i] = present ? page->second.node_id : -ENOENT;
  }
  return 0;
}

int SimulatedOs::NodeAvailableBytes(int node_id, uint64_t* bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kNodeAvailableBytes)) return refused;
  if (!nodes_.contains(node_id)) return ENOENT;
  *bytes = nodes_[node_id].small_bytes;
  return 0;
}

int SimulatedOs::MachineAvailableBytes(uint64_t* bytes) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kMachineAvailableBytes)) return refused;
  *bytes = 0;
  for (const auto& [node_id, node] : nodes_) *bytes += node.small_bytes;
  return 0;
}

int SimulatedOs::FreeHugePages(int node_id, size_t page_bytes, uint64_t* count) {
  const std::lock_guard lock(mutex_);
  if (const int refused = Count(Call::kFreeHugePages)) return refused;
  if (!nodes_.contains(node_id)) return ENOENT;
  *count = nodes_[node_id].HugetlbCount(page_bytes);
  return 0;
}

int SimulatedOs::HasRseq() const { return ENOSYS; }
size_t SimulatedOs::CpuIdLimit() const { return 64; }
int SimulatedOs::CurrentCpu() const { return current_cpu; }
int SimulatedOs::NodeOfCurrentCpu(int cpu) const { return cpu == current_cpu ? current_node : -1; }
void SimulatedOs::SetCpu(int cpu, int node_id) {
  current_cpu = cpu;
  current_node = node_id;
}

uint64_t SimulatedOs::NowNs() const {
  const std::lock_guard lock(mutex_);
  return now_ns_;
}

void SimulatedOs::SleepNs(uint64_t duration_ns) {
  std::function<void(uint64_t)> on_sleep;
  uint64_t now_ns = 0;
  {
    const std::lock_guard lock(mutex_);
    now_ns = now_ns_ += duration_ns;
    on_sleep = on_sleep_;
  }
  if (on_sleep) on_sleep(now_ns);
}

void SimulatedOs::AdvanceNs(uint64_t duration_ns) {
  const std::lock_guard lock(mutex_);
  now_ns_ += duration_ns;
}

void SimulatedOs::OnSleep(std::function<void(uint64_t)> on_sleep) {
  const std::lock_guard lock(mutex_);
  on_sleep_ = std::move(on_sleep);
}

void SimulatedOs::FailOnce(Call call, uint64_t position, int errno_value) {
  const std::lock_guard lock(mutex_);
  failures_[static_cast<size_t>(call)] = Failure{position, position, errno_value};
}

void SimulatedOs::FailFrom(Call call, uint64_t position, int errno_value) {
  const std::lock_guard lock(mutex_);
  failures_[static_cast<size_t>(call)] = Failure{position, UINT64_MAX, errno_value};
}

void SimulatedOs::FailNever() {
  const std::lock_guard lock(mutex_);
  failures_.fill(Failure{});
}

uint64_t SimulatedOs::call_count(Call call) const {
  const std::lock_guard lock(mutex_);
  return call_counts_[static_cast<size_t>(call)];
}

void SimulatedOs::SetFreeHugePages(int node_id, uint64_t count) {
  const std::lock_guard lock(mutex_);
  nodes_.at(node_id).huge_page_count = count;
}

uint64_t SimulatedOs::free_huge_page_count(int node_id) const {
  const std::lock_guard lock(mutex_);
  return nodes_.at(node_id).huge_page_count;
}

void SimulatedOs::SetFreeGiantPages(int node_id, uint64_t count) {
  const std::lock_guard lock(mutex_);
  nodes_.at(node_id).giant_page_count = count;
}

uint64_t SimulatedOs::free_giant_page_count(int node_id) const {
  const std::lock_guard lock(mutex_);
  return nodes_.at(node_id).giant_page_count;
}

void SimulatedOs::SetSmallBytes(int node_id, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  nodes_.at(node_id).small_bytes = bytes;
}

uint64_t SimulatedOs::small_bytes(int node_id) const {
  const std::lock_guard lock(mutex_);
  return nodes_.at(node_id).small_bytes;
}

void SimulatedOs::SetFirstTouchNode(int node_id) {
  const std::lock_guard lock(mutex_);
  first_touch_node_ = node_id;
}

void SimulatedOs::MisplaceTo(int node_id) {
  const std::lock_guard lock(mutex_);
  misplaced_node_ = node_id;
}

void SimulatedOs::RefuseCollapse(int errno_value) {
  const std::lock_guard lock(mutex_);
  collapse_errno_ = errno_value;
}

int SimulatedOs::NodeOf(const void* address) const {
  const std::lock_guard lock(mutex_);
  const uintptr_t start = PageStart(AddressOf(address));
  const auto page = pages_.find(start);
  if (page == pages_.end() || AddressOf(address) - start >= page->second.bytes) return -1;
  return page->second.node_id;
}

bool SimulatedOs::IsPresent(const void* address, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const uintptr_t first = AddressOf(address);
  for (uintptr_t start = PageStart(first); start < first + bytes; start += PageBytes(start)) {
    const auto page = pages_.find(start);
    if (page == pages_.end() || page->second.bytes != PageBytes(start)) return false;
  }
  return true;
}

uint64_t SimulatedOs::present_page_count() const {
  const std::lock_guard lock(mutex_);
  return pages_.size();
}

size_t SimulatedOs::mapping_count() const {
  const std::lock_guard lock(mutex_);
  return mappings_.size();
}

uint64_t SimulatedOs::mapped_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const auto& [first, bytes] : mappings_) sum += bytes;
  return sum;
}

size_t SimulatedOs::CountKernelMaps() const {
  const std::lock_guard lock(mutex_);
  return testing::CountKernelMaps(mappings_);
}

std::vector<std::string> SimulatedOs::complaints() const {
  const std::lock_guard lock(mutex_);
  return complaints_;
}

}  // namespace hugepool::testing
