// CompareReport: a comparison as one JSON document, and as one page that holds it.
//
// Shape      the page is compare_page.html with Chart.js and the document put into it: no network, one file
#ifndef HUGEPOOL_BENCH_COMPARE_REPORT_H_
#define HUGEPOOL_BENCH_COMPARE_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "bench/compare_rounds.h"
#include "bench/machine.h"

namespace hugepool::bench {

nlohmann::ordered_json MakeCompareDocument(const CompareOutcome& outcome, const CompareOptions& options,
                                           const Machine& machine);

// The page for a document of MakeCompareDocument.
std::string MakeComparePage(const nlohmann::ordered_json& document);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_REPORT_H_
