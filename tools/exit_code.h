// ExitCode: how a subcommand of `hugepool` ended. Scripts rely on these numbers; --help and docs state them.
#ifndef HUGEPOOL_TOOLS_EXIT_CODE_H_
#define HUGEPOOL_TOOLS_EXIT_CODE_H_

namespace hugepool::tools {

enum class ExitCode : int {
  kHealthy = 0,   // all is well; with --need: it fits
  kMendable = 1,  // not as it should be, and the command on the last line puts it right
  kBadInput = 2,  // an argument that cannot be meant so
  kCannot = 3,    // this machine cannot do it now or ever, or it cannot be read
};

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_EXIT_CODE_H_
