// Rounds: the run itself. Workers of a wave fill one after the other; then exactly one works at a time, round by round,
// in an order that rotates, so that drift of the machine meets every allocator alike.
//
// Threads    one caller
// Errors     a worker that fails becomes a failed row, and the others go on; a row that this machine cannot run becomes
//            a skipped row with its reason
#ifndef HUGEPOOL_BENCH_ROUNDS_H_
#define HUGEPOOL_BENCH_ROUNDS_H_

#include <string>
#include <vector>

#include "bench/database.h"
#include "bench/kv_options.h"
#include "bench/machine.h"
#include "bench/results.h"
#include "bench/signals.h"

namespace hugepool::bench {

struct RunOutcome {
  std::vector<RowResult> rows;
  bool interrupted = false;
  std::string refusal;  // not empty: the machine cannot hold even one worker; nothing ran
};

RunOutcome RunRounds(const KvOptions& options, const DatabaseFacts& database, const Machine& machine, Signals* signals);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_ROUNDS_H_
