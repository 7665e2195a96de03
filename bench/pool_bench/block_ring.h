// BlockRing: blocks on their way from one thread to one other, published 64 at a time.
//
// Shape      1,024 places; the producer fills 64 of them and then publishes all by one store, the consumer likewise
// Threads    one producer, one consumer; a thread that has to wait spins for a moment and then lets others run
// Invariant  consumed <= published <= consumed + 1,024, all multiples of 64
// Errors     after Close both sides return false instead of waiting
#ifndef HUGEPOOL_BENCH_POOL_BENCH_BLOCK_RING_H_
#define HUGEPOOL_BENCH_POOL_BENCH_BLOCK_RING_H_

#include <sched.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hugepool::bench {

class BlockRing {
 public:
  static constexpr size_t kPublishCount = 64;
  static constexpr size_t kPlaceCount = 1024;

  // 64 places to be filled, then Publish(); nullptr when closed.
  void** WaitForRoom() {
    const uint64_t at = published_.load(std::memory_order_relaxed);  // the producer's own
    return WaitUntil([&] { return at - consumed_.load(std::memory_order_acquire) < kPlaceCount; }) ? PlaceOf(at)
                                                                                                   : nullptr;
  }
  // Release: what stands in the places comes with it.
  void Publish() {
    published_.store(published_.load(std::memory_order_relaxed) + kPublishCount, std::memory_order_release);
  }

  // 64 blocks, then Consumed(); nullptr when closed.
  void** WaitForBlocks() {
    const uint64_t at = consumed_.load(std::memory_order_relaxed);  // the consumer's own
    return WaitUntil([&] { return published_.load(std::memory_order_acquire) != at; }) ? PlaceOf(at) : nullptr;
  }
  // Release: the producer writes into these places only after the consumer has read them.
  void Consumed() {
    consumed_.store(consumed_.load(std::memory_order_relaxed) + kPublishCount, std::memory_order_release);
  }

  void Close() { closed_.store(true, std::memory_order_relaxed); }
  bool closed() const { return closed_.load(std::memory_order_relaxed); }

 private:
  void** PlaceOf(uint64_t at) { return &places_[at % kPlaceCount]; }

  template <typename Ready>
  bool WaitUntil(Ready ready) {
    constexpr unsigned kSpinCount = 256;
    for (unsigned spin = 0; !ready(); ++spin) {
      if (closed()) return false;
      if (spin >= kSpinCount) sched_yield();
    }
    return true;
  }

  alignas(64) std::atomic<uint64_t> published_ = 0;
  alignas(64) std::atomic<uint64_t> consumed_ = 0;
  alignas(64) std::atomic<bool> closed_ = false;
  alignas(64) std::array<void*, kPlaceCount> places_{};
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_BLOCK_RING_H_
