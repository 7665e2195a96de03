// CheckReport: a CheckResult as text for people and as JSON for programs.
//
// Invariant  the last line of the text is CheckResult::command. The JSON is one object with the keys schema_version
//            (1; raised when a key changes its meaning or goes), version, subcommand, machine, nodes, huge_pages,
//            transparent_huge_pages, process, need, findings, verdict, command and exit_code; null stands for what the
//            kernel does not say or does not limit
// Units      *_bytes are bytes, *_count are pages of the page_bytes beside them
#ifndef HUGEPOOL_TOOLS_CHECK_REPORT_H_
#define HUGEPOOL_TOOLS_CHECK_REPORT_H_

#include <string>

#include "tools/check.h"

namespace hugepool::tools {

std::string TextOf(const CheckResult& result);
std::string JsonOf(const CheckResult& result);

}  // namespace hugepool::tools

#endif  // HUGEPOOL_TOOLS_CHECK_REPORT_H_
