#include "bench/numa_model/paper.h"

#include <algorithm>
#include <cmath>

namespace hugepool::bench {

Estimate QueueAt(const std::vector<Visits>& kinds) {
  Estimate estimate;
  double squares = 0;
  for (const Visits& kind : kinds) {
    estimate.use += kind.per_ns * kind.stay_ns;
    squares += kind.per_ns * kind.stay_ns * kind.stay_ns;
  }
  estimate.wait_ns = estimate.use < 1 ? squares / (2 * (1 - estimate.use)) : INFINITY;
  return estimate;
}

Estimate DepotOnPaper(const Load& load, const Design& design, const Costs& costs) {
  const double nodes = static_cast<double>(load.node_count);
  if (load.node_count == 1) return {};
  const double batch = static_cast<double>(load.BatchCount());
  const double put_count = design.batched ? batch : 1;
  // As many blocks come to a depot from other nodes as its CPUs free of theirs.
  const double cpus = static_cast<double>(design.one_lock ? load.cpu_count() : design.depot_cpus);
  const double blocks_per_ns = cpus * load.remote_share / load.MissEveryNs();
  Visits takes{blocks_per_ns / (batch + 1)};
  Visits puts{blocks_per_ns / put_count};

  // From one CPU to another one of its node.
  const double in_group =
      std::min(1.0, static_cast<double>(load.l3_cpus - 1) / std::max(1.0, static_cast<double>(design.depot_cpus - 1)));
  const double near_ns = in_group * costs.line_group_ns + (1 - in_group) * costs.line_node_ns;
  const auto line_ns = [&](double share_of_node) {
    return share_of_node * near_ns + (1 - share_of_node) * costs.line_remote_ns;
  };
  // The lock's line comes from the visitor before.
  const double put_share = puts.per_ns / (puts.per_ns + takes.per_ns);
  const double take_lock_ns = design.one_lock ? line_ns(1 / nodes) : line_ns(1 - put_share);
  const double put_lock_ns = design.one_lock ? line_ns(1 / nodes) : line_ns(put_share / (nodes - 1));
  // What lies on the shelf came from another node, and where nothing lies somebody of this one has taken it. Only the line
  // in which the next pointer goes is where the visitor before has left it, if that line is not full.
  const auto copy_ns = [&](double pointers, double next_line_ns) {
    const double lines = (pointers + 7) / 8;
    const double lines_ns = 7.0 / 8 * next_line_ns + (lines - 7.0 / 8) * costs.line_remote_ns;
    return lines_ns / std::min(lines, costs.lines_at_once) + pointers * costs.copy_pointer_ns;
  };
  takes.stay_ns = costs.lock_ns + take_lock_ns + copy_ns(batch + 1, costs.line_remote_ns);
  puts.stay_ns = costs.lock_ns + put_lock_ns + copy_ns(put_count, put_lock_ns);
  return QueueAt({takes, puts});
}

}  // namespace hugepool::bench
