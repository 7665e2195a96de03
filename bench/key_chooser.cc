#include "bench/key_chooser.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "bench/record_source.h"

namespace hugepool::bench {
namespace {

constexpr double kOneLess = 1 - ZipfLaw::kExponent;

double Weight(double x) { return std::pow(x, -ZipfLaw::kExponent); }

}  // namespace

Draws::Draws(uint64_t seed) : state_(MixBits(seed)) {}

uint64_t Draws::Word() {
  state_ += 0x9e3779b97f4a7c15;
  return MixBits(state_);
}

uint64_t Draws::Below(uint64_t limit) { return ScaleWord(Word(), limit); }
double Draws::Unit() { return static_cast<double>(Word() >> 11) * 0x1p-53; }

double ZipfLaw::Integral(double x) { return (std::pow(x, kOneLess) - 1) / kOneLess; }
double ZipfLaw::InverseIntegral(double y) { return std::pow(1 + y * kOneLess, 1 / kOneLess); }

ZipfLaw::ZipfLaw(uint64_t rank_limit)
    : rank_limit_(static_cast<double>(rank_limit)),
      integral_low_(Integral(1.5) - 1),
      integral_high_(Integral(rank_limit_ + 0.5)),
      sure_width_(2 - InverseIntegral(Integral(2.5) - Weight(2))) {}

uint64_t ZipfLaw::Rank(Draws* draws) const {
  while (true) {
    const double draw = integral_high_ + draws->Unit() * (integral_low_ - integral_high_);
    const double x = InverseIntegral(draw);
    const double rank = std::clamp(std::floor(x + 0.5), 1.0, rank_limit_);
    if (rank - x <= sure_width_ || draw >= Integral(rank + 0.5) - Weight(rank)) return static_cast<uint64_t>(rank);
  }
}

ScatteredOrder::ScatteredOrder(uint64_t count, uint64_t seed) : count_(count), step_(MixBits(seed) % count | 1) {
  while (std::gcd(step_, count_) != 1) step_ += 2;
}

uint64_t ScatteredOrder::At(uint64_t k) const {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{k} * step_ % count_);
}

KeyChooser::KeyChooser(Distribution distribution, uint64_t record_count, uint64_t seed)
    : distribution_(distribution),
      record_count_(record_count),
      zipf_(distribution == Distribution::kLatest ? record_count : kScrambledRanks),
      order_(record_count, record_count),
      draws_(seed) {}

uint64_t KeyChooser::Next(uint64_t inserted_count) {
  switch (distribution_) {
    case Distribution::kUniform: return draws_.Below(record_count_);
    case Distribution::kScrambledZipf: return ScaleWord(MixBits(zipf_.Rank(&draws_)), record_count_);
    case Distribution::kLatest: break;
  }
  const uint64_t age = zipf_.Rank(&draws_) - 1;  // 0: the newest
  if (age < inserted_count) return record_count_ + inserted_count - 1 - age;
  return order_.At(age - inserted_count);
}

}  // namespace hugepool::bench
