#include "hugepool/pool_watch.h"

#include <utility>

#include "pool/watch_core.h"

namespace hugepool {

PoolWatch::PoolWatch(std::unique_ptr<internal::WatchCore> core) : core_(std::move(core)) {}
PoolWatch::~PoolWatch() = default;

std::unique_ptr<PoolWatch> PoolWatch::Start(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, Error* error) {
  return internal::StartPoolWatch(std::move(pool), options, internal::SystemWatch(), error);
}

bool PoolWatch::LookNow(Error* error) {
  Error ignored;
  return core_->Look(error == nullptr ? &ignored : error);
}

const PoolWatchOptions& PoolWatch::options() const noexcept { return core_->options(); }

namespace internal {

// The one place that builds a PoolWatch from parts; a struct so that it needs a single friend for it.
struct PoolWatchBuilder {
  static std::unique_ptr<PoolWatch> Build(std::unique_ptr<WatchCore> core) {
    return std::unique_ptr<PoolWatch>(new PoolWatch(std::move(core)));
  }
};

std::unique_ptr<PoolWatch> StartPoolWatch(std::shared_ptr<Pool> pool, const PoolWatchOptions& options, OsWatch& os,
                                          Error* error) {
  Error ignored;
  std::unique_ptr<WatchCore> core = WatchCore::Start(std::move(pool), options, os, error == nullptr ? &ignored : error);
  return core == nullptr ? nullptr : PoolWatchBuilder::Build(std::move(core));
}

}  // namespace internal
}  // namespace hugepool
