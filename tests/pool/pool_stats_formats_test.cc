// PoolStats for machines: JSON that a JSON library reads back field by field, Prometheus text that a strict reader takes,
// and no field of the structs left out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/pool_stats.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Every field gets a value of its own. The bindings name each field of the structs: with a new one they do not compile,
// and whoever adds its name here is told by the tests below where it is missing.
PoolStats DistinctStats() {
  uint64_t next = 1'000'001;
  const auto set = [&next](auto&... numbers) { ((numbers = next++), ...); };
  const auto set_backed = [&set](auto&... arrays) { (set(arrays[0], arrays[1], arrays[2]), ...); };
  const auto set_node = [&](NodeStats& stats, int id) {
    auto& [node_id, committed_bytes, used_bytes, empty_bytes, draining_bytes, degraded_bytes, unverified_bytes,
           departure_count, departed_bytes, hand_over_count, handed_over_block_count, refused_count, misplaced_count] =
        stats;
    node_id = id;
    set_backed(committed_bytes, refused_count);
    set(used_bytes, empty_bytes, draining_bytes, degraded_bytes, unverified_bytes, departure_count, departed_bytes,
        hand_over_count, handed_over_block_count, misplaced_count);
  };
  const auto set_class = [&](ClassStats& stats, int id) {
    auto& [node_id, object_bytes, slab_count, slab_bytes, used_count, cached_count, slab_bytes_by_backing] = stats;
    node_id = id;
    set(object_bytes, slab_count, slab_bytes, used_count, cached_count);
    set_backed(slab_bytes_by_backing);
  };
  PoolStats stats;
  auto& [name, backing, placement, cache_mode, page_bytes, capacity_bytes, committed_bytes, metadata_bytes,
         allocated_bytes, cached_bytes, piled_bytes, allocated_count, learned_class_count, failed_count,
         pressure_event_count, pressure_trimmed_bytes, refused_bind_count, refused_locate_count,
         refused_give_back_count, aborted_sequence_count, child_allocate_count, child_deallocate_count, nodes,
         classes] = stats;
  name = "the name";
  backing = "the backing";
  placement = "the placement";
  cache_mode = "the cache mode";
  set(page_bytes, aborted_sequence_count, capacity_bytes, committed_bytes, metadata_bytes, allocated_bytes,
      cached_bytes, piled_bytes, allocated_count, learned_class_count, failed_count, pressure_event_count,
      pressure_trimmed_bytes, refused_bind_count, refused_locate_count, refused_give_back_count, child_allocate_count,
      child_deallocate_count);
  nodes.resize(2);
  set_node(nodes[0], 3);
  set_node(nodes[1], 17);
  classes.resize(3);
  set_class(classes[0], 3);
  set_class(classes[1], 3);
  set_class(classes[2], 17);
  return stats;
}

// The numbers of DistinctStats() are 1,000,001 and so many following ones.
constexpr size_t kDistinctCount = 18 + 2 * (10 + 2 * 3) + 3 * (5 + 3);

// JSON ---------------------------------------------------------------------------------------------------------------

using nlohmann::json;

json BackedJson(const std::array<uint64_t, kBackingCount>& values) {
  return {{"hugetlb", values[0]}, {"transparent", values[1]}, {"small", values[2]}};
}

json ExpectedJson(const PoolStats& stats) {
  json nodes = json::array();
  for (const NodeStats& node : stats.nodes) {
    nodes.push_back({{"node_id", node.node_id},
                     {"committed_bytes", BackedJson(node.committed_bytes)},
                     {"used_bytes", node.used_bytes},
                     {"empty_bytes", node.empty_bytes},
                     {"draining_bytes", node.draining_bytes},
                     {"degraded_bytes", node.degraded_bytes},
                     {"unverified_bytes", node.unverified_bytes},
                     {"departure_count", node.departure_count},
                     {"departed_bytes", node.departed_bytes},
                     {"hand_over_count", node.hand_over_count},
                     {"handed_over_block_count", node.handed_over_block_count},
                     {"refused_count", BackedJson(node.refused_count)},
                     {"misplaced_count", node.misplaced_count}});
  }
  json classes = json::array();
  for (const ClassStats& entry : stats.classes) {
    classes.push_back({{"node_id", entry.node_id},
                       {"object_bytes", entry.object_bytes},
                       {"slab_count", entry.slab_count},
                       {"slab_bytes", entry.slab_bytes},
                       {"used_count", entry.used_count},
                       {"cached_count", entry.cached_count},
                       {"slab_bytes_by_backing", BackedJson(entry.slab_bytes_by_backing)}});
  }
  return {{"name", stats.name},
          {"backing", stats.backing},
          {"placement", stats.placement},
          {"cache_mode", stats.cache_mode},
          {"page_bytes", stats.page_bytes},
          {"aborted_sequence_count", stats.aborted_sequence_count},
          {"capacity_bytes", stats.capacity_bytes},
          {"committed_bytes", stats.committed_bytes},
          {"metadata_bytes", stats.metadata_bytes},
          {"allocated_bytes", stats.allocated_bytes},
          {"cached_bytes", stats.cached_bytes},
          {"piled_bytes", stats.piled_bytes},
          {"allocated_count", stats.allocated_count},
          {"learned_class_count", stats.learned_class_count},
          {"failed_count", stats.failed_count},
          {"pressure_event_count", stats.pressure_event_count},
          {"pressure_trimmed_bytes", stats.pressure_trimmed_bytes},
          {"refused_bind_count", stats.refused_bind_count},
          {"refused_locate_count", stats.refused_locate_count},
          {"refused_give_back_count", stats.refused_give_back_count},
          {"child_allocate_count", stats.child_allocate_count},
          {"child_deallocate_count", stats.child_deallocate_count},
          {"nodes", nodes},
          {"classes", classes}};
}

// Parses, and fails on a name that an object has twice, of which the parser would keep one.
json Parsed(const std::string& text) {
  std::vector<std::set<std::string>> names;
  const json::parser_callback_t see = [&names](int /*depth*/, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) names.emplace_back();
    if (event == json::parse_event_t::object_end) names.pop_back();
    if (event == json::parse_event_t::key) {
      EXPECT_TRUE(names.back().insert(value.get<std::string>()).second) << value << " stands twice";
    }
    return true;
  };
  const json parsed = json::parse(text, see, /*allow_exceptions=*/false);
  EXPECT_FALSE(parsed.is_discarded()) << "no JSON: " << text;
  return parsed;
}

TEST(PoolStatsJson, HoldsEveryFieldUnderItsName) {
  const PoolStats stats = DistinctStats();
  EXPECT_EQ(Parsed(stats.ToJson()), ExpectedJson(stats));
}

TEST(PoolStatsJson, HoldsEveryNumberOnce) {
  const std::string text = DistinctStats().ToJson();
  for (uint64_t number = 1'000'001; number <= 1'000'000 + kDistinctCount; ++number) {
    const size_t found = text.find(":" + std::to_string(number));
    ASSERT_NE(found, std::string::npos) << number;
    EXPECT_EQ(text.find(std::to_string(number), found + 2), std::string::npos) << number << " stands twice";
  }
  EXPECT_EQ(text.find(std::to_string(1'000'001 + kDistinctCount)), std::string::npos) << "kDistinctCount is too small";
}

TEST(PoolStatsJson, TakesTheSmallestAndTheLargestNumbers) {
  PoolStats stats = DistinctStats();
  stats.capacity_bytes = UINT64_MAX;
  stats.committed_bytes = 0;
  stats.metadata_bytes = (uint64_t{1} << 53) + 1;
  stats.nodes[0].node_id = -1;
  stats.classes[2].slab_bytes_by_backing[2] = UINT64_MAX;
  EXPECT_EQ(Parsed(stats.ToJson()), ExpectedJson(stats));
  EXPECT_EQ(Parsed(PoolStats().ToJson()), ExpectedJson(PoolStats()));
}

TEST(PoolStatsJson, EscapesWhateverTheNameHolds) {
  PoolStats stats;
  for (const std::string& name :
       {std::string("a\"b"), std::string("\\"), std::string("a\\\"b\\"), std::string("line\nline\r\t"),
        std::string("\0\x01\x1f\x7f", 4), std::string("/</script>"), std::string("blöcke – \xf0\x9f\x90\x98")}) {
    stats.name = name;
    const std::string text = stats.ToJson();
    EXPECT_EQ(Parsed(text)["name"], name);
    EXPECT_EQ(text.find_first_of(std::string("\0\n\r\t", 4)), std::string::npos) << "one line, and no control in it";
  }
}

const std::string kReplaced = "\xef\xbf\xbd";

// Ill-formed bytes, and what is to stand in their place.
const std::vector<std::pair<std::string, std::string>>& IllFormedTexts() {
  static const std::vector<std::pair<std::string, std::string>> texts{
      {"a\xff"
       "b",
       "a" + kReplaced + "b"},
      {"\x80", kReplaced},                                                  // a tail without a head
      {"\xc3", kReplaced},                                                  // a head without a tail
      {"\xc3(", kReplaced + "("},                                           //
      {"\xc0\xaf", kReplaced + kReplaced},                                  // '/' in two bytes
      {"\xe0\x80\xaf", kReplaced + kReplaced + kReplaced},                  // '/' in three
      {"\xe0\x9f\xbf", kReplaced + kReplaced + kReplaced},                  // U+07FF in three
      {"\xf0\x8f\xbf\xbf", kReplaced + kReplaced + kReplaced + kReplaced},  // U+FFFF in four
      {"\xc3\xff", kReplaced + kReplaced},
      {"\xed\xa0\x80", kReplaced + kReplaced + kReplaced},                  // a surrogate
      {"\xf0\x80\x80\xaf", kReplaced + kReplaced + kReplaced + kReplaced},  // '/' in four
      {"\xf4\x90\x80\x80", kReplaced + kReplaced + kReplaced + kReplaced},  // beyond U+10FFFF
      {"\xf5\x80\x80\x80", kReplaced + kReplaced + kReplaced + kReplaced},
      {"\xf0\x9f\x90", kReplaced + kReplaced + kReplaced},  // cut off
      {"\xc3\xb6\xc3", "\xc3\xb6" + kReplaced},
      // And well-formed ones at the borders, which stay.
      {"\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf"},
      {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"},
      {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
  };
  return texts;
}

TEST(PoolStatsJson, IsUtf8WhateverTheNameHolds) {
  PoolStats stats;
  for (const auto& [name, replaced] : IllFormedTexts()) {
    stats.name = name;
    EXPECT_EQ(Parsed(stats.ToJson())["name"], replaced);
  }
}

// Prometheus ---------------------------------------------------------------------------------------------------------

struct Metric {
  std::string type;
  std::map<std::map<std::string, std::string>, std::string> samples;  // labels → value
};
using Metrics = std::map<std::string, Metric>;

// Reads a page of the text format 0.0.4, more strictly than Prometheus does: one HELP, then one TYPE, then the samples
// of that metric and of no other; gauges and counters only, a counter's name and no other ending in _total; every
// sample with labels and a whole number. Returns "" or the first line that is wrong, and why.
class PrometheusReader {
 public:
  std::string Read(std::string_view page) {
    if (!page.empty() && page.back() != '\n') return "the last line has no end";
    while (!page.empty()) {
      const size_t end = page.find('\n');
      rest_ = page.substr(0, end);
      const std::string line(rest_);
      page.remove_prefix(end + 1);
      const std::string wrong = ReadLine();
      if (!wrong.empty()) return wrong + " in '" + line + "'";
    }
    return open_.empty() || !metrics[open_].samples.empty() ? "" : "no sample of " + open_;
  }

  Metrics metrics;

 private:
  bool Take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::string TakeName(bool with_colon) {
    std::string name;
    while (!rest_.empty()) {
      const char c = rest_.front();
      const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (with_colon && c == ':');
      if (!is_letter && (name.empty() || c < '0' || c > '9')) break;
      name += c;
      rest_.remove_prefix(1);
    }
    return name;
  }
  std::string ReadLine() {
    if (Take("# HELP ")) {
      if (!open_.empty() && metrics[open_].samples.empty()) return "no sample of " + open_;
      open_ = TakeName(true);
      if (open_.empty() || !Take(" ")) return "no metric name";
      if (metrics.contains(open_)) return "a second HELP";
      if (rest_.empty()) return "no help";
      for (size_t i = 0; i < rest_.size(); ++i) {
        if (rest_[i] == '\\' && (++i == rest_.size() || (rest_[i] != '\\' && rest_[i] != 'n'))) return "a bad escape";
      }
      metrics[open_];
      return "";
    }
    if (Take("# TYPE ")) {
      if (open_.empty() || TakeName(true) != open_ || !Take(" ")) return "a TYPE without its HELP";
      Metric& metric = metrics[open_];
      if (!metric.type.empty()) return "a second TYPE";
      if (!metric.samples.empty()) return "a TYPE after samples";
      if (rest_ != "gauge" && rest_ != "counter") return "an unknown type";
      if ((rest_ == "counter") != open_.ends_with("_total")) return "a name that does not fit its type";
      metric.type = rest_;
      return "";
    }
    return ReadSample();
  }
  std::string ReadSample() {
    if (open_.empty() || TakeName(true) != open_) return "a sample outside of its metric";
    Metric& metric = metrics[open_];
    if (metric.type.empty()) return "a sample before TYPE";
    std::map<std::string, std::string> labels;
    if (!Take("{")) return "no labels";
    do {
      const std::string name = TakeName(false);
      if (name.empty() || name.starts_with("__")) return "a bad label name";
      if (!Take("=\"")) return "no label value";
      std::string value;
      if (!TakeValue(&value)) return "a bad label value";
      if (!labels.emplace(name, value).second) return "a label twice";
    } while (Take(","));
    if (!Take("} ")) return "no end of the labels";
    if (rest_.empty() || rest_.find_first_not_of("0123456789") != std::string_view::npos) return "no whole number";
    if (!metric.samples.emplace(labels, rest_).second) return "a series twice";
    return "";
  }
  bool TakeValue(std::string* value) {
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\') {
        if (rest_.empty()) return false;
        const size_t escaped = std::string_view("\\\"n").find(rest_.front());
        if (escaped == std::string_view::npos) return false;
        c = "\\\"\n"[escaped];
        rest_.remove_prefix(1);
      }
      *value += c;
    }
    return false;
  }

  std::string_view rest_;  // of the line
  std::string open_;       // the metric to which the samples belong
};

Metrics Read(const std::string& page) {
  PrometheusReader reader;
  EXPECT_EQ(reader.Read(page), "");
  return reader.metrics;
}

TEST(PrometheusReader, RefusesWhatIsNoPage) {
  const std::string head = "# HELP a_bytes b\n# TYPE a_bytes gauge\n";
  PrometheusReader good;
  EXPECT_EQ(good.Read(head + "a_bytes{x=\"1\"} 2\na_bytes{x=\"\\\\\\\"\\n\"} 3\n"), "");
  const struct {
    const char* page;
    const char* wrong;
  } table[] = {
      {"a_bytes{x=\"1\"} 2\n", "outside of its metric"},
      {"# HELP a_bytes b\na_bytes{x=\"1\"} 2\n", "before TYPE"},
      {"# TYPE a_bytes gauge\na_bytes{x=\"1\"} 2\n", "without its HELP"},
      {"# HELP a_total b\n# TYPE a_total gauge\na_total{x=\"1\"} 2\n", "does not fit its type"},
      {"# HELP a_bytes b\n# TYPE a_bytes counter\na_bytes{x=\"1\"} 2\n", "does not fit its type"},
      {"# HELP a b\n# TYPE a histogram\n", "unknown type"},
      {"# HELP a b\n# HELP c d\n", "no sample of a"},
      {"# HELP a b\n# TYPE a gauge\n", "no sample of a"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\"} 2", "no end"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\"} 2\n# HELP a b\n", "second HELP"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\"} 2\na{x=\"1\"} 2\n", "a series twice"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\",y=\"2\"} 2\na{y=\"2\",x=\"1\"} 2\n", "a series twice"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 2\n", "a label twice"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1} 2\n", "bad label value"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"\\t\"} 2\n", "bad label value"},
      {"# HELP a b\n# TYPE a gauge\na{1x=\"1\"} 2\n", "bad label name"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\"} 2.5\n", "no whole number"},
      {"# HELP a b\n# TYPE a gauge\na{x=\"1\"}\n", "no end of the labels"},
      {"# HELP a b\n# TYPE a gauge\na 2\n", "no labels"},
      {"# HELP a b\\\n# TYPE a gauge\n", "bad escape"},
      {"\n", "outside of its metric"},
  };
  for (const auto& [page, wrong] : table) {
    PrometheusReader reader;
    EXPECT_THAT(reader.Read(page), HasSubstr(wrong)) << page;
  }
}

TEST(PoolStatsPrometheus, HoldsEveryNumberOnceAndNothingElse) {
  const Metrics metrics = Read(DistinctStats().ToPrometheus());
  std::multiset<std::string> values;
  for (const auto& [name, metric] : metrics) {
    EXPECT_TRUE(name.starts_with("hugepool_")) << name;
    for (const auto& [labels, value] : metric.samples) {
      EXPECT_EQ(labels.at("pool"), "the name");
      values.insert(value);
    }
  }
  // The size of a class is a label.
  std::set<std::string> sizes;
  for (const ClassStats& entry : DistinctStats().classes) sizes.insert(std::to_string(entry.object_bytes));
  ASSERT_EQ(sizes.size(), 3u);
  for (uint64_t number = 1'000'001; number <= 1'000'000 + kDistinctCount; ++number) {
    const std::string text = std::to_string(number);
    EXPECT_EQ(values.count(text), sizes.contains(text) ? 0u : 1u) << number;
  }
  EXPECT_EQ(values.size(), kDistinctCount - 3 + 1) << "all numbers, and the 1 of hugepool_info";
}

TEST(PoolStatsPrometheus, NamesUnitsTypesAndLabels) {
  const PoolStats stats = DistinctStats();
  const Metrics metrics = Read(stats.ToPrometheus());
  using Labels = std::map<std::string, std::string>;
  const auto expect = [&metrics](const char* name, const char* type, const Labels& labels, uint64_t value) {
    ASSERT_TRUE(metrics.contains(name)) << name;
    const Metric& metric = metrics.at(name);
    EXPECT_EQ(metric.type, type) << name;
    ASSERT_TRUE(metric.samples.contains(labels)) << name;
    EXPECT_EQ(metric.samples.at(labels), std::to_string(value)) << name;
  };
  const Labels pool{{"pool", "the name"}};
  expect("hugepool_info", "gauge",
         {{"pool", "the name"},
          {"huge_pages", "the backing"},
          {"placement", "the placement"},
          {"cache_mode", "the cache mode"}},
         1);
  expect("hugepool_page_bytes", "gauge", pool, stats.page_bytes);
  expect("hugepool_process_aborted_sequences_total", "counter", pool, stats.aborted_sequence_count);
  expect("hugepool_capacity_bytes", "gauge", pool, stats.capacity_bytes);
  expect("hugepool_pool_committed_bytes", "gauge", pool, stats.committed_bytes);
  expect("hugepool_metadata_bytes", "gauge", pool, stats.metadata_bytes);
  expect("hugepool_allocated_bytes", "gauge", pool, stats.allocated_bytes);
  expect("hugepool_cached_bytes", "gauge", pool, stats.cached_bytes);
  expect("hugepool_piled_bytes", "gauge", pool, stats.piled_bytes);
  expect("hugepool_allocated_blocks", "gauge", pool, stats.allocated_count);
  expect("hugepool_failed_allocations_total", "counter", pool, stats.failed_count);
  expect("hugepool_pressure_events_total", "counter", pool, stats.pressure_event_count);
  expect("hugepool_pressure_trimmed_bytes_total", "counter", pool, stats.pressure_trimmed_bytes);
  expect("hugepool_refused_binds_total", "counter", pool, stats.refused_bind_count);
  expect("hugepool_refused_locates_total", "counter", pool, stats.refused_locate_count);
  expect("hugepool_refused_give_backs_total", "counter", pool, stats.refused_give_back_count);
  expect("hugepool_child_allocations_total", "counter", pool, stats.child_allocate_count);
  expect("hugepool_child_deallocations_total", "counter", pool, stats.child_deallocate_count);
  for (const NodeStats& node : stats.nodes) {
    Labels labels{{"pool", "the name"}, {"node", std::to_string(node.node_id)}};
    expect("hugepool_used_bytes", "gauge", labels, node.used_bytes);
    expect("hugepool_empty_bytes", "gauge", labels, node.empty_bytes);
    expect("hugepool_draining_bytes", "gauge", labels, node.draining_bytes);
    expect("hugepool_degraded_bytes", "gauge", labels, node.degraded_bytes);
    expect("hugepool_unverified_bytes", "gauge", labels, node.unverified_bytes);
    expect("hugepool_departures_total", "counter", labels, node.departure_count);
    expect("hugepool_departed_bytes_total", "counter", labels, node.departed_bytes);
    expect("hugepool_hand_overs_total", "counter", labels, node.hand_over_count);
    expect("hugepool_handed_over_blocks_total", "counter", labels, node.handed_over_block_count);
    expect("hugepool_misplaced_pages_total", "counter", labels, node.misplaced_count);
    for (size_t i = 0; i < kBackingCount; ++i) {
      labels["backing"] = std::vector{"hugetlb", "transparent", "small"}[i];
      expect("hugepool_committed_bytes", "gauge", labels, node.committed_bytes[i]);
      expect("hugepool_refused_populations_total", "counter", labels, node.refused_count[i]);
    }
  }
  for (const ClassStats& entry : stats.classes) {
    Labels labels{{"pool", "the name"},
                  {"node", std::to_string(entry.node_id)},
                  {"object_bytes", std::to_string(entry.object_bytes)}};
    expect("hugepool_class_slabs", "gauge", labels, entry.slab_count);
    expect("hugepool_class_slab_bytes", "gauge", labels, entry.slab_bytes);
    expect("hugepool_class_used_objects", "gauge", labels, entry.used_count);
    expect("hugepool_class_cached_objects", "gauge", labels, entry.cached_count);
    for (size_t i = 0; i < kBackingCount; ++i) {
      labels["backing"] = std::vector{"hugetlb", "transparent", "small"}[i];
      expect("hugepool_class_backed_bytes", "gauge", labels, entry.slab_bytes_by_backing[i]);
    }
  }
}

TEST(PoolStatsPrometheus, EscapesLabelValues) {
  PoolStats stats;
  for (const std::string& name :
       {std::string("a\"b"), std::string("\\"), std::string("a\\nb"), std::string("two\nlines"),
        std::string("{x=\"1\"} 7\n# HELP"), std::string("blöcke")}) {
    stats.name = name;
    const Metrics metrics = Read(stats.ToPrometheus());
    ASSERT_TRUE(metrics.contains("hugepool_capacity_bytes"));
    EXPECT_EQ(metrics.at("hugepool_capacity_bytes").samples.begin()->first.at("pool"), name);
  }
  for (const auto& [name, replaced] : IllFormedTexts()) {
    stats.name = name;
    stats.placement = name;
    const Metrics metrics = Read(stats.ToPrometheus());
    EXPECT_EQ(metrics.at("hugepool_capacity_bytes").samples.begin()->first.at("pool"), replaced);
    EXPECT_EQ(metrics.at("hugepool_info").samples.begin()->first.at("placement"), replaced);
  }
}

TEST(PoolStatsPrometheus, SeveralPoolsShareOnePage) {
  std::vector<PoolStats> pools{DistinctStats(), DistinctStats(), PoolStats()};
  pools[1].name = "another";
  pools[1].capacity_bytes = 5;
  pools[2].name = "empty";
  const Metrics metrics = Read(PoolStats::ToPrometheus(pools));
  size_t sample_count = 0;
  for (const auto& [name, metric] : metrics) sample_count += metric.samples.size();
  const size_t per_pool = kDistinctCount - 3 + 1;
  EXPECT_EQ(sample_count, 2 * per_pool + 18 + 1) << "the empty one has no nodes and no classes";
  EXPECT_EQ(metrics.at("hugepool_capacity_bytes").samples.at({{"pool", "another"}}), "5");
  EXPECT_EQ(metrics.at("hugepool_capacity_bytes").samples.at({{"pool", "empty"}}), "0");
  EXPECT_EQ(metrics.at("hugepool_used_bytes").samples.size(), 4u);
}

TEST(PoolStatsPrometheus, PoolsOfOneNameAreToldApart) {
  std::vector<PoolStats> pools(5);
  const char* const names[] = {"a", "a", "a#2", "a", "b"};
  for (size_t i = 0; i < pools.size(); ++i) {
    pools[i].name = names[i];
    pools[i].capacity_bytes = i;
  }
  const Metrics metrics = Read(PoolStats::ToPrometheus(pools));
  std::map<std::string, std::string> found;
  for (const auto& [labels, value] : metrics.at("hugepool_capacity_bytes").samples) found[labels.at("pool")] = value;
  EXPECT_EQ(found,
            (std::map<std::string, std::string>{{"a", "0"}, {"a#3", "1"}, {"a#2", "2"}, {"a#4", "3"}, {"b", "4"}}));
}

TEST(PoolStatsPrometheus, NoPoolsAreAnEmptyPage) { EXPECT_EQ(PoolStats::ToPrometheus({}), ""); }

// A pool's own statistics --------------------------------------------------------------------------------------------

TEST(PoolStatsFormats, OfARealPoolAreRead) {
  SimulatedOs os(EachNode(50, 2 * kGiB));
  PoolOptions options;
  options.capacity_bytes = 64 * kMiB;
  options.name = "blocks \"of\" a\\b";
  const auto pool = MakePool(options, os, FourNodes());
  void* const block = pool->Allocate(100'000);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(Parsed(stats.ToJson()), ExpectedJson(stats));
  const Metrics metrics = Read(stats.ToPrometheus());
  EXPECT_EQ(metrics.at("hugepool_allocated_blocks").samples.at({{"pool", options.name}}), "1");
  EXPECT_EQ(metrics.at("hugepool_committed_bytes").samples.size(), 4 * kBackingCount);
  pool->Deallocate(block);
}

// Text for people ----------------------------------------------------------------------------------------------------

TEST(PoolStatsText, ShowsTheLargestClassesAndCountsTheRest) {
  PoolStats stats;
  EXPECT_THAT(stats.ToText(), Not(HasSubstr("class")));
  for (uint64_t i = 1; i <= 9; ++i) {
    stats.classes.push_back({.node_id = 4,
                             .object_bytes = 1000 * i,
                             .slab_count = i,
                             .slab_bytes = i * kMiB,
                             .used_count = 70,
                             .cached_count = 7});
  }
  stats.classes.push_back({.node_id = 4, .object_bytes = 77});
  const std::string text = stats.ToText();
  EXPECT_THAT(text, HasSubstr("  class 9000 on node 4: 9M in 9 slabs, used 70, of which cached 7\n"
                              "  class 8000 on node 4: 8M in 8 slabs"));
  EXPECT_THAT(text, HasSubstr("class 5000 "));
  EXPECT_THAT(text, Not(HasSubstr("class 4000 ")));
  EXPECT_THAT(text, HasSubstr("  and 4 smaller classes\n"));
  EXPECT_THAT(text, Not(HasSubstr("class 77 "))) << "an empty class";
  stats.classes.resize(5);
  EXPECT_THAT(stats.ToText(), Not(HasSubstr("smaller"))) << "all five are shown";
}

}  // namespace
}  // namespace hugepool::testing
