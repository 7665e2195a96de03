// Ballast: holds the scattered free pages of the machine, so that every worker gets its memory in one piece.
//
// The kernel hands out its smallest free pieces first. Whoever fills first would get the crumbs that earlier programs
// left, and its cache handles, which lie on 4 KiB pages whatever the blocks lie on, would be slower to reach.
//
// Units      bytes
// Owner      the run; gives all back at its end
// Threads    one owner
// Errors     none: what cannot be had or read is left, and held_bytes() tells
// Cost       Take 0.1 s to compact (root only), then 0.3 s for each GiB that it holds
#ifndef HUGEPOOL_BENCH_BALLAST_H_
#define HUGEPOOL_BENCH_BALLAST_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace hugepool::bench {

class Ballast {
 public:
  explicit Ballast(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  ~Ballast();
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

  // Lets the kernel join what is free (where it may be asked to), then takes as many bytes as still lie in pieces.
  void Take();
  uint64_t held_bytes() const { return held_bytes_; }

 private:
  const uint64_t limit_bytes_;
  uint64_t held_bytes_ = 0;
  std::vector<std::pair<void*, size_t>> mappings_;
};

// Free bytes in pieces below 64 KiB, from the text of /proc/buddyinfo.
uint64_t ScatteredBytes(std::string_view buddyinfo);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_BALLAST_H_
