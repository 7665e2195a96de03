// RecordSource: the keys and values of a benchmark database, each made again from the seed, its index and its version.
//
// Shape      key: 8 bytes of place, big-endian (so that keys ascend), and 8 bytes mixed from seed and index. The place of a
//            loaded record is its index; records that are inserted later (index >= record_count) get places all over those
//            value: 8 bytes mixed from seed and index, plus the version; then a stretch of a random 64 KiB buffer that they
//            choose. Version 0 is the load's
// Units      bytes; indexes run from 0
// Threads    constant after construction; any thread
// Cost       MakeKey two multiplications; Matches one memcmp against a buffer that fits into a second-level cache
#ifndef HUGEPOOL_BENCH_RECORD_SOURCE_H_
#define HUGEPOOL_BENCH_RECORD_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
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

// Its inverse.
constexpr uint64_t UnmixBits(uint64_t word) {
  word = (word ^ (word >> 31) ^ (word >> 62)) * 0x319642b2d24d8ec3;
  word = (word ^ (word >> 27) ^ (word >> 54)) * 0x96de1b173f119089;
  word = word ^ (word >> 30) ^ (word >> 60);
  return word - 0x9e3779b97f4a7c15;
}

// A word scaled to [0, limit): the upper 64 bits of the product.
constexpr uint64_t ScaleWord(uint64_t word, uint64_t limit) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(word) * limit) >> 64);
}

inline constexpr size_t kKeyBytes = 16;

struct Key {
  char bytes[kKeyBytes];
  std::string_view view() const { return {bytes, kKeyBytes}; }
};

// Below it: the versions that a value may carry. Values of fewer than kVersionedBytes carry none.
inline constexpr uint64_t kVersionLimit = uint64_t{1} << 40;
inline constexpr size_t kVersionedBytes = 16;

class RecordSource {
 public:
  RecordSource(uint64_t seed, size_t value_bytes, uint64_t record_count = UINT64_MAX);

  Key MakeKey(uint64_t index) const;
  void MakeValue(uint64_t index, uint64_t version, std::string* value) const;
  // The value is one of the record's, of any version.
  bool Matches(uint64_t index, std::string_view value) const;
  // The record whose key this is, or nothing.
  std::optional<uint64_t> IndexOf(std::string_view key) const;

  size_t value_bytes() const { return value_bytes_; }
  uint64_t record_count() const { return record_count_; }

 private:
  uint64_t Stamp(uint64_t index) const { return MixBits(index ^ seed_mix_); }
  const char* Stretch(uint64_t stamp, uint64_t version) const {
    return buffer_.data() + (stamp + (version == 0 ? 0 : MixBits(version))) % kOffsetCount;
  }

  static constexpr size_t kOffsetCount = size_t{64} << 10;

  const uint64_t seed_mix_;
  const size_t value_bytes_;
  const uint64_t record_count_;
  std::string buffer_;  // constant after construction
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_RECORD_SOURCE_H_
