// RecordSource: the keys and values of a benchmark database, each made again from the seed and its index.
//
// Shape      key: 8 bytes of index, big-endian (so that keys ascend), and 8 bytes mixed from seed and index
//            value: 8 bytes mixed from seed and index, then a stretch of a random 64 KiB buffer that they choose
// Units      bytes; indexes run from 0
// Threads    constant after construction; any thread
// Cost       MakeKey two multiplications; Matches one memcmp against a buffer that fits into a second-level cache
#ifndef HUGEPOOL_BENCH_RECORD_SOURCE_H_
#define HUGEPOOL_BENCH_RECORD_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hugepool::bench {

// A bijection of 64-bit words in which every input bit reaches every output bit.
// Source: splitmix64, Steele, Lea & Flood, OOPSLA 2014.
constexpr uint64_t MixBits(uint64_t word) {
  word += 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

inline constexpr size_t kKeyBytes = 16;

struct Key {
  char bytes[kKeyBytes];
  std::string_view view() const { return {bytes, kKeyBytes}; }
};

class RecordSource {
 public:
  RecordSource(uint64_t seed, size_t value_bytes);

  Key MakeKey(uint64_t index) const;
  void MakeValue(uint64_t index, std::string* value) const;
  bool Matches(uint64_t index, const char* value, size_t bytes) const;

  size_t value_bytes() const { return value_bytes_; }

 private:
  uint64_t Stamp(uint64_t index) const { return MixBits(index ^ seed_mix_); }
  const char* Stretch(uint64_t stamp) const { return buffer_.data() + stamp % kOffsetCount; }

  static constexpr size_t kOffsetCount = size_t{64} << 10;

  const uint64_t seed_mix_;
  const size_t value_bytes_;
  std::string buffer_;  // constant after construction
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_RECORD_SOURCE_H_
