// What the kernel says about the pool's mappings: the reading side of Pool::VerifyPlacement.
//
// Threads    any; no state
// Errors     nothing, with *error filled
// Cost       linear in the process's mappings and in the pages asked about
#ifndef HUGEPOOL_POOL_PLACEMENT_REPORT_H_
#define HUGEPOOL_POOL_PLACEMENT_REPORT_H_

#include <optional>

#include "arena/arena_set.h"
#include "hugepool/error.h"
#include "hugepool/pool_stats.h"

namespace hugepool::internal {

std::optional<PlacementReport> AskKernel(ArenaSet& arenas, Error* error);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_POOL_PLACEMENT_REPORT_H_
