#include "tools/need.h"

#include <fmt/format.h>

#include <algorithm>

#include "hugepool/pool_options.h"
#include "hugepool/types.h"
#include "topology/system_files.h"

namespace hugepool::tools {
namespace {

// 2^62 bytes: far beyond any machine, far below where sums and products overflow.
constexpr uint64_t kMaxPageCount = (uint64_t{1} << 62) / kHugePageBytes;
constexpr char kForms[] = "Write --need 4G, or --need node0=1G,node1=2G.";

bool Refuse(Error* error, std::string message, std::string mend) {
  if (error != nullptr) {
    *error = Error{};
    error->code = ErrorCode::kInvalidArgument;
    error->operation = "--need";
    error->message = std::move(message);
    error->mend = std::move(mend);
  }
  return false;
}

bool ParsePages(std::string_view text, Need* need, uint64_t* page_count, Error* error) {
  Error reason;
  const auto bytes = ParseBytes(text, &reason);
  if (!bytes) return Refuse(error, fmt::format("{} is no size", internal::Quoted(text)), reason.mend + " " + kForms);
  *page_count = *bytes / kHugePageBytes + (*bytes % kHugePageBytes != 0 ? 1 : 0);
  need->rounded = need->rounded || *bytes % kHugePageBytes != 0;
  if (*page_count == 0 || *page_count > kMaxPageCount) {
    return Refuse(error, fmt::format("{} is outside of what is allowed, 1 byte to 4 EiB", internal::Quoted(text)),
                  kForms);
  }
  return true;
}

bool ParseNodeId(std::string_view text, int* node_id, Error* error) {
  if (text.starts_with("node")) {
    if (const auto id = internal::ParseCount(text.substr(4), internal::kMaxNodeId)) {
      *node_id = static_cast<int>(*id);
      return true;
    }
  }
  return Refuse(error,
                fmt::format("{} is no node; allowed are node0 to node{}", internal::Quoted(text), internal::kMaxNodeId),
                kForms);
}

bool ParseByNode(std::string_view text, Need* need, Error* error) {
  for (bool more = true; more;) {
    const size_t comma = text.find(',');
    const std::string_view part = internal::TrimSpace(text.substr(0, comma));
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      return Refuse(error,
                    fmt::format("{} names no node; with several parts each is nodeN=SIZE", internal::Quoted(part)),
                    kForms);
    }
    NodeNeed share;
    if (!ParseNodeId(internal::TrimSpace(part.substr(0, equals)), &share.node_id, error)) return false;
    if (!ParsePages(part.substr(equals + 1), need, &share.page_count, error)) return false;
    need->by_node.push_back(share);
    need->page_count += share.page_count;
    if (need->page_count > kMaxPageCount) {
      return Refuse(error, "the sum over the nodes is outside of what is allowed, 1 byte to 4 EiB", kForms);
    }
  }
  std::sort(need->by_node.begin(), need->by_node.end(),
            [](const NodeNeed& left, const NodeNeed& right) { return left.node_id < right.node_id; });
  const auto twice =
      std::adjacent_find(need->by_node.begin(), need->by_node.end(),
                         [](const NodeNeed& left, const NodeNeed& right) { return left.node_id == right.node_id; });
  if (twice != need->by_node.end()) {
    return Refuse(error, fmt::format("node{} is named twice; each node may stand once", twice->node_id),
                  "Add its sizes up.");
  }
  return true;
}

}  // namespace

uint64_t Need::bytes() const { return page_count * kHugePageBytes; }

std::string Need::Text() const {
  if (by_node.empty()) return FormatBytes(bytes());
  std::string text;
  for (const NodeNeed& share : by_node) {
    text += fmt::format("{}node{}={}", text.empty() ? "" : ",", share.node_id,
                        FormatBytes(share.page_count * kHugePageBytes));
  }
  return text;
}

std::optional<Need> ParseNeed(std::string_view text, Error* error) {
  Need need;
  const bool by_node =
      text.find_first_of("=,") != std::string_view::npos || internal::TrimSpace(text).starts_with("node");
  const bool sound = by_node ? ParseByNode(text, &need, error) : ParsePages(text, &need, &need.page_count, error);
  if (!sound) return std::nullopt;
  return need;
}

bool CheckNeed(const Need& need, const internal::MemoryState& state, Error* error) {
  std::vector<int> usable_ids;
  for (const internal::NodeMemory& node : state.nodes) {
    if (node.total_bytes != 0 && state.Allows(node)) usable_ids.push_back(node.node_id);
  }
  std::string usable;
  for (const int node_id : usable_ids) usable += fmt::format("{}node{}", usable.empty() ? "" : ", ", node_id);
  for (const NodeNeed& share : need.by_node) {
    if (std::binary_search(usable_ids.begin(), usable_ids.end(), share.node_id)) continue;
    const internal::NodeMemory* const node = state.FindNode(share.node_id);
    std::string reason = "is not on this machine";
    std::string mend = "Name one of these nodes.";
    if (node != nullptr && node->total_bytes == 0) {
      reason = "has CPUs but no memory";
    } else if (node != nullptr) {
      reason = "is outside of what this process may use (Mems_allowed_list in /proc/self/status)";
      mend = "Name one of these nodes, or run this in the cpuset of the engine.";
    }
    return Refuse(
        error, fmt::format("node{} {}; allowed: {}", share.node_id, reason, usable.empty() ? "no node" : usable), mend);
  }
  return true;
}

}  // namespace hugepool::tools
