// The page holds everything that it needs.
#include "bench/report.h"

#include <gtest/gtest.h>

namespace hugepool::bench {
namespace {

nlohmann::ordered_json Document() {
  KvOptions options;
  options.command = "kv_bench --db='</script><b>'";
  return MakeDocument({}, options, {}, {});
}

TEST(Report, PageHoldsTheDocumentAsItIs) {
  const auto document = Document();
  const std::string page = MakePage(document);
  const std::string open = "<script type=\"application/json\" id=\"document\">";
  const size_t begin = page.find(open);
  ASSERT_NE(begin, std::string::npos);
  const size_t end = page.find("</script>", begin);
  // What the browser's parser sees up to the first closing tag is the whole document, hostile text included.
  EXPECT_EQ(nlohmann::ordered_json::parse(page.substr(begin + open.size(), end - begin - open.size())), document);
}

TEST(Report, PageNeedsNoNetwork) {
  const std::string page = MakePage(Document());
  for (const char* reach : {"<link", "<img", "<iframe", " src=", "@import", "url(", "fetch(", "XMLHttpRequest"}) {
    EXPECT_EQ(page.find(reach), std::string::npos) << reach;
  }
  EXPECT_NE(page.find("Chart.js v"), std::string::npos);
  EXPECT_GT(page.size(), 150'000u) << "Chart.js is in it";
}

TEST(Report, PageSuitsPhonesAndTheDark) {
  const std::string page = MakePage(Document());
  EXPECT_NE(page.find("width=device-width"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_EQ(page.find("{{document}}"), std::string::npos);
  EXPECT_EQ(page.find("{{chart_js}}"), std::string::npos);
}

TEST(Report, FileThatCannotBeWrittenIsNamed) {
  EXPECT_NE(WriteFile("--html", "/nonexistent/page.html", "x").find("--html=/nonexistent/page.html"),
            std::string::npos);
  EXPECT_NE(WriteFile("--json", "/dev/full", std::string(100000, 'x')).find("/dev/full"), std::string::npos);
}

}  // namespace
}  // namespace hugepool::bench
