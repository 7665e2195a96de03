#include "hugepool/pool_options.h"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace hugepool {
namespace {

std::string_view TrimSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool Refuse(Error* error, std::string message, std::string mend) {
  if (error != nullptr) {
    *error = Error{};
    error->code = ErrorCode::kInvalidArgument;
    error->operation = "PoolOptions::Parse";
    error->message = std::move(message);
    error->mend = std::move(mend);
  }
  return false;
}

template <typename Value, size_t kCount>
bool ParseWord(std::string_view name, std::string_view text,
               const std::array<std::pair<std::string_view, Value>, kCount>& words, Value* value, Error* error) {
  std::string allowed;
  for (const auto& [word, meaning] : words) {
    if (text == word) {
      *value = meaning;
      return true;
    }
    allowed += (allowed.empty() ? "" : ", ") + std::string(word);
  }
  return Refuse(error, std::string(name) + " = '" + std::string(text) + "' is not known", "Allowed: " + allowed + ".");
}

bool ParsePlacement(std::string_view text, Placement* placement, Error* error) {
  if (text.starts_with("node(") && text.ends_with(")")) {
    const std::string_view digits = text.substr(5, text.size() - 6);
    int node_id = -1;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), node_id);
    if (status == std::errc() && end == digits.data() + digits.size() && node_id >= 0) {
      *placement = Placement::Node(node_id);
      return true;
    }
  }
  constexpr std::array<std::pair<std::string_view, Placement>, 3> kWords = {{
      {"local", Placement::Local()},
      {"local_strict", Placement::LocalStrict()},
      {"interleave", Placement::Interleave()},
  }};
  for (const auto& [word, meaning] : kWords) {
    if (text == word) {
      *placement = meaning;
      return true;
    }
  }
  return Refuse(error, "placement = '" + std::string(text) + "' is not known",
                "Allowed: local, local_strict, interleave, node(N) with the kernel's node number N.");
}

bool ParseSize(std::string_view name, std::string_view text, size_t* value, Error* error) {
  Error inner;
  const std::optional<uint64_t> bytes = ParseBytes(text, &inner);
  if (!bytes) return Refuse(error, std::string(name) + ": " + inner.message, inner.mend);
  *value = *bytes;
  return true;
}

bool ParseSeconds(std::string_view name, std::string_view text, uint32_t* seconds, Error* error) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), *seconds);
  if (status == std::errc() && end == text.data() + text.size()) return true;
  return Refuse(error, std::string(name) + " = '" + std::string(text) + "' is no whole number", "Allowed: 0 to 3600.");
}

bool ParseOption(std::string_view name, std::string_view value, PoolOptions* options, Error* error) {
  if (name == "capacity") return ParseSize(name, value, &options->capacity_bytes, error);
  if (name == "cache_bytes_per_cpu") return ParseSize(name, value, &options->cache_bytes_per_cpu, error);
  if (name == "placement") return ParsePlacement(value, &options->placement, error);
  if (name == "huge_pages") {
    constexpr std::array<std::pair<std::string_view, HugePages>, 4> kWords = {{
        {"required", HugePages::kRequired},
        {"preferred", HugePages::kPreferred},
        {"transparent", HugePages::kTransparent},
        {"off", HugePages::kOff},
    }};
    return ParseWord(name, value, kWords, &options->huge_pages, error);
  }
  if (name == "cpu_cache") {
    constexpr std::array<std::pair<std::string_view, CpuCacheMode>, 4> kWords = {{
        {"auto", CpuCacheMode::kAuto},
        {"rseq", CpuCacheMode::kRseq},
        {"locked", CpuCacheMode::kLocked},
        {"off", CpuCacheMode::kOff},
    }};
    return ParseWord(name, value, kWords, &options->cpu_cache, error);
  }
  if (name == "page") {
    size_t bytes = 0;
    if (!ParseSize(name, value, &bytes, error)) return false;
    if (bytes != kHugePageBytes && bytes != kGiantPageBytes) {
      return Refuse(error, "page = '" + std::string(value) + "' is no size of a pool's pages", "Allowed: 2M, 1G.");
    }
    options->page_bytes = bytes;
    return true;
  }
  if (name == "learn_size_classes") {
    constexpr std::array<std::pair<std::string_view, bool>, 2> kWords = {{{"on", true}, {"off", false}}};
    return ParseWord(name, value, kWords, &options->learn_size_classes, error);
  }
  if (name == "populate_at_start") {
    constexpr std::array<std::pair<std::string_view, PopulateAtStart>, 2> kWords = {{
        {"none", PopulateAtStart::kNone},
        {"all", PopulateAtStart::kAll},
    }};
    return ParseWord(name, value, kWords, &options->populate_at_start, error);
  }
  if (name == "wait_for_huge_pages_seconds") {
    return ParseSeconds(name, value, &options->wait_for_huge_pages_seconds, error);
  }
  if (name == "decay_seconds") return ParseSeconds(name, value, &options->decay_seconds, error);
  if (name == "name") {
    options->name = std::string(value);
    return true;
  }
  return Refuse(error, "option '" + std::string(name) + "' is not known",
                "Allowed: capacity, huge_pages, page, placement, populate_at_start, wait_for_huge_pages_seconds, "
                "decay_seconds, cpu_cache, cache_bytes_per_cpu, learn_size_classes, name.");
}

}  // namespace

std::optional<PoolOptions> PoolOptions::Parse(std::string_view text, Error* error) {
  PoolOptions options;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view entry = TrimSpace(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (entry.empty()) continue;
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) {
      Refuse(error, "'" + std::string(entry) + "' has no '='", "Write name=value, separated by ';'.");
      return std::nullopt;
    }
    const std::string_view name = TrimSpace(entry.substr(0, equals));
    const std::string_view value = TrimSpace(entry.substr(equals + 1));
    if (!ParseOption(name, value, &options, error)) return std::nullopt;
  }
  return options;
}

std::string PoolOptions::ToString() const {
  std::string text = "capacity=" + FormatBytes(capacity_bytes);
  text += std::string("; huge_pages=") + hugepool::ToString(huge_pages);
  text += "; page=" + FormatBytes(page_bytes);
  text += "; placement=" + hugepool::ToString(placement);
  text += std::string("; populate_at_start=") + (populate_at_start == PopulateAtStart::kAll ? "all" : "none");
  text += "; wait_for_huge_pages_seconds=" + std::to_string(wait_for_huge_pages_seconds);
  text += "; decay_seconds=" + std::to_string(decay_seconds);
  text += std::string("; cpu_cache=") + hugepool::ToString(cpu_cache);
  text += "; cache_bytes_per_cpu=" + FormatBytes(cache_bytes_per_cpu);
  text += std::string("; learn_size_classes=") + (learn_size_classes ? "on" : "off");
  text += "; name=" + name;
  return text;
}

std::optional<uint64_t> ParseBytes(std::string_view text, Error* error) {
  const std::string_view trimmed = TrimSpace(text);
  uint64_t value = 0;
  const auto [end, status] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  std::string_view unit = TrimSpace(trimmed.substr(static_cast<size_t>(end - trimmed.data())));
  const auto refuse = [&] {
    Refuse(error, "'" + std::string(text) + "' is no size",
           "Write a whole number, then nothing or one of K, M, G, T (powers of 1,024): 64M, 8G; less than 16 EiB.");
    return std::nullopt;
  };
  if (status != std::errc()) return refuse();
  unsigned shift = 0;
  if (!unit.empty()) {
    const char letter = static_cast<char>(unit.front() & ~0x20);
    if (letter == 'K') shift = 10;
    if (letter == 'M') shift = 20;
    if (letter == 'G') shift = 30;
    if (letter == 'T') shift = 40;
    if (letter == 'B' && unit.size() == 1) unit = {};
    if (!unit.empty() && shift == 0) return refuse();
    const std::string_view rest = unit.empty() ? unit : unit.substr(1);
    if (!rest.empty() && rest != "B" && rest != "iB" && rest != "b" && rest != "ib") return refuse();
  }
  if (value > std::numeric_limits<uint64_t>::max() >> shift) return refuse();
  return value << shift;
}

std::string ToString(const Placement& placement) {
  switch (placement.policy) {
    case Placement::Policy::kLocal: return "local";
    case Placement::Policy::kLocalStrict: return "local_strict";
    case Placement::Policy::kInterleave: return "interleave";
    case Placement::Policy::kNode: return "node(" + std::to_string(placement.node_id) + ")";
  }
  return "?";
}

}  // namespace hugepool
