#include "rocksdb_adapter/allocator_options.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <utility>

namespace hugepool::rocksdb {
namespace {

using ::rocksdb::ConfigOptions;
using ::rocksdb::OptionTypeInfo;
using ::rocksdb::Status;

std::string BlockBytesText(const AllocatorOptions& options) {
  std::string text;
  for (const size_t bytes : options.block_bytes) text += (text.empty() ? "" : ":") + FormatBytes(bytes);
  return text;
}

bool SetBlockBytes(std::string_view text, AllocatorOptions* options, Error* error) {
  std::vector<size_t> sizes;
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t end = std::min(text.find(':', begin), text.size());
    const auto bytes = ParseBytes(text.substr(begin, end - begin), error);
    if (!bytes) return false;
    sizes.push_back(*bytes);
    begin = end + 1;
  }
  options->block_bytes = std::move(sizes);
  return true;
}

bool SetInterval(std::string_view text, AllocatorOptions* options, Error* error) {
  uint32_t seconds = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (status == std::errc() && end == text.data() + text.size()) {
    options->watch_interval_seconds = seconds;
    return true;
  }
  *error = Error{.code = ErrorCode::kInvalidArgument,
                 .operation = "AllocatorOptions",
                 .message = "'" + std::string(text) + "' is no whole number",
                 .mend = "Allowed: 1 to 3600."};
  return false;
}

template <std::string AllocatorOptions::*kField>
bool SetText(std::string_view text, AllocatorOptions* options, Error*) {
  options->*kField = std::string(text);
  return true;
}
template <std::string AllocatorOptions::*kField>
std::string TextOf(const AllocatorOptions& options) {
  return options.*kField;
}

// What an allocator has beside its pool's options.
struct OwnField {
  std::string_view name;
  bool (*set)(std::string_view text, AllocatorOptions* options, Error* error);
  std::string (*text)(const AllocatorOptions& options);
};
constexpr OwnField kOwnFields[] = {
    {"block_bytes", SetBlockBytes, BlockBytesText},
    {"record_sizes", SetText<&AllocatorOptions::record_sizes>, TextOf<&AllocatorOptions::record_sizes>},
    {"stats_file", SetText<&AllocatorOptions::stats_file>, TextOf<&AllocatorOptions::stats_file>},
    {"watch_interval_seconds", SetInterval,
     [](const AllocatorOptions& options) { return std::to_string(options.watch_interval_seconds); }},
};

const OwnField* Find(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kOwnFields), std::end(kOwnFields),
                                         [&](const OwnField& field) { return field.name == name; });
  return found == std::end(kOwnFields) ? nullptr : found;
}

Status Parse(const ConfigOptions&, const std::string& name, const std::string& value, void* address) {
  auto* const options = static_cast<AllocatorOptions*>(address);
  const OwnField* const own = Find(name);
  Error error;
  if (own == nullptr) return options->Set(name, value, &error) ? Status::OK() : ToStatus(error);
  if (own->set(value, options, &error)) return Status::OK();
  error.message = name + ": " + error.message;
  return ToStatus(error);
}

Status Serialize(const ConfigOptions&, const std::string& name, const void* address, std::string* value) {
  const auto* const options = static_cast<const AllocatorOptions*>(address);
  const OwnField* const own = Find(name);
  *value = own == nullptr ? options->Get(name) : own->text(*options);
  return Status::OK();
}

// Two allocators are never equivalent to RocksDB, whatever their options: each has an id of its own. So nobody compares options.
OptionTypeInfo TypeOf() {
  return OptionTypeInfo(0, ::rocksdb::OptionType::kUnknown, ::rocksdb::OptionVerificationType::kNormal,
                        ::rocksdb::OptionTypeFlags::kNone, Parse, Serialize, nullptr);
}

}  // namespace

const std::unordered_map<std::string, OptionTypeInfo>& AllocatorOptionTypes() {
  // Never destroyed: static destructors of a program may still close databases.
  static const auto* const types = [] {
    auto* const made = new std::unordered_map<std::string, OptionTypeInfo>;
    for (const std::string_view name : PoolOptions::Names()) made->emplace(name, TypeOf());
    for (const OwnField& own : kOwnFields) made->emplace(own.name, TypeOf());
    return made;
  }();
  return *types;
}

std::string AllocatorOptionNames() {
  std::string names;
  for (const std::string_view name : PoolOptions::Names()) names += std::string(name) + ", ";
  for (const OwnField& own : kOwnFields)
    names += std::string(own.name) + (&own == std::end(kOwnFields) - 1 ? "" : ", ");
  return names;
}

Status ToStatus(const Error& error) {
  switch (error.code) {
    case ErrorCode::kOk: break;  // nobody asks
    case ErrorCode::kInvalidArgument: return Status::InvalidArgument(error.ToString());
    case ErrorCode::kNoHugePages:
    case ErrorCode::kNoMemory:
    case ErrorCode::kNoAddressSpace: return Status::MemoryLimit(error.ToString());
    // Not NotSupported, which ConfigOptions::ignore_unsupported_options makes an OK without an allocator.
    case ErrorCode::kUnsupportedKernel:
    case ErrorCode::kSystem: return Status::IOError(error.ToString());
  }
  return Status::Aborted(error.ToString());
}

}  // namespace hugepool::rocksdb
