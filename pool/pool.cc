#include "hugepool/pool.h"

#include "pool/pool_core.h"

namespace hugepool {

using internal::PoolCore;

Pool::Pool(std::unique_ptr<PoolCore> core) : view_(core->view()), core_(std::move(core)) {}
Pool::~Pool() = default;

std::shared_ptr<Pool> Pool::Create(const PoolOptions& options, Error* error) {
  Error ignored;
  if (error == nullptr) error = &ignored;
  const std::optional<internal::Topology> topology = internal::Topology::Discover(error);
  if (!topology) return nullptr;
  return internal::CreatePool(options, internal::SystemMemory(), *topology, error);
}

void* Pool::AllocateSlow(size_t bytes) noexcept { return core_->Allocate(bytes, 1); }
void* Pool::Allocate(size_t bytes, size_t alignment_bytes) noexcept { return core_->Allocate(bytes, alignment_bytes); }
void Pool::DeallocateSlow(void* block) noexcept { core_->Deallocate(block); }
void Pool::DeallocateSlow(void* block, size_t bytes) noexcept { core_->Deallocate(block, bytes); }
size_t Pool::AllocateBatch(size_t bytes, void** blocks, size_t count) noexcept {
  return core_->AllocateBatch(bytes, blocks, count);
}
void Pool::DeallocateBatch(void* const* blocks, size_t count) noexcept { core_->DeallocateBatch(blocks, count); }
size_t Pool::AddSizeClass(size_t bytes, Error* error) noexcept {
  Error ignored;
  return core_->AddSizeClass(bytes, error == nullptr ? &ignored : error);
}
size_t Pool::UsableSize(const void* block) const noexcept { return core_->UsableSize(block); }
int Pool::NodeOf(const void* block) const noexcept { return core_->NodeOf(block); }
bool Pool::Owns(const void* block) const noexcept { return core_->Owns(block); }
size_t Pool::Trim(size_t target_bytes) noexcept { return core_->Trim(target_bytes); }

void Pool::Tend() noexcept { core_->Tend(); }
bool Pool::SetCapacity(size_t bytes, Error* error) noexcept {
  Error ignored;
  return core_->SetCapacity(bytes, error == nullptr ? &ignored : error);
}
PoolStats Pool::Stats() const { return core_->Stats(); }
const PoolOptions& Pool::options() const noexcept { return core_->options(); }
bool Pool::CheckInvariants(std::string* why) const { return core_->CheckInvariants(why); }

std::optional<PlacementReport> Pool::VerifyPlacement(Error* error) const {
  Error ignored;
  return core_->VerifyPlacement(error == nullptr ? &ignored : error);
}

namespace internal {

// The one place that builds a Pool from parts and knows them; a struct so that Pool needs a single friend for it.
struct PoolBuilder {
  static std::shared_ptr<Pool> Build(std::unique_ptr<PoolCore> core) {
    return std::shared_ptr<Pool>(new Pool(std::move(core)));
  }
  static PoolCore& CoreOf(const Pool& pool) { return *pool.core_; }
};

PoolCore& CoreOf(const Pool& pool) { return PoolBuilder::CoreOf(pool); }

std::shared_ptr<Pool> CreatePool(const PoolOptions& options, OsMemory& os, const Topology& topology, Error* error) {
  Error ignored;
  std::unique_ptr<PoolCore> core = PoolCore::Create(options, os, topology, error == nullptr ? &ignored : error);
  return core == nullptr ? nullptr : PoolBuilder::Build(std::move(core));
}

}  // namespace internal
}  // namespace hugepool
