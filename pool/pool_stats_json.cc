// PoolStats::ToJson: the fields of pool_stats_fields.h, written by hand so that the library depends on no JSON library.
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hugepool/pool_stats.h"
#include "pool/pool_stats_fields.h"
#include "pool/valid_utf8.h"

namespace hugepool {
namespace {

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : internal::ValidUtf8(text)) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      quoted += "\\u00";
      quoted += {kDigits[static_cast<size_t>(c) >> 4], kDigits[static_cast<size_t>(c) & 15]};
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// One object, member by member.
class JsonObject {
 public:
  // `json` is a value as it is to stand.
  void Add(std::string_view name, std::string_view json) {
    if (text_.size() > 1) text_ += ',';
    text_.append(Quoted(name)).append(":").append(json);
  }
  template <typename Stats>
  void AddNumbers(std::span<const internal::NumberField<Stats>> fields, const Stats& stats) {
    for (const auto& field : fields) Add(field.name, std::to_string(stats.*field.member));
  }
  template <typename Stats>
  void AddBacked(std::span<const internal::BackedField<Stats>> fields, const Stats& stats) {
    for (const auto& field : fields) {
      JsonObject rungs;
      for (size_t i = 0; i < kBackingCount; ++i) {
        rungs.Add(ToString(static_cast<Backing>(i)), std::to_string((stats.*field.member)[i]));
      }
      Add(field.name, rungs.Text());
    }
  }
  std::string Text() const { return text_ + '}'; }

 private:
  std::string text_ = "{";
};

JsonObject ObjectOf(const NodeStats& node) {
  JsonObject object;
  object.Add("node_id", std::to_string(node.node_id));
  object.AddNumbers<NodeStats>(internal::kNodeNumbers, node);
  object.AddBacked<NodeStats>(internal::kNodeBacked, node);
  return object;
}

JsonObject ObjectOf(const ClassStats& size_class) {
  JsonObject object;
  object.Add("node_id", std::to_string(size_class.node_id));
  object.Add("object_bytes", std::to_string(size_class.object_bytes));
  object.AddNumbers<ClassStats>(internal::kClassNumbers, size_class);
  object.AddBacked<ClassStats>(internal::kClassBacked, size_class);
  return object;
}

template <typename Stats>
std::string ArrayOf(const std::vector<Stats>& entries) {
  std::string text = "[";
  for (const Stats& entry : entries) text += (text.size() > 1 ? "," : "") + ObjectOf(entry).Text();
  return text + "]";
}

}  // namespace

std::string PoolStats::ToJson() const {
  JsonObject object;
  object.Add("name", Quoted(name));
  object.Add("backing", Quoted(backing));
  object.Add("placement", Quoted(placement));
  object.Add("cache_mode", Quoted(cache_mode));
  object.AddNumbers<PoolStats>(internal::kPoolNumbers, *this);
  object.Add("nodes", ArrayOf(nodes));
  object.Add("classes", ArrayOf(classes));
  return object.Text();
}

}  // namespace hugepool
