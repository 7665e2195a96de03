#include "tools/quantity.h"

#include <fmt/format.h>

#include <array>

namespace hugepool::tools {

std::string SizeText(uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  uint64_t unit_bytes = 1;
  while (unit + 1 < kUnits.size() && bytes / 1024 >= unit_bytes) {
    unit_bytes *= 1024;
    ++unit;
  }
  if (bytes % unit_bytes == 0) return fmt::format("{} {}", bytes / unit_bytes, kUnits[unit]);
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(unit_bytes), kUnits[unit]);
}

std::string IdListText(const std::vector<int>& ids) {
  if (ids.empty()) return "none";
  std::string text;
  for (size_t first = 0; first < ids.size();) {
    size_t last = first;
    while (last + 1 < ids.size() && ids[last + 1] == ids[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", ids[first]);
    if (last != first) text += fmt::format("-{}", ids[last]);
    first = last + 1;
  }
  return text;
}

std::string CountText(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace hugepool::tools
