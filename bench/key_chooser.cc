#include "bench/key_chooser.h"

#include <algorithm>
#include <cmath>

#include "bench/record_source.h"

namespace hugepool::bench {
namespace {

constexpr double kOneLess = 1 - KeyChooser::kZipfExponent;

double Weight(double x) { return std::pow(x, -KeyChooser::kZipfExponent); }

// The upper 64 bits of the product: a word scaled to [0, limit).
uint64_t ScaleWord(uint64_t word, uint64_t limit) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(word) * limit) >> 64);
}

}  // namespace

double KeyChooser::Integral(double x) { return (std::pow(x, kOneLess) - 1) / kOneLess; }
double KeyChooser::InverseIntegral(double y) { return std::pow(1 + y * kOneLess, 1 / kOneLess); }

KeyChooser::KeyChooser(Workload workload, uint64_t record_count, uint64_t seed)
    : workload_(workload),
      record_count_(record_count),
      integral_low_(Integral(1.5) - 1),
      integral_high_(Integral(static_cast<double>(record_count) + 0.5)),
      sure_width_(2 - InverseIntegral(Integral(2.5) - Weight(2))),
      state_(MixBits(seed)) {}

uint64_t KeyChooser::NextWord() {
  state_ += 0x9e3779b97f4a7c15;
  return MixBits(state_);
}

uint64_t KeyChooser::NextRank() {
  while (true) {
    const double unit = static_cast<double>(NextWord() >> 11) * 0x1p-53;
    const double draw = integral_high_ + unit * (integral_low_ - integral_high_);
    const double x = InverseIntegral(draw);
    const double rank = std::clamp(std::floor(x + 0.5), 1.0, static_cast<double>(record_count_));
    if (rank - x <= sure_width_ || draw >= Integral(rank + 0.5) - Weight(rank)) return static_cast<uint64_t>(rank);
  }
}

uint64_t KeyChooser::Next() {
  if (workload_ == Workload::kReadRandom) return ScaleWord(NextWord(), record_count_);
  return ScaleWord(MixBits(NextRank()), record_count_);
}

}  // namespace hugepool::bench
