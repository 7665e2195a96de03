#include "topology/own_cgroup.h"

#include <algorithm>
#include <cstddef>
#include <sstream>
#include <string_view>

namespace hugepool::internal {
namespace {

// mountinfo writes a space in a path as \040, and so on.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool octal =
        text[at] == '\\' && at + 3 < text.size() &&
        std::all_of(text.begin() + static_cast<ptrdiff_t>(at) + 1, text.begin() + static_cast<ptrdiff_t>(at) + 4,
                    [](char digit) { return digit >= '0' && digit <= '7'; });
    if (octal) {
      plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

}  // namespace

std::optional<OwnCgroup> FindOwnCgroup(const SystemFiles& files) {
  const auto path = files.Field("/proc/self/cgroup", "0:");  // "0::/db.slice/x": the line of version 2
  const auto mounts = files.Text("/proc/self/mountinfo");
  if (!path || !mounts) return std::nullopt;
  const bool above = path->find("/..") != std::string::npos;  // of the cgroup namespace
  std::optional<OwnCgroup> found;
  std::istringstream lines(*mounts);
  for (std::string line; std::getline(lines, line);) {
    // "41 31 0:38 /root /mount/point rw,relatime - cgroup2 cgroup2 rw"
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::istringstream words(line);
    std::string id, parent, device, root, mount;
    if (!(words >> id >> parent >> device >> root >> mount)) continue;
    root = root == "/" ? std::string() : Unescape(root);
    std::string_view below = *path;
    const bool visible =
        !above && below.starts_with(root) && (below.size() == root.size() || below[root.size()] == '/');
    if (!visible && found) continue;
    below.remove_prefix(visible ? root.size() : below.size());
    while (below.ends_with('/')) below.remove_suffix(1);
    found = OwnCgroup{.mount = Unescape(mount), .below = std::string(below), .visible = visible};
    if (visible) break;
  }
  return found;
}

}  // namespace hugepool::internal
