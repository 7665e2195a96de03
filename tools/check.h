// Check: what a machine offers a pool, whether a need fits, and the one command that comes next.
//
// Shape      a reading of the machine, findings about it, one command
// Threads    a value; no sharing
// Invariant  `command` is one line that a shell takes as it stands; with kMendable it is the mend
// Errors     RunCheck writes them to `err`: what, the value, what is allowed, the mend; see ExitCode
#ifndef HUGEPOOL_TOOLS_CHECK_H_
#define HUGEPOOL_TOOLS_CHECK_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/need.h"
#include "tools/reservation.h"
#include "tools/subcommand.h"
#include "topology/memory_state.h"

namespace hugepool::tools {

enum class Severity { kNote, kWarning, kProblem };
const char* ToString(Severity severity);

struct Finding {
  Severity severity = Severity::kNote;
  std::string message;
  std::string mend;  // may be empty: nothing to do
};

// How commands to paste are written.
struct PasteStyle {
  std::string program = "hugepool";  // how this tool is called
  bool superuser = false;            // no sudo needed
};

struct CheckRequest {
  std::string need;        // empty: none
  std::string root = "/";  // where proc/ and sys/ are
  bool json = false;
  PasteStyle style;
};

struct CheckResult {
  internal::MemoryState state;
  std::optional<Need> need;
  std::optional<Reservation> reservation;  // exactly when there is a need
  std::string verdict;                     // one sentence
  std::vector<Finding> findings;
  std::string command;
  ExitCode exit_code = ExitCode::kHealthy;
};

// What follows from a reading.
CheckResult Examine(internal::MemoryState state, std::optional<Need> need, const PasteStyle& style);

ExitCode RunCheck(const CheckRequest& request, std::ostream& out, std::ostream& err);

// `hugepool check`.
Subcommand AddCheck(CLI::App& app, const std::string& program);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_CHECK_H_
