#include "pool/kernel_maps.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace hugepool::testing {
namespace {

std::string ReadMaps() {
  std::string text;
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  std::array<char, 65536> buffer;
  for (ssize_t got = 0; (got = read(file, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  close(file);
  return text;
}

}  // namespace

size_t CountKernelMaps(const std::map<uintptr_t, size_t>& ranges) {
  const std::string text = ReadMaps();
  size_t count = 0;
  for (size_t line = 0; line < text.size(); line = text.find('\n', line) + 1) {
    char* dash = nullptr;
    const uintptr_t first = std::strtoull(text.c_str() + line, &dash, 16);
    const uintptr_t last = std::strtoull(dash + 1, nullptr, 16);
    auto range = ranges.lower_bound(last);
    if (range == ranges.begin()) continue;
    --range;
    if (range->first + range->second > first) ++count;
  }
  return count;
}

}  // namespace hugepool::testing
