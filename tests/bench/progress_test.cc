// The bar says how far the run is and how long it still takes.
#include "bench/progress.h"

#include <gtest/gtest.h>

namespace hugepool::bench {
namespace {

TEST(Progress, BarShowsShareAndTimeLeft) {
  EXPECT_EQ(Progress::Bar(0, 0, "filling malloc"), "[------------------------]   0 %  filling malloc");
  EXPECT_EQ(Progress::Bar(0.5, 60, "round 2/5 malloc"),
            "[############------------]  50 %  round 2/5 malloc, 60 s left");
  EXPECT_EQ(Progress::Bar(0.25, 600, "x"), "[######------------------]  25 %  x, 30 min left");
  EXPECT_EQ(Progress::Bar(1, 60, "closing x"), "[########################] 100 %  closing x, 0 s left");
}

TEST(Progress, WithoutATerminalThereAreLinesOnly) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(10, /*show_bar=*/false);
    progress.At("filling malloc");
    progress.Done(5);
    progress.Say("malloc: filled");
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "malloc: filled\n");
}

TEST(Progress, OnATerminalLinesStandAboveTheBar) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress(10, /*show_bar=*/true);
    progress.At("filling malloc");
    progress.Done(5);
    progress.Say("malloc: filled");
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("\r\033[Kmalloc: filled\n\r\033[K[############------------]  50 %"), std::string::npos) << text;
  EXPECT_EQ(text.substr(text.size() - 4), "\r\033[K") << "nothing of the bar is left at the end";
}

}  // namespace
}  // namespace hugepool::bench
