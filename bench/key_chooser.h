// KeyChooser: which record a client asks for next.
//
// Shape      by Distribution (bench/workload.h). A hash spreads ranks over the loaded records, so that hot records do not
//            share blocks (some ranks share a record then, some records are never asked for)
// Threads    one owner; same distribution, count and seed give the same sequence
// Cost       uniform a few ns; the others two powers, about 50 ns
// Source     Hörmann & Derflinger, Rejection-inversion to generate variates from monotone discrete distributions, 1996;
//            YCSB's ScrambledZipfianGenerator and SkewedLatestGenerator
#ifndef HUGEPOOL_BENCH_KEY_CHOOSER_H_
#define HUGEPOOL_BENCH_KEY_CHOOSER_H_

#include <cstdint>

#include "bench/workload.h"

namespace hugepool::bench {

// Draws: what every random choice of a client comes from.
// Source     splitmix64, Steele, Lea & Flood, OOPSLA 2014
class Draws {
 public:
  explicit Draws(uint64_t seed);
  uint64_t Word();
  uint64_t Below(uint64_t limit);  // 0 to limit - 1
  double Unit();                   // 0 to below 1

 private:
  uint64_t state_;
};

// ZipfLaw: ranks from 1 to `rank_limit`, rank r with a weight of r^-0.99.
class ZipfLaw {
 public:
  explicit ZipfLaw(uint64_t rank_limit);
  uint64_t Rank(Draws* draws) const;

  static constexpr double kExponent = 0.99;

 private:
  static double Integral(double x);  // of x^-kExponent
  static double InverseIntegral(double y);

  const double rank_limit_;
  const double integral_low_;
  const double integral_high_;
  const double sure_width_;  // a draw nearer than this to its rank is taken without further check
};

// Every number below `count` once, in an order that looks random: the k-th is k * step modulo count.
class ScatteredOrder {
 public:
  ScatteredOrder(uint64_t count, uint64_t seed);
  uint64_t At(uint64_t k) const;

 private:
  const uint64_t count_;
  uint64_t step_;  // coprime to count_
};

class KeyChooser {
 public:
  // record_count: loaded records, 1 or more.
  KeyChooser(Distribution distribution, uint64_t record_count, uint64_t seed);

  // the record's index; kLatest scatters loaded records over the indexes (which are in the order of the keys).
  uint64_t Next(uint64_t inserted_count);
  Draws& draws() { return draws_; }

  // YCSB draws ranks among so many, whatever the number of records.
  static constexpr uint64_t kScrambledRanks = 10'000'000'000;

 private:
  const Distribution distribution_;
  const uint64_t record_count_;
  const ZipfLaw zipf_;
  const ScatteredOrder order_;
  Draws draws_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_KEY_CHOOSER_H_
