#include "os/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace hugepool::internal {

void Die(const char* what, const char* format, ...) {
  char text[1024];
  int length = std::snprintf(text, sizeof text, "hugepool: %s: ", what);
  va_list arguments;
  va_start(arguments, format);
  length += std::vsnprintf(text + length, sizeof text - static_cast<size_t>(length), format, arguments);
  va_end(arguments);
  length = std::min(length, static_cast<int>(sizeof text) - 2);
  text[length++] = '\n';
  // Nothing is left to do when standard error is closed.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, static_cast<size_t>(length));
  std::abort();
}

}  // namespace hugepool::internal
