#include "hugepool/pressure_watch.h"

#include "pool/pressure_core.h"

namespace hugepool {

PressureWatch::PressureWatch(std::unique_ptr<internal::PressureCore> core) : core_(std::move(core)) {}
PressureWatch::~PressureWatch() = default;

std::unique_ptr<PressureWatch> PressureWatch::Start(std::shared_ptr<Pool> pool, const PressureOptions& options,
                                                    Error* error) {
  return internal::StartPressureWatch(std::move(pool), options, internal::SystemWatch(), internal::SystemFiles(),
                                      error);
}

int PressureWatch::fd() const noexcept { return core_->fd(); }
bool PressureWatch::HandleEvent() noexcept { return core_->HandleEvent(); }
bool PressureWatch::watching() const noexcept { return core_->watching(); }
const PressureOptions& PressureWatch::options() const noexcept { return core_->options(); }

namespace internal {

// The one place that builds a PressureWatch from parts; a struct so that it needs a single friend for it.
struct PressureWatchBuilder {
  static std::unique_ptr<PressureWatch> Build(std::unique_ptr<PressureCore> core) {
    return std::unique_ptr<PressureWatch>(new PressureWatch(std::move(core)));
  }
};

std::unique_ptr<PressureWatch> StartPressureWatch(std::shared_ptr<Pool> pool, const PressureOptions& options,
                                                  OsWatch& os, const SystemFiles& files, Error* error) {
  Error ignored;
  std::unique_ptr<PressureCore> core =
      PressureCore::Start(std::move(pool), options, os, files, error == nullptr ? &ignored : error);
  return core == nullptr ? nullptr : PressureWatchBuilder::Build(std::move(core));
}

}  // namespace internal
}  // namespace hugepool
