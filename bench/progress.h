// Progress: what kv_bench says on standard error while it runs: lines that stay, and on a terminal a bar below them.
//
// Units      seconds of expected work
// Owner      the run
// Threads    one owner
// Invariant  the share shown never falls
#ifndef HUGEPOOL_BENCH_PROGRESS_H_
#define HUGEPOOL_BENCH_PROGRESS_H_

#include <chrono>
#include <string>

namespace hugepool::bench {

class Progress {
 public:
  // expected_seconds: of all work, in any unit that Done() shares: only its share and the clock make the estimate.
  Progress(double expected_seconds, bool show_bar);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Say(const std::string& line);
  // What is being done now.
  void At(const std::string& what);
  // So much of the expected work is behind us.
  void Done(double expected_seconds);

  // The bar as text, without colour: "[#####-----]  50 %  round 2/5 malloc, 3 min left".
  static std::string Bar(double share, double passed_seconds, const std::string& what);

 private:
  void Draw();
  void Erase();

  const double expected_seconds_;
  const bool show_bar_;
  const std::chrono::steady_clock::time_point start_;
  double done_seconds_ = 0;
  std::string what_;
  bool is_drawn_ = false;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_PROGRESS_H_
