// PoolStats::ToPrometheus: the fields of pool_stats_fields.h in the text exposition format 0.0.4, metric by metric, since
// a page may describe each one only once.
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/pool_stats.h"
#include "pool/pool_stats_fields.h"
#include "pool/valid_utf8.h"

namespace hugepool {
namespace {

// name="value", the value escaped.
std::string Label(std::string_view name, std::string_view value) {
  std::string label(name);
  label += "=\"";
  for (const char c : internal::ValidUtf8(value)) {
    if (c == '\n') {
      label += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') label += '\\';
    label += c;
  }
  return label + '"';
}

// A pool and the label that tells it from the others on the page.
struct LabelledPool {
  const PoolStats* stats;
  std::string label;
};

std::vector<LabelledPool> Labelled(std::span<const PoolStats> pools) {
  std::vector<LabelledPool> labelled;
  // A name that somebody chose is never given to somebody else.
  std::set<std::string> chosen;
  for (const PoolStats& pool : pools) chosen.insert(internal::ValidUtf8(pool.name));
  std::set<std::string> taken;
  for (const PoolStats& pool : pools) {
    const std::string plain = internal::ValidUtf8(pool.name);
    std::string name = plain;
    for (size_t i = 2; taken.contains(name) || (name != plain && chosen.contains(name)); ++i) {
      name = plain + "#" + std::to_string(i);
    }
    taken.insert(name);
    labelled.push_back({&pool, Label("pool", name)});
  }
  return labelled;
}

// One page, metric by metric.
class Page {
 public:
  // The metric to which the samples that follow belong. One without samples is left out.
  void Begin(std::string_view metric, std::string_view help) {
    metric_ = metric;
    const std::string_view type = metric.ends_with("_total") ? "counter" : "gauge";
    head_ = "# HELP " + metric_ + " " + std::string(help) + "\n# TYPE " + metric_ + " " + std::string(type) + "\n";
  }
  void Add(const std::string& labels, uint64_t value) {
    text_ += head_ + metric_ + "{" + labels + "} " + std::to_string(value) + "\n";
    head_.clear();
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string metric_;
  std::string head_;
};

const std::vector<NodeStats>& EntriesOf(const PoolStats& pool, const NodeStats* /*kind*/) { return pool.nodes; }
const std::vector<ClassStats>& EntriesOf(const PoolStats& pool, const ClassStats* /*kind*/) { return pool.classes; }

std::string LabelsOf(const NodeStats& node) { return Label("node", std::to_string(node.node_id)); }
std::string LabelsOf(const ClassStats& size_class) {
  return Label("node", std::to_string(size_class.node_id)) + "," +
         Label("object_bytes", std::to_string(size_class.object_bytes));
}

// Stats is NodeStats or ClassStats.
template <typename Stats>
void AddNumbers(std::span<const internal::NumberField<Stats>> fields, const std::vector<LabelledPool>& pools,
                Page* page) {
  for (const auto& field : fields) {
    page->Begin(field.metric, field.help);
    for (const LabelledPool& pool : pools) {
      for (const Stats& entry : EntriesOf(*pool.stats, static_cast<const Stats*>(nullptr))) {
        page->Add(pool.label + "," + LabelsOf(entry), entry.*field.member);
      }
    }
  }
}

template <typename Stats>
void AddBacked(std::span<const internal::BackedField<Stats>> fields, const std::vector<LabelledPool>& pools,
               Page* page) {
  for (const auto& field : fields) {
    page->Begin(field.metric, field.help);
    for (const LabelledPool& pool : pools) {
      for (const Stats& entry : EntriesOf(*pool.stats, static_cast<const Stats*>(nullptr))) {
        for (size_t i = 0; i < kBackingCount; ++i) {
          page->Add(pool.label + "," + LabelsOf(entry) + "," + Label("backing", ToString(static_cast<Backing>(i))),
                    (entry.*field.member)[i]);
        }
      }
    }
  }
}

}  // namespace

std::string PoolStats::ToPrometheus(std::span<const PoolStats> pools) {
  const std::vector<LabelledPool> labelled = Labelled(pools);
  Page page;
  page.Begin("hugepool_info", "How the pool was made, in the labels; always 1.");
  for (const LabelledPool& pool : labelled) {
    page.Add(pool.label + "," + Label("huge_pages", pool.stats->backing) + "," +
                 Label("placement", pool.stats->placement) + "," + Label("cache_mode", pool.stats->cache_mode),
             1);
  }
  for (const auto& field : internal::kPoolNumbers) {
    page.Begin(field.metric, field.help);
    for (const LabelledPool& pool : labelled) page.Add(pool.label, pool.stats->*field.member);
  }
  AddBacked<NodeStats>(internal::kNodeBacked, labelled, &page);
  AddNumbers<NodeStats>(internal::kNodeNumbers, labelled, &page);
  AddNumbers<ClassStats>(internal::kClassNumbers, labelled, &page);
  AddBacked<ClassStats>(internal::kClassBacked, labelled, &page);
  return page.text();
}

std::string PoolStats::ToPrometheus() const { return ToPrometheus(std::span(this, 1)); }

}  // namespace hugepool
