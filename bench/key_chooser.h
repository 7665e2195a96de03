// KeyChooser: which record a reader asks for next.
//
// Shape      readrandom: uniform; readzipf: ranks by Zipf's law with exponent 0.99, spread over the keys by a hash, so
//            that hot records do not share blocks (some records share a place then, some are never read)
// Threads    one owner; same workload, count and seed give the same sequence
// Cost       readrandom a few ns; readzipf two powers, about 50 ns
// Source     Hörmann & Derflinger, Rejection-inversion to generate variates from monotone discrete distributions, 1996
#ifndef HUGEPOOL_BENCH_KEY_CHOOSER_H_
#define HUGEPOOL_BENCH_KEY_CHOOSER_H_

#include <cstdint>

namespace hugepool::bench {

enum class Workload : uint8_t { kReadRandom, kReadZipf };

class KeyChooser {
 public:
  KeyChooser(Workload workload, uint64_t record_count, uint64_t seed);

  // 0 to record_count - 1.
  uint64_t Next();

  static constexpr double kZipfExponent = 0.99;

 private:
  uint64_t NextWord();
  uint64_t NextRank();               // 1 to record_count_, Zipf
  static double Integral(double x);  // of x^-kZipfExponent
  static double InverseIntegral(double y);

  const Workload workload_;
  const uint64_t record_count_;
  const double integral_low_;
  const double integral_high_;
  const double sure_width_;  // a draw nearer than this to its rank is taken without further check
  uint64_t state_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_KEY_CHOOSER_H_
