// hugepool: the command. Everything it does stands behind RunCommandLine, where tests reach it.
#include <iostream>
#include <string>
#include <vector>

#include "tools/command_line.h"

int main(int argument_count, char** arguments) {
  const std::vector<std::string> words(arguments + (argument_count > 0 ? 1 : 0), arguments + argument_count);
  const std::string program = argument_count > 0 ? arguments[0] : "hugepool";
  const auto exit_code = hugepool::tools::RunCommandLine(program, words, std::cout, std::cerr);
  // A report that nobody got must not pass for a good one: a full disk, a closed pipe.
  if (!std::cout.flush()) {
    std::cerr
        << "hugepool: the report could not be written to standard output. Free some space or write it elsewhere.\n";
    return static_cast<int>(hugepool::tools::ExitCode::kCannot);
  }
  return static_cast<int>(exit_code);
}
