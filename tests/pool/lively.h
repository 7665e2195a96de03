// Lively: an object that counts how many of its kind are alive, holds a stamp, and may refuse to be made.
//
// Units      kBytes is its size, kAlignmentBytes its alignment
// Threads    one
#ifndef HUGEPOOL_TESTS_POOL_LIVELY_H_
#define HUGEPOOL_TESTS_POOL_LIVELY_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "pool/stamp.h"

namespace hugepool::testing {

// What the constructor of a Lively throws when it is told to.
struct Stillborn : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <size_t kBytes, size_t kAlignmentBytes = 8>
class Lively {
 public:
  explicit Lively(uint64_t id, bool may_live = true) : id_(id) {
    if (!may_live) throw Stillborn("told not to live");
    Stamp(bytes_, sizeof bytes_, id << 24);
    ++alive_count;
  }
  Lively(const Lively&) = delete;
  Lively& operator=(const Lively&) = delete;
  ~Lively() { --alive_count; }

  uint64_t id() const { return id_; }
  // Whether nobody wrote into it since it was made.
  bool IsIntact() const { return HasStamp(bytes_, sizeof bytes_, id_ << 24); }

  static inline int alive_count = 0;

 private:
  alignas(kAlignmentBytes) uint64_t id_;
  unsigned char bytes_[kBytes - sizeof(uint64_t)];
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_LIVELY_H_
