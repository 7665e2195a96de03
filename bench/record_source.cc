#include "bench/record_source.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace hugepool::bench {
namespace {

uint64_t BigEndian(uint64_t word) {
  return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
}

}  // namespace

RecordSource::RecordSource(uint64_t seed, size_t value_bytes, uint64_t record_count)
    : seed_mix_(MixBits(seed)), value_bytes_(value_bytes), record_count_(record_count) {
  buffer_.resize(kOffsetCount + value_bytes + sizeof(uint64_t));
  uint64_t state = seed_mix_;
  for (size_t at = 0; at < buffer_.size(); at += sizeof(state)) {
    state = MixBits(state);
    std::memcpy(&buffer_[at], &state, std::min(sizeof(state), buffer_.size() - at));
  }
}

Key RecordSource::MakeKey(uint64_t index) const {
  Key key;
  const uint64_t stamp = Stamp(index);
  const uint64_t high = BigEndian(index < record_count_ ? index : ScaleWord(stamp, record_count_));
  const uint64_t low = MixBits(stamp);
  std::memcpy(key.bytes, &high, sizeof(high));
  std::memcpy(key.bytes + sizeof(high), &low, sizeof(low));
  return key;
}

std::optional<uint64_t> RecordSource::IndexOf(std::string_view key) const {
  if (key.size() != kKeyBytes) return std::nullopt;
  uint64_t low = 0;
  std::memcpy(&low, key.data() + sizeof(uint64_t), sizeof(low));
  const uint64_t index = UnmixBits(UnmixBits(low)) ^ seed_mix_;
  if (MakeKey(index).view() != key) return std::nullopt;
  return index;
}

void RecordSource::MakeValue(uint64_t index, uint64_t version, std::string* value) const {
  const uint64_t stamp = Stamp(index);
  const uint64_t word = stamp + version;
  const size_t word_bytes = std::min(sizeof(word), value_bytes_);
  value->resize(value_bytes_);
  std::memcpy(value->data(), &word, word_bytes);
  std::memcpy(value->data() + word_bytes, Stretch(stamp, version), value_bytes_ - word_bytes);
}

bool RecordSource::Matches(uint64_t index, std::string_view value) const {
  if (value.size() != value_bytes_) return false;
  const uint64_t stamp = Stamp(index);
  uint64_t word = stamp;
  const size_t word_bytes = std::min(sizeof(word), value_bytes_);
  std::memcpy(&word, value.data(), word_bytes);
  const uint64_t version = word - stamp;
  if (version >= (value_bytes_ < kVersionedBytes ? 1 : kVersionLimit)) return false;
  return std::memcmp(value.data() + word_bytes, Stretch(stamp, version), value_bytes_ - word_bytes) == 0;
}

}  // namespace hugepool::bench
