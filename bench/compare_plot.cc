#include "bench/compare_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hugepool::bench {
namespace {

constexpr double kPanelWidth = 580;
constexpr double kGap = 24;
constexpr double kNameWidth = 160;
constexpr double kTextWidth = 90;  // behind the bars
constexpr double kHeadHeight = 44;
constexpr double kLineHeight = 20;
constexpr double kLogFrom = 20;  // most ÷ least

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

// From a value to a length in pixels.
class Scale {
 public:
  explicit Scale(const std::vector<Line>& lines) {
    double least = lines.front().value.least;
    for (const Line& line : lines) {
      least = std::min(least, line.value.least);
      most_ = std::max(most_, line.value.most);
    }
    is_log_ = least > 0 && most_ / least > kLogFrom;
    origin_ = is_log_ ? least / 2 : 0;
  }
  double LengthOf(double value) const {
    const double width = kPanelWidth - kNameWidth - kTextWidth;
    if (most_ <= origin_) return 0;
    const double share = is_log_ ? std::log(value / origin_) / std::log(most_ / origin_) : value / most_;
    return std::clamp(share, 0.0, 1.0) * width;
  }
  bool is_log() const { return is_log_; }

 private:
  double most_ = 0;
  double origin_ = 0;
  bool is_log_ = false;
};

std::string DrawPanel(const std::string& title, const MeasureResult& result, double x, double y) {
  const Scale scale(result.lines);
  std::string svg = fmt::format(R"svg(<g transform="translate({:.0f},{:.0f})"><text class="title" y="16">{}</text>)svg",
                                x, y, Escaped(title));
  svg += fmt::format(R"(<text class="quiet" y="33">{}, {} is better{}</text>)", Escaped(result.measure->title),
                     result.measure->more_is_better ? "more" : "less", scale.is_log() ? ", logarithmic" : "");
  double top = kHeadHeight;
  for (const Line& line : result.lines) {
    const double middle = top + kLineHeight / 2;
    const double from = kNameWidth + scale.LengthOf(line.value.least);
    const double to = kNameWidth + scale.LengthOf(line.value.most);
    const std::string name = Escaped(line.runs->row->name);
    svg += fmt::format(R"(<text x="{:.0f}" y="{:.1f}" text-anchor="end">{}</text>)", kNameWidth - 6, middle + 4, name);
    svg += fmt::format(R"(<rect class="{}" x="{:.0f}" y="{:.1f}" width="{:.1f}" height="{:.0f}"/>)",
                       ToString(line.runs->row->kind), kNameWidth, top + 3, scale.LengthOf(line.value.median),
                       kLineHeight - 6);
    svg += fmt::format(R"(<path class="spread" d="M{:.1f} {:.1f}H{:.1f}"/>)", from, middle, to);
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)",
                       std::max(to, kNameWidth + scale.LengthOf(line.value.median)) + 6, middle + 4,
                       Escaped(result.measure->text(line.value.median)));
    top += kLineHeight;
  }
  return svg + "</g>\n";
}

double HeightOf(const MeasureResult& result) {
  return kHeadHeight + kLineHeight * static_cast<double>(result.lines.size()) + kGap;
}

// Light and dark, as the reader's system has it.
constexpr const char* kStyle = R"(<style>
text{font:12px system-ui,sans-serif;fill:#1b2026}.title{font-size:15px;font-weight:600}.quiet{fill:#5b6672}
.page{fill:#fff}.peer{fill:#8a97a6}.limit{fill:#d5dbe2}.hugepool{fill:#0b7a75}.spread{stroke:#1b2026;fill:none}
@media(prefers-color-scheme:dark){text{fill:#e6eaee}.quiet{fill:#9aa6b2}.page{fill:#12161b}.peer{fill:#6d7b8a}
.limit{fill:#3a4450}.hugepool{fill:#2cc1b8}.spread{stroke:#e6eaee}}
</style>
)";

}  // namespace

std::string DrawComparison(const CompareOutcome& outcome, const Machine& machine) {
  std::string panels;
  double y = kGap;
  double row_height = 0;
  bool is_left = true;
  for (const BenchmarkRuns& benchmark : outcome.benchmarks) {
    for (const MeasureResult& result : Compare(benchmark)) {
      panels += DrawPanel(benchmark.Title(), result, is_left ? kGap : kPanelWidth + 2 * kGap, y);
      row_height = std::max(row_height, HeightOf(result));
      if (!is_left) {
        y += row_height;
        row_height = 0;
      }
      is_left = !is_left;
    }
  }
  y += row_height + kGap;
  const double width = 2 * kPanelWidth + 3 * kGap;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "role=\"img\" aria-label=\"pool_bench: allocators side by side\">\n",
      width, y + kGap);
  svg += kStyle;
  svg += R"(<rect class="page" width="100%" height="100%"/>)" + std::string("\n") + panels;
  svg += fmt::format(R"(<text class="quiet" x="{:.0f}" y="{:.0f}">{}</text>)", kGap, y, Escaped(machine.ToText()));
  return svg + "\n</svg>\n";
}

}  // namespace hugepool::bench
