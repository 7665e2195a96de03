// Random: a small generator for the loops: few instructions, the same sequence from the same seed in every process.
//
// Threads    one owner
// Source     Marsaglia, Xorshift RNGs, 2003; Vigna, An experimental exploration of Marsaglia's xorshift generators, 2016
#ifndef HUGEPOOL_BENCH_POOL_BENCH_RANDOM_H_
#define HUGEPOOL_BENCH_POOL_BENCH_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <utility>

namespace hugepool::bench {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) {}

  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1D;
  }
  // 0 to bound - 1; bound below 2^32.
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>((Next() >> 32) * bound >> 32); }

  template <typename T>
  void Shuffle(T* values, size_t count) {
    for (size_t i = count; i > 1; --i) std::swap(values[i - 1], values[Below(static_cast<uint32_t>(i))]);
  }

 private:
  uint64_t state_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_RANDOM_H_
