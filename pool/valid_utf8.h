// ValidUtf8: text that machines will read, whatever bytes it was made of.
//
// Threads    touches its argument only
// Source     Unicode 15, table 3-7, Well-Formed UTF-8 Byte Sequences
#ifndef HUGEPOOL_POOL_VALID_UTF8_H_
#define HUGEPOOL_POOL_VALID_UTF8_H_

#include <string>
#include <string_view>

namespace hugepool::internal {

// The text with each byte that is part of no well-formed sequence replaced by U+FFFD. Cost: linear.
std::string ValidUtf8(std::string_view text);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_VALID_UTF8_H_
