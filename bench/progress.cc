#include "bench/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace hugepool::bench {

Progress::Progress(double expected_seconds, bool show_bar)
    : expected_seconds_(std::max(expected_seconds, 1e-9)),
      show_bar_(show_bar),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() { Erase(); }

std::string Progress::Bar(double share, double passed_seconds, const std::string& what) {
  constexpr int kWidth = 24;
  const int full = static_cast<int>(share * kWidth);
  std::string left;
  // Too little is behind us to tell from it.
  if (share > 0.02 && passed_seconds > 5) {
    const double left_seconds = passed_seconds / share * (1 - share);
    left = left_seconds < 90 ? fmt::format(", {:.0f} s left", left_seconds)
                             : fmt::format(", {:.0f} min left", left_seconds / 60);
  }
  return fmt::format("[{:#<{}}{:-<{}}] {:3.0f} %  {}{}", "", full, "", kWidth - full, share * 100, what, left);
}

void Progress::Draw() {
  if (!show_bar_) return;
  const double share = std::min(1.0, done_seconds_ / expected_seconds_);
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  // Cursor to the left, the rest of the line cleared.
  fmt::print(stderr, "\r\033[K{}", Bar(share, passed, what_));
  std::fflush(stderr);
  is_drawn_ = true;
}

void Progress::Erase() {
  if (is_drawn_) fmt::print(stderr, "\r\033[K");
  is_drawn_ = false;
}

void Progress::Say(const std::string& line) {
  Erase();
  fmt::print(stderr, "{}\n", line);
  Draw();
}

void Progress::At(const std::string& what) {
  what_ = what;
  Draw();
}

void Progress::Done(double expected_seconds) {
  done_seconds_ += expected_seconds;
  Draw();
}

}  // namespace hugepool::bench
