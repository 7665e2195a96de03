#include "hugepool/error.h"

#include <cstring>

namespace hugepool {

std::string Error::ToString() const {
  if (code == ErrorCode::kOk) return "ok";
  std::string text = operation + ": " + message;
  std::string detail;
  const auto add = [&detail](const std::string& part) { detail += (detail.empty() ? " (" : "; ") + part; };
  if (errno_value != 0) add(std::string(strerrordesc_np(errno_value)) + ", " + strerrorname_np(errno_value));
  if (node_id >= 0) add("node " + std::to_string(node_id));
  if (bytes != 0) add(std::to_string(bytes) + " bytes");
  if (!detail.empty()) text += detail + ")";
  text += ".";
  if (!mend.empty()) text += " " + mend;
  return text;
}

}  // namespace hugepool
