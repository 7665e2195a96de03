#include "bench/database.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench/process_memory.h"
#include "bench/record_source.h"

namespace hugepool::bench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kFormat = 1;  // of keys, values and marker
constexpr uint64_t kFileBytes = uint64_t{64} << 20;
constexpr const char* kMarkerName = "KV_BENCH.json";
constexpr const char* kLoadFolder = "kv_bench_load";
constexpr const char* kCheckpointFolder = "kv_bench_checkpoints";

json ToJson(const DatabaseFacts& facts, bool complete) {
  return {{"format", kFormat},
          {"complete", complete},
          {"records", facts.shape.record_count},
          {"value_bytes", facts.shape.value_bytes},
          {"block_bytes", facts.shape.block_bytes},
          {"seed", facts.shape.seed},
          {"compression", facts.shape.compression},
          {"block_count", facts.block_count},
          {"file_bytes", facts.file_bytes}};
}

bool WriteMarker(const fs::path& dir, const DatabaseFacts& facts, bool complete) {
  std::ofstream file(dir / kMarkerName, std::ios::trunc);
  file << ToJson(facts, complete).dump(2) << '\n';
  file.close();
  return file.good();
}

struct Marker {
  DatabaseFacts facts;
  bool complete = false;
};

// Nothing where there is no marker or it cannot be understood.
std::optional<Marker> ReadMarker(const fs::path& dir) {
  const json text = json::parse(ReadTextFile((dir / kMarkerName).string()), nullptr, /*allow_exceptions=*/false);
  if (!text.is_object() || text.value("format", 0) != kFormat) return std::nullopt;
  for (const char* name : {"records", "value_bytes", "block_bytes", "seed", "block_count", "file_bytes"}) {
    if (!text.contains(name) || !text[name].is_number_unsigned()) return std::nullopt;
  }
  if (!text.contains("compression") || !text["compression"].is_string()) return std::nullopt;
  if (!text.contains("complete") || !text["complete"].is_boolean()) return std::nullopt;
  Marker marker;
  marker.complete = text["complete"];
  marker.facts.shape = {.record_count = text["records"],
                        .value_bytes = text["value_bytes"],
                        .block_bytes = text["block_bytes"],
                        .seed = text["seed"],
                        .compression = text["compression"]};
  marker.facts.block_count = text["block_count"];
  marker.facts.file_bytes = text["file_bytes"];
  return marker;
}

::rocksdb::CompressionType CompressionOf(const std::string& name) {
  if (name == "lz4") return ::rocksdb::kLZ4Compression;
  if (name == "snappy") return ::rocksdb::kSnappyCompression;
  if (name == "zlib") return ::rocksdb::kZlibCompression;
  if (name == "zstd") return ::rocksdb::kZSTD;
  return ::rocksdb::kNoCompression;
}

::rocksdb::Options RocksOptions(const DatabaseShape& shape, std::shared_ptr<::rocksdb::Cache> cache) {
  ::rocksdb::BlockBasedTableOptions table;
  table.block_size = shape.block_bytes;
  if (cache != nullptr) {
    table.block_cache = std::move(cache);
  } else {
    table.no_block_cache = true;
  }
  ::rocksdb::Options options;
  options.compression = CompressionOf(shape.compression);
  options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// The named options that differ from what the directory holds, as one sentence; "" when none does.
std::string Difference(const std::string& path, const DatabaseShape& asked, const DatabaseShape& held,
                       const std::vector<std::string>& named) {
  const std::tuple<const char*, std::string, std::string> values[] = {
      {"--records", fmt::to_string(asked.record_count), fmt::to_string(held.record_count)},
      {"--value_bytes", fmt::to_string(asked.value_bytes), fmt::to_string(held.value_bytes)},
      {"--block_bytes", fmt::to_string(asked.block_bytes), fmt::to_string(held.block_bytes)},
      {"--seed", fmt::to_string(asked.seed), fmt::to_string(held.seed)},
      {"--compression", asked.compression, held.compression}};
  for (const auto& [option, asked_value, held_value] : values) {
    const bool is_named = std::find(named.begin(), named.end(), option) != named.end();
    if (is_named && asked_value != held_value) {
      return fmt::format(
          "--db={} holds a database made with {}={}, not {}. Leave {} out, or name another directory for the new one",
          path, option, held_value, asked_value, option);
    }
  }
  return "";
}

std::string Explain(const std::string& path, const ::rocksdb::Status& status) {
  if (status.IsNoSpace()) {
    return fmt::format("--db={}: the disk is full ({}). Free some space or name a directory on a larger disk", path,
                       status.ToString());
  }
  return fmt::format("--db={}: {}", path, status.ToString());
}

// Writes records [begin, end) to a table file of their own.
::rocksdb::Status WriteTable(const ::rocksdb::Options& options, const RecordSource& source, uint64_t begin,
                             uint64_t end, const std::string& file) {
  ::rocksdb::SstFileWriter writer(::rocksdb::EnvOptions(), options);
  ::rocksdb::Status status = writer.Open(file);
  std::string value;
  for (uint64_t i = begin; i < end && status.ok(); ++i) {
    source.MakeValue(i, 0, &value);
    const Key key = source.MakeKey(i);
    status = writer.Put({key.bytes, kKeyBytes}, value);
  }
  return status.ok() ? writer.Finish() : status;
}

// Everything between an empty directory with an unfinished marker and a whole database without one.
std::string Load(const std::string& path, const DatabaseShape& shape, const std::function<bool()>& stopped) {
  const RecordSource source(shape.seed, shape.value_bytes);
  ::rocksdb::Options options = RocksOptions(shape, nullptr);
  options.create_if_missing = true;
  ::rocksdb::DB* opened = nullptr;
  ::rocksdb::Status status = ::rocksdb::DB::Open(options, path, &opened);
  if (!status.ok()) return Explain(path, status);
  const std::unique_ptr<::rocksdb::DB> db(opened);

  const fs::path folder = fs::path(path) / kLoadFolder;
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  const uint64_t per_file = std::max<uint64_t>(1, kFileBytes / (kKeyBytes + shape.value_bytes));
  const bool tty = isatty(STDERR_FILENO) != 0;
  for (uint64_t begin = 0; begin < shape.record_count; begin += per_file) {
    if (stopped()) return "interrupted while the database was being made; the next start makes it anew";
    const uint64_t end = std::min(shape.record_count, begin + per_file);
    const std::string file = (folder / fmt::format("{}.sst", begin)).string();
    status = WriteTable(options, source, begin, end, file);
    if (status.ok()) {
      ::rocksdb::IngestExternalFileOptions ingest;
      ingest.move_files = true;
      status = db->IngestExternalFile({file}, ingest);
    }
    if (!status.ok()) return Explain(path, status);
    if (tty) fmt::print(stderr, "\rmaking the database: {} %", end * 100 / shape.record_count);
  }
  if (tty) fmt::print(stderr, "\n");
  fs::remove_all(folder, ignored);
  status = db->Close();
  return status.ok() ? "" : Explain(path, status);
}

// What the finished files say about themselves.
std::optional<DatabaseFacts> Measure(const std::string& path, const DatabaseShape& shape, std::string* problem) {
  const auto db = OpenDatabase(path, shape, Access::kRead, nullptr, problem);
  if (db == nullptr) return std::nullopt;
  ::rocksdb::TablePropertiesCollection tables;
  const ::rocksdb::Status status = db->GetPropertiesOfAllTables(&tables);
  if (!status.ok()) {
    *problem = Explain(path, status);
    return std::nullopt;
  }
  DatabaseFacts facts{.shape = shape};
  uint64_t entry_count = 0;
  for (const auto& [file, properties] : tables) {
    facts.block_count += properties->num_data_blocks;
    facts.file_bytes += properties->data_size + properties->index_size;
    entry_count += properties->num_entries;
  }
  if (entry_count != shape.record_count) {
    *problem = fmt::format("--db={}: holds {} records, its marker says {}. Remove the directory, and it is made anew",
                           path, entry_count, shape.record_count);
    return std::nullopt;
  }
  return facts;
}

std::optional<DatabaseFacts> Make(const std::string& path, const DatabaseShape& shape,
                                  const std::function<bool()>& stopped, std::string* problem) {
  std::error_code error;
  fs::create_directories(path, error);
  const uint64_t needed_bytes = shape.DataBytesEstimate() * 102 / 100 + kFileBytes;
  const fs::space_info space = error ? fs::space_info{} : fs::space(path, error);
  if (error) {
    *problem =
        fmt::format("--db={}: cannot be made a directory ({}). Name one that may be written", path, error.message());
    return std::nullopt;
  }
  if (space.available < needed_bytes) {
    *problem = fmt::format("--db={}: needs {} of disk, {} are free there. Use fewer --records or a larger disk", path,
                           FormatBytes(needed_bytes), FormatBytes(space.available));
    return std::nullopt;
  }
  if (!WriteMarker(path, {.shape = shape}, false)) {
    *problem = fmt::format("--db={}: cannot be written. Name a directory that may be, with free space", path);
    return std::nullopt;
  }
  fmt::print(stderr, "making a database of {} records ({}) in {}\n", shape.record_count,
             FormatBytes(shape.DataBytesEstimate() >> 20 << 20), path);
  *problem = Load(path, shape, stopped);
  if (!problem->empty()) return std::nullopt;
  const auto facts = Measure(path, shape, problem);
  if (!facts) return std::nullopt;
  if (!WriteMarker(path, *facts, true)) {
    *problem = fmt::format("--db={}: the marker cannot be written. Free some space", path);
    return std::nullopt;
  }
  return facts;
}

}  // namespace

std::unique_ptr<::rocksdb::DB> OpenDatabase(const std::string& path, const DatabaseShape& shape, Access access,
                                            std::shared_ptr<::rocksdb::Cache> cache, std::string* problem) {
  const ::rocksdb::Options options = RocksOptions(shape, std::move(cache));
  ::rocksdb::DB* opened = nullptr;
  const ::rocksdb::Status status = access == Access::kWrite ? ::rocksdb::DB::Open(options, path, &opened)
                                                            : ::rocksdb::DB::OpenForReadOnly(options, path, &opened);
  if (!status.ok()) {
    *problem = Explain(path, status) + ". Remove the directory, and it is made anew";
    return nullptr;
  }
  return std::unique_ptr<::rocksdb::DB>(opened);
}

std::string MakeCheckpoint(const std::string& path, const DatabaseShape& shape, const std::string& name,
                           std::string* problem) {
  RemoveCheckpoint(path, name);
  const fs::path folder = fs::path(path) / kCheckpointFolder;
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  const auto db = OpenDatabase(path, shape, Access::kWrite, nullptr, problem);
  if (db == nullptr) return "";
  ::rocksdb::Checkpoint* made = nullptr;
  ::rocksdb::Status status = ::rocksdb::Checkpoint::Create(db.get(), &made);
  const std::unique_ptr<::rocksdb::Checkpoint> checkpoint(made);
  const std::string checkpoint_path = (folder / name).string();
  if (status.ok()) status = checkpoint->CreateCheckpoint(checkpoint_path);
  if (status.ok()) return checkpoint_path;
  *problem = Explain(path, status);
  return "";
}

void RemoveCheckpoint(const std::string& path, const std::string& name) {
  std::error_code ignored;
  fs::remove_all(fs::path(path) / kCheckpointFolder / name, ignored);
}

void RemoveCheckpoints(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(fs::path(path) / kCheckpointFolder, ignored);
}

std::optional<DatabaseFacts> PrepareDatabase(const std::string& path, const DatabaseShape& shape,
                                             const std::vector<std::string>& named,
                                             const std::function<bool()>& stopped, std::string* problem) {
  std::error_code error;
  const fs::file_status state = fs::status(path, error);
  if (!fs::exists(state)) return Make(path, shape, stopped, problem);
  if (!fs::is_directory(state)) {
    *problem = fmt::format("--db={}: is not a directory. Name an empty or a new one", path);
    return std::nullopt;
  }
  const bool is_empty = fs::is_empty(path, error);
  if (error) {
    *problem = fmt::format("--db={}: {}. Name a directory that may be read", path, error.message());
    return std::nullopt;
  }
  if (is_empty) return Make(path, shape, stopped, problem);
  const auto marker = ReadMarker(path);
  if (!marker) {
    *problem = fmt::format(
        "--db={}: holds files, but no readable {}: kv_bench did not make it. Name an empty or a new directory", path,
        kMarkerName);
    return std::nullopt;
  }
  if (!marker->complete) {
    // Ours, cut short: RocksDB's own files go, and the load's, and nothing else.
    ::rocksdb::DestroyDB(path, ::rocksdb::Options()).PermitUncheckedError();
    fs::remove_all(fs::path(path) / kLoadFolder, error);
    return Make(path, shape, stopped, problem);
  }
  *problem = Difference(path, shape, marker->facts.shape, named);
  if (!problem->empty()) return std::nullopt;
  return Measure(path, marker->facts.shape, problem);
}

void WarmPageCache(const std::string& path, uint64_t limit_bytes, const std::function<bool()>& stopped) {
  std::vector<char> part(size_t{1} << 20);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() != ".sst") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    while (limit_bytes != 0 && !stopped()) {
      file.read(part.data(), static_cast<std::streamsize>(std::min<uint64_t>(part.size(), limit_bytes)));
      if (file.gcount() <= 0) break;
      limit_bytes -= static_cast<uint64_t>(file.gcount());
    }
  }
}

}  // namespace hugepool::bench
