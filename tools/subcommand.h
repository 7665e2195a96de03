// Subcommand: one verb of `hugepool`. Each stands in a file of its own, which adds its options to the command line.
#ifndef HUGEPOOL_TOOLS_SUBCOMMAND_H_
#define HUGEPOOL_TOOLS_SUBCOMMAND_H_

#include <functional>
#include <ostream>

#include "tools/exit_code.h"

namespace CLI {
class App;
}  // namespace CLI

namespace hugepool::tools {

struct Subcommand {
  CLI::App* app = nullptr;  // owned by the command line
  // Called after the options were parsed, if this verb was named.
  std::function<ExitCode(std::ostream& out, std::ostream& err)> run;
};

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_SUBCOMMAND_H_
