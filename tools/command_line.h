// CommandLine: `hugepool` from its arguments to its exit code.
//
// Errors     bad usage goes to `err`: the value, what is allowed, the mend; exit code kBadInput
#ifndef HUGEPOOL_TOOLS_COMMAND_LINE_H_
#define HUGEPOOL_TOOLS_COMMAND_LINE_H_

#include <ostream>
#include <string>
#include <vector>

#include "tools/exit_code.h"

namespace hugepool::tools {

// program: how the user called it ("hugepool", "./build/release/hugepool"), which is how commands to paste call it.
// arguments: what stood behind it.
ExitCode RunCommandLine(const std::string& program, const std::vector<std::string>& arguments, std::ostream& out,
                        std::ostream& err);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_COMMAND_LINE_H_
