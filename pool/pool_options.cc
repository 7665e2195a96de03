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

// The words of an option, and what each means.
template <typename Value, size_t kCount>
using Words = std::array<std::pair<std::string_view, Value>, kCount>;

template <typename Value, size_t kCount>
bool ParseWord(std::string_view name, std::string_view text, const Words<Value, kCount>& words, Value* value,
               Error* error) {
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
  constexpr Words<Placement, 3> kWords = {{
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
  uint32_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) {
    *seconds = value;
    return true;
  }
  return Refuse(error, std::string(name) + " = '" + std::string(text) + "' is no whole number", "Allowed: 0 to 3600.");
}

bool ParsePage(std::string_view name, std::string_view text, PoolOptions* options, Error* error) {
  size_t bytes = 0;
  if (!ParseSize(name, text, &bytes, error)) return false;
  if (bytes != kHugePageBytes && bytes != kGiantPageBytes) {
    return Refuse(error, "page = '" + std::string(text) + "' is no size of a pool's pages", "Allowed: 2M, 1G.");
  }
  options->page_bytes = bytes;
  return true;
}

constexpr Words<HugePages, 4> kHugePagesWords = {{
    {"required", HugePages::kRequired},
    {"preferred", HugePages::kPreferred},
    {"transparent", HugePages::kTransparent},
    {"off", HugePages::kOff},
}};
constexpr Words<PopulateAtStart, 2> kPopulateWords = {{
    {"none", PopulateAtStart::kNone},
    {"all", PopulateAtStart::kAll},
}};
constexpr Words<CpuCacheMode, 4> kCpuCacheWords = {{
    {"auto", CpuCacheMode::kAuto},
    {"rseq", CpuCacheMode::kRseq},
    {"locked", CpuCacheMode::kLocked},
    {"off", CpuCacheMode::kOff},
}};
constexpr Words<bool, 2> kOnOffWords = {{{"on", true}, {"off", false}}};

// One option by its name in texts.
struct Field {
  std::string_view name;
  bool (*set)(std::string_view name, std::string_view text, PoolOptions* options, Error* error);
  std::string (*text)(const PoolOptions& options);
};

template <auto kMember>
constexpr Field SizeField(std::string_view name) {
  return {name,
          [](std::string_view given, std::string_view text, PoolOptions* options, Error* error) {
            return ParseSize(given, text, &(options->*kMember), error);
          },
          [](const PoolOptions& options) { return FormatBytes(options.*kMember); }};
}

template <auto kMember>
constexpr Field SecondsField(std::string_view name) {
  return {name,
          [](std::string_view given, std::string_view text, PoolOptions* options, Error* error) {
            return ParseSeconds(given, text, &(options->*kMember), error);
          },
          [](const PoolOptions& options) { return std::to_string(options.*kMember); }};
}

template <auto kMember, const auto& kWords>
constexpr Field WordField(std::string_view name) {
  return {name,
          [](std::string_view given, std::string_view text, PoolOptions* options, Error* error) {
            return ParseWord(given, text, kWords, &(options->*kMember), error);
          },
          [](const PoolOptions& options) {
            for (const auto& [word, meaning] : kWords) {
              if (meaning == options.*kMember) return std::string(word);
            }
            return std::string("?");
          }};
}

// In the order in which they are written.
constexpr auto kFields = std::to_array<Field>({
    SizeField<&PoolOptions::capacity_bytes>("capacity"),
    WordField<&PoolOptions::huge_pages, kHugePagesWords>("huge_pages"),
    {"page", ParsePage, [](const PoolOptions& options) { return FormatBytes(options.page_bytes); }},
    {"placement",
     [](std::string_view, std::string_view text, PoolOptions* options, Error* error) {
       return ParsePlacement(text, &options->placement, error);
     },
     [](const PoolOptions& options) { return ToString(options.placement); }},
    WordField<&PoolOptions::populate_at_start, kPopulateWords>("populate_at_start"),
    SecondsField<&PoolOptions::wait_for_huge_pages_seconds>("wait_for_huge_pages_seconds"),
    SecondsField<&PoolOptions::decay_seconds>("decay_seconds"),
    WordField<&PoolOptions::cpu_cache, kCpuCacheWords>("cpu_cache"),
    SizeField<&PoolOptions::cache_bytes_per_cpu>("cache_bytes_per_cpu"),
    WordField<&PoolOptions::learn_size_classes, kOnOffWords>("learn_size_classes"),
    {"name",
     [](std::string_view, std::string_view text, PoolOptions* options, Error*) {
       options->name = std::string(text);
       return true;
     },
     [](const PoolOptions& options) { return options.name; }},
});

}  // namespace

std::vector<std::string_view> PoolOptions::Names() {
  std::vector<std::string_view> names;
  for (const Field& field : kFields) names.push_back(field.name);
  return names;
}

bool PoolOptions::Set(std::string_view option, std::string_view text, Error* error) {
  std::string allowed;
  for (const Field& field : kFields) {
    if (field.name == option) return field.set(option, TrimSpace(text), this, error);
    allowed += (allowed.empty() ? "" : ", ") + std::string(field.name);
  }
  return Refuse(error, "option '" + std::string(option) + "' is not known", "Allowed: " + allowed + ".");
}

std::string PoolOptions::Get(std::string_view option) const {
  for (const Field& field : kFields) {
    if (field.name == option) return field.text(*this);
  }
  return {};
}

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
    if (!options.Set(TrimSpace(entry.substr(0, equals)), entry.substr(equals + 1), error)) return std::nullopt;
  }
  return options;
}

std::string PoolOptions::ToString() const {
  std::string text;
  for (const Field& field : kFields) {
    text += (text.empty() ? "" : "; ") + std::string(field.name) + "=" + field.text(*this);
  }
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
