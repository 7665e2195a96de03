#include "bench/warm_up.h"

#include <algorithm>
#include <cmath>

namespace hugepool::bench {
namespace {

constexpr double kPayloadTolerance = 0.01;
constexpr double kHitRatioTolerance = 0.01;
constexpr double kSpeedTolerance = 0.03;

struct Window {
  double mean = 0;
  double sway = 0;  // most less least
};

Window WindowOf(const WarmUp::Slice* slices, double WarmUp::Slice::*figure) {
  Window window;
  double least = slices[0].*figure, most = least;
  for (size_t i = 0; i < WarmUp::kWindow; ++i) {
    window.mean += slices[i].*figure / WarmUp::kWindow;
    least = std::min(least, slices[i].*figure);
    most = std::max(most, slices[i].*figure);
  }
  window.sway = most - least;
  return window;
}

}  // namespace

bool WarmUp::Add(const Slice& slice) {
  slices_.push_back(slice);
  if (slices_.size() < 2 * kWindow) return false;
  const Slice* const later = &slices_[slices_.size() - kWindow];
  const Slice* const earlier = later - kWindow;
  const auto is_steady = [&](double Slice::*figure, double allowed) {
    return std::abs(WindowOf(later, figure).mean - WindowOf(earlier, figure).mean) <= allowed;
  };
  const Window speed = WindowOf(earlier, &Slice::operations_per_second);
  const Window later_speed = WindowOf(later, &Slice::operations_per_second);
  const double speed_allowed = std::max(kSpeedTolerance * speed.mean, std::max(speed.sway, later_speed.sway) / 2);
  return is_steady(&Slice::operations_per_second, speed_allowed) && is_steady(&Slice::hit_ratio, kHitRatioTolerance) &&
         is_steady(&Slice::payload_bytes, kPayloadTolerance * WindowOf(earlier, &Slice::payload_bytes).mean);
}

}  // namespace hugepool::bench
