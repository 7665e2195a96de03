// Costs: what the steps of the model take.
//
// Shape      kCostFields is the one list: name, meaning, range; options, report and --measure go by it
// Units      nanoseconds; lines_at_once is a count
// Threads    a value
// Source     measured: medians of six runs of numa_model --measure, rounded, on a shared virtual machine with two CPUs of an
//            AMD EPYC (family 25, model 17). Two of the runs found them 105 and 115 ns apart, the other four, whose median
//            line_group_ns is, 28 to 30. lines_at_once is the most that the measurement can tell. That machine has one
//            node, so the distances beyond a group are those that others have published of AMD EPYC 7R13 with two
//            sockets: 107 and 197 ns (github.com/nviennot/core-to-core-latency; Intel Xeon Platinum 8375C with two has 51
//            and 108 ns there). How many lines are under way at once is taken to be the same at every distance. A page
//            takes 0.2 to 5 ms (docs/design.md, the ladder).
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_COSTS_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_COSTS_H_

#include <array>

namespace hugepool::bench {

struct Costs {
  // Measured.
  double lock_ns = 7;
  double copy_pointer_ns = 0.03;
  double line_group_ns = 29;
  double lines_at_once = 7;
  double slab_object_ns = 8.6;
  double futex_call_ns = 300;
  double wake_call_ns = 8000;
  double wake_ns = 24000;
  // Assumed.
  double line_node_ns = 107;
  double line_remote_ns = 197;
  double new_slab_ns = 1e6;
};

struct CostField {
  const char* name;
  double Costs::*value;
  bool measured;
  double least;
  double most;
  const char* meaning;
};

inline constexpr std::array<CostField, 11> kCostFields = {{
    {"lock_ns", &Costs::lock_ns, true, 0, 1e6, "Taking and leaving a lock whose line is at hand"},
    {"copy_pointer_ns", &Costs::copy_pointer_ns, true, 0, 1e6, "Copying a pointer into or out of a shelf at hand"},
    {"line_group_ns", &Costs::line_group_ns, true, 0, 1e6, "A cache line from a CPU of the same group (L3 cache)"},
    {"lines_at_once", &Costs::lines_at_once, true, 1, 64, "Lines of one copy that are under way at the same time"},
    {"slab_object_ns", &Costs::slab_object_ns, true, 0, 1e6, "A block into or out of a slab, its books at hand"},
    {"futex_call_ns", &Costs::futex_call_ns, true, 0, 1e9, "A futex call that neither sleeps nor wakes"},
    {"wake_call_ns", &Costs::wake_call_ns, true, 0, 1e9, "A futex call that wakes a thread, for the caller"},
    {"wake_ns", &Costs::wake_ns, true, 0, 1e9, "From that call to the woken thread's next step"},
    {"line_node_ns", &Costs::line_node_ns, false, 0, 1e6, "A cache line from another group of the node, or its memory"},
    {"line_remote_ns", &Costs::line_remote_ns, false, 0, 1e6, "A cache line from another node"},
    {"new_slab_ns", &Costs::new_slab_ns, false, 0, 1e9, "A new slab from the arena, its page populated"},
}};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_COSTS_H_
