// FormatBytes stands below ParseBytes because every floor writes sizes into its errors; only options are read.
#include <cstdint>
#include <string>
#include <string_view>

#include "hugepool/pool_options.h"

namespace hugepool {

std::string FormatBytes(uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGT";
  size_t unit = 0;
  while (unit < kUnits.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + (unit == 0 ? std::string() : std::string(1, kUnits[unit - 1]));
}

}  // namespace hugepool
