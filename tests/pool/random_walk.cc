#include "pool/random_walk.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

// Words of the largest block have numbers of their own below this bit, so that no two blocks share a pattern.
constexpr unsigned kIdShift = 21;

struct Block {
  char* address = nullptr;
  size_t bytes = 0;
  uint64_t id = 0;
};

class Walk;

class Walker {
 public:
  Walker(Walk& walk, size_t number, uint64_t seed) : walk_(walk), number_(number), random_(seed) {}

  void Step(uint64_t operation_count);
  void FreeAll();
  void PutIntoMailbox(const Block& block) {
    const std::lock_guard lock(mailbox_mutex_);
    mailbox_.push_back(block);
  }
  // While no walker walks.
  void AddBlocks(std::vector<Block>* blocks) const {
    blocks->insert(blocks->end(), blocks_.begin(), blocks_.end());
    blocks->insert(blocks->end(), mailbox_.begin(), mailbox_.end());
  }

  uint64_t allocation_count = 0;
  uint64_t refusal_count = 0;
  uint64_t handed_over_count = 0;

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  void Allocate();
  void Free(const Block& block);
  Block TakeAny();
  void ReadMailbox();

  Walk& walk_;
  const size_t number_;
  std::mt19937_64 random_;
  bool growing_ = true;
  std::vector<Block> blocks_;
  std::mutex mailbox_mutex_;
  std::vector<Block> mailbox_;
};

class Walk {
 public:
  Walk(Pool& walked, const WalkPlan& wanted) : pool(walked), plan(wanted) {
    for (size_t i = 0; i < plan.thread_count; ++i) {
      walkers.push_back(std::make_unique<Walker>(*this, i, plan.seed * 1'000'003 + i));
    }
  }

  WalkResult Run();
  void Wrong(const std::string& what) {
    const std::lock_guard lock(wrong_mutex_);
    if (wrong_.empty()) wrong_ = what;
    stopped = true;
  }

  Pool& pool;
  const WalkPlan& plan;
  std::vector<std::unique_ptr<Walker>> walkers;
  std::atomic<uint64_t> live_bytes{0};
  std::atomic<uint64_t> next_id{1};
  std::atomic<bool> stopped{false};

 private:
  template <typename Do>
  void OnAllThreads(Do work);
  void Check(WalkResult* result);
  void CheckAllBack();

  std::mutex wrong_mutex_;
  std::string wrong_;
};

std::string Describe(const Block& block) {
  char text[96];
  std::snprintf(text, sizeof text, "block %llu of %zu bytes at %p",
                static_cast<unsigned long long>(block.id >> kIdShift), block.bytes, static_cast<void*>(block.address));
  return text;
}

void Walker::Allocate() {
  const double exponent = std::uniform_real_distribution<double>(0, std::log2(walk_.plan.max_block_bytes))(random_);
  const size_t bytes = std::max<size_t>(1, static_cast<size_t>(std::exp2(exponent)));
  if (walk_.live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes > walk_.plan.live_limit_bytes) {
    walk_.live_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    growing_ = false;
    return;
  }
  if (walk_.plan.before_allocate) walk_.plan.before_allocate(random_());
  const size_t alignment_bytes = Below(8) == 0 ? size_t{1} << Below(13) : 1;
  void* const address = walk_.pool.Allocate(bytes, alignment_bytes);
  ++allocation_count;
  if (address == nullptr) {
    walk_.live_bytes.fetch_sub(bytes, std::memory_order_relaxed);
    ++refusal_count;
    growing_ = false;
    return;
  }
  const Block block{static_cast<char*>(address), bytes,
                    walk_.next_id.fetch_add(1, std::memory_order_relaxed) << kIdShift};
  const size_t promised =
      std::max(alignment_bytes, bytes >= kCacheLineFromBytes ? kCacheLineBytes : kMinAlignmentBytes);
  if (reinterpret_cast<uintptr_t>(address) % promised != 0) walk_.Wrong(Describe(block) + " is not aligned");
  if (walk_.pool.UsableSize(address) < bytes) walk_.Wrong(Describe(block) + " is too small");
  if (!walk_.pool.Owns(address)) walk_.Wrong(Describe(block) + " is not owned by its pool");
  if (walk_.plan.after_allocate) {
    const std::string wrong = walk_.plan.after_allocate(address, bytes);
    if (!wrong.empty()) walk_.Wrong(Describe(block) + ": " + wrong);
  }
  Stamp(address, bytes, block.id);
  blocks_.push_back(block);
}

void Walker::Free(const Block& block) {
  if (!HasStamp(block.address, block.bytes, block.id)) walk_.Wrong(Describe(block) + " lost its stamp");
  if (block.id >> kIdShift & 1) {
    walk_.pool.Deallocate(block.address);
  } else {
    walk_.pool.Deallocate(block.address, block.bytes);
  }
  walk_.live_bytes.fetch_sub(block.bytes, std::memory_order_relaxed);
}

Block Walker::TakeAny() {
  std::swap(blocks_[Below(blocks_.size())], blocks_.back());
  const Block block = blocks_.back();
  blocks_.pop_back();
  return block;
}

void Walker::ReadMailbox() {
  std::vector<Block> letters;
  {
    const std::lock_guard lock(mailbox_mutex_);
    letters.swap(mailbox_);
  }
  blocks_.insert(blocks_.end(), letters.begin(), letters.end());
}

void Walker::Step(uint64_t operation_count) {
  for (uint64_t i = 0; i < operation_count && !walk_.stopped; ++i) {
    if (Below(16) == 0) ReadMailbox();
    if (Below(1024) == 0) growing_ = !growing_;
    if (blocks_.empty() || Below(8) < (growing_ ? 5 : 3)) {
      Allocate();
      continue;
    }
    const Block block = TakeAny();
    if (Below(4) == 0) {
      // Whoever gets it may free it: a free from another thread than the one that allocated it.
      ++handed_over_count;
      walk_.walkers[(number_ + 1 + Below(std::max<size_t>(walk_.walkers.size(), 2) - 1)) % walk_.walkers.size()]
          ->PutIntoMailbox(block);
      if (blocks_.empty()) continue;
    } else {
      Free(block);
    }
    if (!blocks_.empty() && Below(16) == 0) {
      const Block& any = blocks_[Below(blocks_.size())];
      if (!HasStamp(any.address, any.bytes, any.id)) walk_.Wrong(Describe(any) + " lost its stamp");
    }
  }
}

void Walker::FreeAll() {
  ReadMailbox();
  while (!blocks_.empty()) Free(TakeAny());
}

template <typename Do>
void Walk::OnAllThreads(Do work) {
  std::vector<std::thread> threads;
  threads.reserve(walkers.size());
  for (const auto& walker : walkers) threads.emplace_back([&work, &walker] { work(*walker); });
  for (std::thread& thread : threads) thread.join();
}

// No two blocks share a byte, and the pool counts what the model holds.
void Walk::Check(WalkResult* result) {
  std::string why;
  if (!pool.CheckInvariants(&why)) return Wrong("CheckInvariants: " + why);
  std::vector<Block> blocks;
  for (const auto& walker : walkers) walker->AddBlocks(&blocks);
  std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.address < b.address; });
  uint64_t usable_bytes = 0;
  uint64_t requested_bytes = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t here_bytes = pool.UsableSize(blocks[i].address);
    usable_bytes += here_bytes;
    requested_bytes += blocks[i].bytes;
    if (i + 1 < blocks.size() && blocks[i].address + here_bytes > blocks[i + 1].address) {
      return Wrong(Describe(blocks[i]) + " overlaps " + Describe(blocks[i + 1]));
    }
  }
  const PoolStats stats = pool.Stats();
  if (stats.allocated_bytes != usable_bytes || stats.allocated_count != blocks.size()) {
    return Wrong("the pool counts " + std::to_string(stats.allocated_bytes) + " bytes in " +
                 std::to_string(stats.allocated_count) + " blocks, live are " + std::to_string(usable_bytes) + " in " +
                 std::to_string(blocks.size()));
  }
  if (stats.committed_bytes > stats.capacity_bytes) return Wrong("more is committed than the capacity");
  ++result->check_count;
  result->peak_live_bytes = std::max(result->peak_live_bytes, requested_bytes);
  result->peak_block_count = std::max<uint64_t>(result->peak_block_count, blocks.size());
}

void Walk::CheckAllBack() {
  const size_t committed_bytes = pool.Trim(0);
  const PoolStats stats = pool.Stats();
  std::string why;
  if (!pool.CheckInvariants(&why)) return Wrong("at the end: CheckInvariants: " + why);
  if (committed_bytes != 0 || stats.committed_bytes != 0 || stats.allocated_bytes != 0 || stats.allocated_count != 0 ||
      stats.cached_bytes != 0) {
    Wrong("at the end, all being freed and trimmed: " + stats.ToText());
  }
}

WalkResult Walk::Run() {
  WalkResult result;
  const Stopwatch stopwatch;
  uint64_t left = plan.operation_count;
  while (left != 0 && !stopped) {
    const uint64_t round = std::min(left, plan.operations_between_checks);
    left -= round;
    result.operation_count += round;
    const uint64_t each = (round + walkers.size() - 1) / walkers.size();
    OnAllThreads([each](Walker& walker) { walker.Step(each); });
    if (!stopped) Check(&result);
  }
  if (!stopped) OnAllThreads([](Walker& walker) { walker.FreeAll(); });
  if (!stopped) CheckAllBack();
  for (const auto& walker : walkers) {
    result.allocation_count += walker->allocation_count;
    result.refusal_count += walker->refusal_count;
    result.handed_over_count += walker->handed_over_count;
  }
  result.wrong = wrong_;
  result.seconds = stopwatch.Seconds();
  return result;
}

}  // namespace

WalkResult RandomWalk(Pool& pool, const WalkPlan& plan) { return Walk(pool, plan).Run(); }

}  // namespace hugepool::testing
