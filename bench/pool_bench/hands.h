// Hands: what one thread of a loop allocates and frees with. Every block that is handed out has its first word written
// before the loop goes on; with kVerified, its last word too, and both are compared before it is freed.
//
// Shape      a Subject's handle; Shelf keeps the handles of one benchmark between the calls that find out how many
//            iterations to measure, so that a pool of one thread is not made anew each time
// Units      bytes; a stamp is any number that no other live block has
// Threads    Hands: one owner. Shelf: each thread its own place
// Errors     Allocate returns nullptr; Deallocate returns false when the contents are not what was written
// Cost       without kVerified: one test for nullptr and one store on top of the allocator
#ifndef HUGEPOOL_BENCH_POOL_BENCH_HANDS_H_
#define HUGEPOOL_BENCH_POOL_BENCH_HANDS_H_

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bench/pool_bench/failure.h"
#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

// The first of a thread's stamps; no other thread comes near them.
inline uint64_t FirstStamp(const benchmark::State& state) {
  return (static_cast<uint64_t>(state.thread_index()) + 1) << 48;
}

template <Subject S, bool kVerified>
class Hands {
 public:
  using SubjectType = S;
  static constexpr bool kVerifies = kVerified;

  explicit Hands(typename S::Handle handle) : handle_(std::move(handle)) {}

  // At least 8 bytes.
  void* Allocate(size_t bytes, uint64_t stamp) {
    void* block = handle_.Allocate(bytes);
    if (block == nullptr) [[unlikely]]
      return nullptr;
    Stamp(block, bytes, stamp);
    // After the write: a compiler that knows free() leaves out what nobody can read.
    benchmark::DoNotOptimize(static_cast<void* const&>(block));
    return block;
  }

  // For who takes the time before the first write: Stamp comes from the caller.
  void* AllocateUnwritten(size_t bytes) {
    void* block = handle_.Allocate(bytes);
    benchmark::DoNotOptimize(static_cast<void* const&>(block));
    return block;
  }

  [[nodiscard]] bool Deallocate(void* block, size_t bytes, uint64_t stamp) {
    if constexpr (kVerified) {
      if (!Holds(block, bytes, stamp)) return false;
    }
    handle_.Deallocate(block, bytes);
    return true;
  }

  static void Stamp(void* block, size_t bytes, uint64_t stamp) {
    std::memcpy(block, &stamp, sizeof stamp);
    if constexpr (kVerified) {
      if (HasLastWord(bytes)) std::memcpy(LastWord(block, bytes), &stamp, sizeof stamp);
    }
  }
  static bool Holds(void* block, size_t bytes, uint64_t stamp) {
    return std::memcmp(block, &stamp, sizeof stamp) == 0 &&
           (!HasLastWord(bytes) || std::memcmp(LastWord(block, bytes), &stamp, sizeof stamp) == 0);
  }

 private:
  // That is not a part of the first.
  static bool HasLastWord(size_t bytes) { return bytes >= 2 * sizeof(uint64_t); }
  static std::byte* LastWord(void* block, size_t bytes) {
    return static_cast<std::byte*>(block) + bytes - sizeof(uint64_t);
  }

  typename S::Handle handle_;
};

template <Subject S, bool kVerified>
class Shelf {
 public:
  using HandsType = Hands<S, kVerified>;

  Shelf(std::shared_ptr<SubjectBox<S>> box, const BlockDemand& demand, int thread_count)
      : box_(std::move(box)), demand_(demand), places_(static_cast<size_t>(thread_count)) {}

  // This thread's hands, to be kept in a local variable while it loops; nothing, and the benchmark failed, when the
  // subject cannot be had.
  std::optional<HandsType> Take(benchmark::State& state) {
    std::optional<HandsType>& place = places_[static_cast<size_t>(state.thread_index())];
    if (place) return std::exchange(place, std::nullopt);
    std::string problem;
    S* subject = box_->Get(&problem);
    if (subject != nullptr) {
      if (auto handle = subject->MakeHandle(demand_, &problem)) return HandsType(*std::move(handle));
    }
    Fail(state, problem);
    return std::nullopt;
  }

  void Put(const benchmark::State& state, HandsType hands) {
    places_[static_cast<size_t>(state.thread_index())].emplace(std::move(hands));
  }

  const Pool* pool() const {
    std::string problem;
    const S* subject = box_->Get(&problem);
    return subject == nullptr ? nullptr : subject->pool();
  }
  const BlockDemand& demand() const { return demand_; }
  const SubjectOptions& options() const { return box_->options(); }

 private:
  const std::shared_ptr<SubjectBox<S>> box_;  // outlives the handles below
  const BlockDemand demand_;
  std::vector<std::optional<HandsType>> places_;  // by thread
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_HANDS_H_
