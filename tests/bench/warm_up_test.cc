// A warm-up ends when nothing moves any more, and not before.
#include "bench/warm_up.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hugepool::bench {
namespace {

// Slices until steady; 0 when it was not within `limit`.
template <typename SliceOf>
size_t SlicesUntilSteady(SliceOf slice_of, size_t limit) {
  WarmUp warm_up;
  for (size_t i = 0; i < limit; ++i) {
    if (warm_up.Add(slice_of(static_cast<double>(i)))) return i + 1;
  }
  return 0;
}

TEST(WarmUp, WhatHoldsStillIsSteadyAfterTwoWindows) {
  EXPECT_EQ(SlicesUntilSteady([](double) { return WarmUp::Slice{1000, 0.9, 1e9}; }, 100), 2 * WarmUp::kWindow);
}

TEST(WarmUp, ACacheThatStillFillsIsNotSteady) {
  // 2 % more with each slice, full after the 50th.
  const auto filling = [](double i) { return WarmUp::Slice{1000, 0.9, 1e9 * std::min(1.0, i / 50)}; };
  EXPECT_GE(SlicesUntilSteady(filling, 200), 50u);
  EXPECT_LE(SlicesUntilSteady(filling, 200), 60u);
}

TEST(WarmUp, RisingHitsAreNotSteady) {
  const auto rising = [](double i) { return WarmUp::Slice{1000, std::min(0.9, 0.01 * i), 1e9}; };
  EXPECT_GE(SlicesUntilSteady(rising, 200), 88u);
}

TEST(WarmUp, RisingSpeedIsNotSteady) {
  const auto rising = [](double i) { return WarmUp::Slice{1000 + 50 * std::min(i, 60.0), 0.9, 1e9}; };
  EXPECT_GE(SlicesUntilSteady(rising, 200), 40u);
}

TEST(WarmUp, ASpeedThatSwaysAroundItsMeanIsSteady) {
  const auto swaying = [](double i) { return WarmUp::Slice{static_cast<int>(i) % 2 == 0 ? 1150.0 : 850.0, 0.9, 1e9}; };
  EXPECT_EQ(SlicesUntilSteady(swaying, 200), 2 * WarmUp::kWindow);
}

}  // namespace
}  // namespace hugepool::bench
