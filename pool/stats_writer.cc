#include "hugepool/stats_writer.h"

#include <utility>

#include "pool/stats_core.h"

namespace hugepool {

StatsWriter::StatsWriter(std::unique_ptr<internal::StatsCore> core) : core_(std::move(core)) {}
StatsWriter::~StatsWriter() = default;

std::unique_ptr<StatsWriter> StatsWriter::Start(std::shared_ptr<Pool> pool, const StatsWriterOptions& options,
                                                Error* error) {
  return internal::StartStatsWriter(std::move(pool), options, internal::SystemWatch(), error);
}

bool StatsWriter::LookNow(Error* error) {
  Error ignored;
  return core_->Look(error == nullptr ? &ignored : error);
}

const StatsWriterOptions& StatsWriter::options() const noexcept { return core_->options(); }

namespace internal {

// The one place that builds a StatsWriter from parts; a struct so that it needs a single friend for it.
struct StatsWriterBuilder {
  static std::unique_ptr<StatsWriter> Build(std::unique_ptr<StatsCore> core) {
    return std::unique_ptr<StatsWriter>(new StatsWriter(std::move(core)));
  }
};

std::unique_ptr<StatsWriter> StartStatsWriter(std::shared_ptr<Pool> pool, const StatsWriterOptions& options,
                                              OsWatch& os, Error* error) {
  Error ignored;
  std::unique_ptr<StatsCore> core = StatsCore::Start(std::move(pool), options, os, error == nullptr ? &ignored : error);
  return core == nullptr ? nullptr : StatsWriterBuilder::Build(std::move(core));
}

}  // namespace internal
}  // namespace hugepool
