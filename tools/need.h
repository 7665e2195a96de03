// Need: how many 2 MiB pages an engine wants, on any node or on each of several.
//
// Shape      by_node is empty for a need on any node; otherwise ascending by node, each node once
// Units      page_count counts pages of kHugePageBytes; sizes are rounded up to them
// Invariant  page_count is the sum over by_node where that is not empty, and at least 1
// Errors     ParseNeed and CheckNeed fill *error: the value, what is allowed, the mend
#ifndef HUGEPOOL_TOOLS_NEED_H_
#define HUGEPOOL_TOOLS_NEED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/error.h"
#include "topology/memory_state.h"

namespace hugepool::tools {

struct NodeNeed {
  int node_id = -1;
  uint64_t page_count = 0;
};

struct Need {
  uint64_t page_count = 0;
  std::vector<NodeNeed> by_node;
  bool rounded = false;  // a size was no multiple of kHugePageBytes

  uint64_t bytes() const;
  // "4G", "node0=1G,node1=2G": the text from which ParseNeed makes this need, fit for a shell.
  std::string Text() const;
};

// "4G", or "node0=1G,node1=2G".
std::optional<Need> ParseNeed(std::string_view text, Error* error);

// Whether each node that the need names is there, has memory, and may be used by this process.
bool CheckNeed(const Need& need, const internal::MemoryState& state, Error* error);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_NEED_H_
