// ReplaceLoop: a block cache at work. All blocks live; a random one is freed, one of the same size takes its place and is
// written whole, and another random one is read, a word of each cache line.
//
// Shape      live blocks shared out over the threads; they stay between the calls that find out how many iterations to
//            measure. With `collapse`, huge pages are put under them once all are there
// Units      an item is one block freed, allocated and written, and one read
// Owner      ReplaceSet owns the blocks and frees them
// Threads    each thread has blocks of its own
#ifndef HUGEPOOL_BENCH_POOL_BENCH_LOOPS_REPLACE_LOOP_H_
#define HUGEPOOL_BENCH_POOL_BENCH_LOOPS_REPLACE_LOOP_H_

#include <benchmark/benchmark.h>
#include <hugepool/types.h>

#include <barrier>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bench/collapse.h"
#include "bench/pool_bench/hands.h"
#include "bench/pool_bench/mapped_array.h"
#include "bench/pool_bench/random.h"
#include "bench/pool_bench/steps.h"
#include "bench/process_memory.h"

namespace hugepool::bench {

template <typename ShelfType>
class ReplaceSet {
 public:
  using HandsType = typename ShelfType::HandsType;

  ReplaceSet(size_t bytes, size_t blocks_per_thread, int thread_count, bool collapse)
      : bytes_(bytes),
        blocks_per_thread_(blocks_per_thread),
        collapse_(collapse),
        parts_(static_cast<size_t>(thread_count)),
        meeting_(thread_count) {}

  ~ReplaceSet() {
    for (size_t thread = 0; thread < parts_.size(); ++thread) {
      Part& part = parts_[thread];
      for (size_t i = 0; i < part.blocks.size() && part.hands; ++i) {
        // What the loop found out it has said; here the blocks only go back.
        if (part.blocks[i] != nullptr) (void)part.hands->Deallocate(part.blocks[i], bytes_, StampOf(thread, i));
      }
    }
  }
  ReplaceSet(const ReplaceSet&) = delete;
  ReplaceSet& operator=(const ReplaceSet&) = delete;

  void Loop(benchmark::State& state, ShelfType& shelf) {
    const size_t thread = static_cast<size_t>(state.thread_index());
    Part& part = parts_[thread];
    const bool first_call = part.blocks.size() == 0;
    bool filled = !first_call || Fill(state, shelf, thread);
    if (first_call && collapse_) CollapseTogether(thread);
    if (!filled || !part.hands) return;

    auto hands = std::exchange(part.hands, std::nullopt);
    Random random(FirstStamp(state));
    MappedArray<void*>& blocks = part.blocks;
    const auto count = static_cast<uint32_t>(blocks.size());
    uint64_t sum = 0;
    const bool ok = RunSteps(state, [&] {
      const uint32_t i = random.Below(count);
      if (!hands->Deallocate(blocks[i], bytes_, StampOf(thread, i))) return Trouble::kChanged;
      blocks[i] = hands->Allocate(bytes_, StampOf(thread, i));
      if (blocks[i] == nullptr) [[unlikely]]
        return Trouble::kRefused;
      std::memset(static_cast<std::byte*>(blocks[i]) + sizeof(uint64_t), static_cast<int>(i & 0xFF),
                  bytes_ - 2 * sizeof(uint64_t));
      const uint32_t other = random.Below(count);
      for (size_t at = 0; at + sizeof(uint64_t) <= bytes_; at += kCacheLineBytes) {
        uint64_t word;
        std::memcpy(&word, static_cast<const std::byte*>(blocks[other]) + at, sizeof word);
        sum += word;
      }
      return Trouble::kNone;
    });
    benchmark::DoNotOptimize(sum);
    state.SetItemsProcessed(state.iterations());
    // After trouble the books do not hold any more: the blocks are left to the process's end.
    if (ok) part.hands = std::move(hands);
  }

 private:
  struct Part {
    std::optional<HandsType> hands;
    MappedArray<void*> blocks;
  };

  static uint64_t StampOf(size_t thread, size_t i) { return ((thread + 1) << 48) + i; }

  bool Fill(benchmark::State& state, ShelfType& shelf, size_t thread) {
    Part& part = parts_[thread];
    part.blocks = MappedArray<void*>(blocks_per_thread_);
    part.hands = shelf.Take(state);
    if (!part.hands) return false;
    for (size_t i = 0; i < part.blocks.size(); ++i) {
      part.blocks[i] = part.hands->Allocate(bytes_, StampOf(thread, i));
      if (part.blocks[i] == nullptr) {
        Fail(state, ToString(Trouble::kRefused));
        return false;
      }
      std::memset(static_cast<std::byte*>(part.blocks[i]) + sizeof(uint64_t), 1, bytes_ - 2 * sizeof(uint64_t));
    }
    return true;
  }

  void CollapseTogether(size_t thread) {
    meeting_.arrive_and_wait();
    if (thread != 0) return;
    std::vector<Mapping> mappings = ReadMappings();
    for (Part& part : parts_) {
      for (void* block : part.blocks) {
        Mapping* mapping = Find(&mappings, reinterpret_cast<uintptr_t>(block));
        if (mapping != nullptr) mapping->holds_block = true;
      }
    }
    CollapseMarked(mappings);
  }

  const size_t bytes_;
  const size_t blocks_per_thread_;
  const bool collapse_;
  std::vector<Part> parts_;  // by thread
  std::barrier<> meeting_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_LOOPS_REPLACE_LOOP_H_
