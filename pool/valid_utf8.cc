#include "pool/valid_utf8.h"

#include <cstddef>

namespace hugepool::internal {
namespace {

unsigned char At(std::string_view text, size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0; }

// Bytes of the well-formed sequence that the text begins with, or 0.
size_t SequenceBytes(std::string_view text) {
  const unsigned char first = At(text, 0);
  const unsigned char second = At(text, 1);
  const auto is_tail = [text](size_t i) { return At(text, i) >= 0x80 && At(text, i) <= 0xbf; };
  if (first <= 0x7f) return 1;
  if (first >= 0xc2 && first <= 0xdf) return is_tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool is_short = first == 0xe0 && second < 0xa0;
    const bool is_surrogate = first == 0xed && second > 0x9f;
    return is_tail(1) && is_tail(2) && !is_short && !is_surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool is_short = first == 0xf0 && second < 0x90;
    const bool is_beyond = first == 0xf4 && second > 0x8f;
    return is_tail(1) && is_tail(2) && is_tail(3) && !is_short && !is_beyond ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const size_t bytes = SequenceBytes(text);
    valid += bytes == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, bytes);
    text.remove_prefix(bytes == 0 ? 1 : bytes);
  }
  return valid;
}

}  // namespace hugepool::internal
