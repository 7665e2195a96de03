#include "rocksdb_adapter/allocator_options.h"

#include <functional>
#include <string_view>
#include <utility>

namespace hugepool::rocksdb {
namespace {

using ::rocksdb::ConfigOptions;
using ::rocksdb::OptionTypeInfo;
using ::rocksdb::Status;

constexpr const char* kBlockBytes = "block_bytes";

std::string Get(const AllocatorOptions& options, std::string_view name) {
  if (name != kBlockBytes) return options.PoolOptions::Get(name);
  std::string text;
  for (const size_t bytes : options.block_bytes) text += (text.empty() ? "" : ":") + FormatBytes(bytes);
  return text;
}

bool SetBlockBytes(std::string_view text, AllocatorOptions* options, Error* error) {
  std::vector<size_t> sizes;
  while (!text.empty()) {
    const size_t end = text.find(':');
    Error inner;
    const auto bytes = ParseBytes(text.substr(0, end), &inner);
    if (!bytes) {
      inner.message = std::string(kBlockBytes) + ": " + inner.message;
      *error = std::move(inner);
      return false;
    }
    sizes.push_back(*bytes);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  options->block_bytes = std::move(sizes);
  return true;
}

Status Parse(const ConfigOptions&, const std::string& name, const std::string& value, void* address) {
  auto* const options = static_cast<AllocatorOptions*>(address);
  Error error;
  const bool is_set = name == kBlockBytes ? SetBlockBytes(value, options, &error) : options->Set(name, value, &error);
  return is_set ? Status::OK() : ToStatus(error);
}

Status Serialize(const ConfigOptions&, const std::string& name, const void* address, std::string* value) {
  *value = Get(*static_cast<const AllocatorOptions*>(address), name);
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
    auto* const made = new std::unordered_map<std::string, OptionTypeInfo>{{kBlockBytes, TypeOf()}};
    for (const std::string_view name : PoolOptions::Names()) made->emplace(name, TypeOf());
    return made;
  }();
  return *types;
}

std::string AllocatorOptionNames() {
  std::string names;
  for (const std::string_view name : PoolOptions::Names()) names += std::string(name) + ", ";
  return names + kBlockBytes;
}

Status ToStatus(const Error& error) {
  switch (error.code) {
    case ErrorCode::kOk: return Status::OK();
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
