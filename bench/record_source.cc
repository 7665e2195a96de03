#include "bench/record_source.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace hugepool::bench {
namespace {

uint64_t ToBigEndian(uint64_t word) {
  return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
}

}  // namespace

RecordSource::RecordSource(uint64_t seed, size_t value_bytes) : seed_mix_(MixBits(seed)), value_bytes_(value_bytes) {
  buffer_.resize(kOffsetCount + value_bytes + sizeof(uint64_t));
  uint64_t state = seed_mix_;
  for (size_t at = 0; at < buffer_.size(); at += sizeof(state)) {
    state = MixBits(state);
    std::memcpy(&buffer_[at], &state, std::min(sizeof(state), buffer_.size() - at));
  }
}

Key RecordSource::MakeKey(uint64_t index) const {
  Key key;
  const uint64_t high = ToBigEndian(index);
  const uint64_t low = MixBits(Stamp(index));
  std::memcpy(key.bytes, &high, sizeof(high));
  std::memcpy(key.bytes + sizeof(high), &low, sizeof(low));
  return key;
}

void RecordSource::MakeValue(uint64_t index, std::string* value) const {
  const uint64_t stamp = Stamp(index);
  const size_t stamp_bytes = std::min(sizeof(stamp), value_bytes_);
  value->resize(value_bytes_);
  std::memcpy(value->data(), &stamp, stamp_bytes);
  std::memcpy(value->data() + stamp_bytes, Stretch(stamp), value_bytes_ - stamp_bytes);
}

bool RecordSource::Matches(uint64_t index, const char* value, size_t bytes) const {
  if (bytes != value_bytes_) return false;
  const uint64_t stamp = Stamp(index);
  const size_t stamp_bytes = std::min(sizeof(stamp), value_bytes_);
  return std::memcmp(value, &stamp, stamp_bytes) == 0 &&
         std::memcmp(value + stamp_bytes, Stretch(stamp), value_bytes_ - stamp_bytes) == 0;
}

}  // namespace hugepool::bench
