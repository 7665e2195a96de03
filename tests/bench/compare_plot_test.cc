// The picture and the page hold what was measured, and nothing that a viewer would stumble over.
#include "bench/compare_plot.h"

#include <gtest/gtest.h>

#include <regex>

#include "bench/compare_report.h"

namespace hugepool::bench {
namespace {

RowRuns Row(const char* name, const std::vector<double>& values) {
  RowRuns runs;
  runs.row = FindCompareRow(name);
  for (const double value : values) {
    BenchRun run;
    run.figures["items_per_second"] = value;
    runs.runs.push_back(run);
  }
  return runs;
}

CompareOutcome Outcome() {
  CompareOutcome outcome;
  outcome.benchmarks = {
      {"pair/64", {Row("malloc", {1e8, 2e8}), Row("array", {1e9, 1e9}), Row("hugepool-pool", {5e8, 4e8})}},
      {"a<b&\"c\"", {Row("malloc", {0, 0})}},
      {"batch/1000/fifo/64", {Row("malloc", {1, 1}), Row("array", {1000, 1000})}}};
  return outcome;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ComparePlot, HasABarForEachLineAndClosesWhatItOpens) {
  const std::string svg = DrawComparison(Outcome(), Machine());
  EXPECT_EQ(Count(svg, "<rect class=\"peer\""), 3u);
  EXPECT_EQ(Count(svg, "<rect class=\"limit\""), 2u);
  EXPECT_EQ(Count(svg, "<rect class=\"hugepool\""), 1u);
  for (const char* tag : {"svg", "g", "text", "style"}) {
    EXPECT_EQ(Count(svg, std::string("<") + tag + " ") + Count(svg, std::string("<") + tag + ">"),
              Count(svg, std::string("</") + tag + ">"))
        << tag;
  }
  EXPECT_NE(svg.find("a&lt;b&amp;&quot;c&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(Count(svg, ", logarithmic"), 1u) << "1,000 times as fast: else one bar would not be seen";
}

TEST(ComparePlot, BarsAreAsLongAsTheirMedians) {
  CompareOutcome outcome;
  outcome.benchmarks = {{"pair/64", {Row("malloc", {1e8}), Row("jemalloc", {2e8})}}};
  const std::string svg = DrawComparison(outcome, Machine());
  const std::regex bar("<rect class=\"peer\"[^>]*width=\"([0-9.]+)\"");
  std::vector<double> widths;
  for (std::sregex_iterator at(svg.begin(), svg.end(), bar), end; at != end; ++at)
    widths.push_back(std::stod((*at)[1]));
  ASSERT_EQ(widths.size(), 2u);
  EXPECT_NEAR(widths[1], 2 * widths[0], 0.2);
}

TEST(ComparePlot, NothingMeasuredIsStillAPicture) {
  const std::string svg = DrawComparison({}, Machine());
  EXPECT_EQ(svg.rfind("</svg>\n"), svg.size() - 7);
}

TEST(CompareReport, PageHoldsTheDocumentAndNeedsNoNetwork) {
  CompareOptions options;
  options.command = "bench_compare --filter='</script><b>'";
  options.rows = {FindCompareRow("malloc"), FindCompareRow("tbb")};
  CompareOutcome outcome = Outcome();
  outcome.skipped = {{FindCompareRow("tbb"), "not installed"}};
  const auto document = MakeCompareDocument(outcome, options, Machine());
  EXPECT_EQ(document.at("rows").at(1).at("status"), "skipped");
  EXPECT_EQ(document.at("rows").at(1).at("reason"), "not installed");
  EXPECT_EQ(document.at("benchmarks").at(0).at("measures").at(0).at("best_peer"), "malloc");
  const std::string page = MakeComparePage(document);
  const std::string open = "<script type=\"application/json\" id=\"document\">";
  const size_t begin = page.find(open);
  ASSERT_NE(begin, std::string::npos);
  const size_t end = page.find("</script>", begin);
  EXPECT_EQ(nlohmann::ordered_json::parse(page.substr(begin + open.size(), end - begin - open.size())), document);
  for (const char* reach : {"<link", "<img", "<iframe", " src=", "@import", "url(", "fetch(", "XMLHttpRequest"}) {
    EXPECT_EQ(page.find(reach), std::string::npos) << reach;
  }
}

}  // namespace
}  // namespace hugepool::bench
