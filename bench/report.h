// Report: the results as one JSON document, and as one page that holds them.
//
// Shape      the page is report_page.html with Chart.js and the document put into it: no network, one file
// Errors     Write… return "" or what went wrong, with the path
#ifndef HUGEPOOL_BENCH_REPORT_H_
#define HUGEPOOL_BENCH_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/database.h"
#include "bench/kv_options.h"
#include "bench/machine.h"
#include "bench/results.h"

namespace hugepool::bench {

nlohmann::ordered_json MakeDocument(const std::vector<RowResult>& rows, const KvOptions& options,
                                    const DatabaseFacts& database, const Machine& machine);

// The page for a document of MakeDocument.
std::string MakePage(const nlohmann::ordered_json& document);

// A page with Chart.js in place of {{chart_js}} and the document in place of {{document}}.
std::string FillPage(std::string page, const nlohmann::ordered_json& document);

// "" when the whole text stands in the file.
std::string WriteFile(const std::string& option, const std::string& path, const std::string& text);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_REPORT_H_
