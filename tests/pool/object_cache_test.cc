// ObjectCache: objects are made and destroyed in place, and whatever happens their blocks come back.
#include "hugepool/object_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "pool/four_nodes.h"
#include "pool/lively.h"
#include "pool/plain_user.h"
#include "pool/soak.h"
#include "slab/size_classes.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

static_assert(kMaxObjectBytes == internal::kMaxSlabBytes);

class ObjectCaches : public ::testing::Test {
 protected:
  ~ObjectCaches() override {
    EXPECT_EQ(pool_->Stats().allocated_bytes, 0u);
    EXPECT_EQ(Complaint(*pool_), "");
    EXPECT_EQ(pool_.use_count(), 1) << "a cache or an object still shares the pool";
    pool_.reset();
    EXPECT_THAT(os_.complaints(), IsEmpty());
  }

  static PoolOptions Options() {
    PoolOptions options;
    options.capacity_bytes = 32 * kMiB;
    return options;
  }

  template <typename T>
  ObjectCache<T> Make() {
    Error error;
    auto cache = ObjectCache<T>::Create(pool_, &error);
    EXPECT_TRUE(cache) << error.ToString();
    return *std::move(cache);
  }

  template <typename T>
  void FillWhileStamped() {
    auto cache = Make<T>();
    EXPECT_GE(cache.footprint_bytes(), sizeof(T));
    EXPECT_EQ(&cache.pool(), pool_.get());
    std::vector<T*> objects;
    for (uint64_t id = 1; T* object = cache.New(id); ++id) objects.push_back(object);
    EXPECT_GE(objects.size() * cache.footprint_bytes(), 30 * kMiB) << "of 32 MiB";
    EXPECT_EQ(T::alive_count, static_cast<int>(objects.size()));
    EXPECT_EQ(std::set<T*>(objects.begin(), objects.end()).size(), objects.size());
    size_t misaligned_count = 0;
    size_t damaged_count = 0;
    for (const T* object : objects) {
      misaligned_count += reinterpret_cast<uintptr_t>(object) % alignof(T) != 0;
      damaged_count += !object->IsIntact();
    }
    EXPECT_EQ(misaligned_count, 0u);
    EXPECT_EQ(damaged_count, 0u);
    EXPECT_EQ(pool_->Stats().allocated_count, objects.size());
    for (T* object : objects) cache.Delete(object);
    EXPECT_EQ(T::alive_count, 0);
    EXPECT_EQ(pool_->Stats().allocated_count, 0u);
  }

  SimulatedOs os_{EachNode(64, 2 * kGiB)};
  std::shared_ptr<Pool> pool_ = MakePool(Options(), os_, OneNode());
};

TEST_F(ObjectCaches, FillThePoolWithIntactAlignedObjectsOfEverySize) {
  FillWhileStamped<Lively<16>>();
  FillWhileStamped<Lively<24>>();
  FillWhileStamped<Lively<416>>();
  FillWhileStamped<Lively<192, 64>>();
  FillWhileStamped<Lively<1000, 128>>();
  FillWhileStamped<Lively<4160>>();
  FillWhileStamped<Lively<4096, 4096>>();
  FillWhileStamped<Lively<12'288, 4096>>();
  FillWhileStamped<Lively<36'864, 4096>>();  // the smallest class that is large enough is aligned to 128 B
  FillWhileStamped<Lively<kMaxObjectBytes>>();
  FillWhileStamped<Lively<kMaxObjectBytes, kMaxAlignmentBytes>>();
}

TEST_F(ObjectCaches, NewPassesItsArgumentsOn) {
  struct Pair {
    Pair(std::unique_ptr<int> taken, std::string& named) : owned(std::move(taken)), name(named) {}
    std::unique_ptr<int> owned;
    std::string& name;
  };
  auto cache = Make<Pair>();
  std::string name = "block";
  Pair* const pair = cache.New(std::make_unique<int>(7), name);
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(*pair->owned, 7);
  EXPECT_EQ(&pair->name, &name);
  cache.Delete(pair);
}

TEST_F(ObjectCaches, NewMakesAggregatesAndZeroesWithoutArguments) {
  struct Point {
    int x;
    int y;
  };
  auto cache = Make<Point>();
  Point* const point = cache.New(3, 4);
  ASSERT_NE(point, nullptr);
  EXPECT_EQ(point->x, 3);
  EXPECT_EQ(point->y, 4);
  cache.Delete(point);
  // The same block again, in which 3 and 4 stood.
  Point* const zero = cache.New();
  ASSERT_EQ(zero, point);
  EXPECT_EQ(zero->x, 0);
  EXPECT_EQ(zero->y, 0);
  cache.Delete(zero);
}

TEST_F(ObjectCaches, AThrowingConstructorGivesTheBlockBackAndItsExceptionPassesOn) {
  auto cache = Make<Lively<64>>();
  for (int i = 0; i < 1000; ++i) {
    try {
      (void)cache.New(1u, /*may_live=*/false);
      FAIL() << "the exception was swallowed";
    } catch (const Stillborn& stillborn) {
      ASSERT_STREQ(stillborn.what(), "told not to live");
    }
    EXPECT_THROW((void)cache.MakeUnique(1u, /*may_live=*/false), Stillborn);
  }
  EXPECT_EQ(Lively<64>::alive_count, 0);
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
}

TEST_F(ObjectCaches, NoConstructorRunsWhereMemoryIsRefused) {
  auto cache = Make<Lively<4160>>();
  std::vector<void*> blocks;
  for (const size_t bytes : {kMiB, uint64_t{4160}, uint64_t{16}}) {
    while (void* block = pool_->Allocate(bytes)) blocks.push_back(block);
  }
  EXPECT_EQ(cache.New(1u, /*may_live=*/false), nullptr);
  EXPECT_EQ(cache.MakeUnique(1u, /*may_live=*/false), nullptr);
  for (void* block : blocks) pool_->Deallocate(block);
}

TEST_F(ObjectCaches, DeleteTakesNull) {
  auto cache = Make<Lively<64>>();
  cache.Delete(nullptr);
  EXPECT_EQ(Lively<64>::alive_count, 0);
}

TEST_F(ObjectCaches, AUniquePointerDeletesAlsoAfterItsCacheWent) {
  using Cache = ObjectCache<Lively<64>>;
  static_assert(sizeof(Cache::UniquePtr) == 2 * sizeof(void*));
  auto cache = std::make_unique<Cache>(Make<Lively<64>>());
  Cache::UniquePtr held = cache->MakeUnique(5u);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->id(), 5u);
  Cache::UniquePtr other = cache->MakeUnique(6u);
  other = std::move(held);
  EXPECT_EQ(Lively<64>::alive_count, 1) << "6 was replaced by 5";
  cache.reset();
  EXPECT_TRUE(other->IsIntact());
  other.reset();
  EXPECT_EQ(Lively<64>::alive_count, 0);
  const Cache::UniquePtr empty;
  EXPECT_EQ(empty, nullptr);
}

TEST_F(ObjectCaches, CopiesServeTheSamePoolAndDeleteEachOthersObjects) {
  auto cache = Make<Lively<64>>();
  ObjectCache<Lively<64>> copy = cache;
  copy.Delete(cache.New(1u));
  cache.Delete(copy.New(2u));
  EXPECT_EQ(Lively<64>::alive_count, 0);
}

TEST_F(ObjectCaches, ObjectsMayBeDeletedByAnotherThread) {
  struct Message {
    uint64_t number;
    char bytes[120];
  };
  auto cache = Make<Message>();
  std::vector<Message*> sent;
  for (uint64_t i = 0; i < 5000; ++i) sent.push_back(cache.New(Message{i, {}}));
  std::thread([&cache, &sent] {
    SimulatedOs::SetCpu(3);
    for (uint64_t i = 0; i < sent.size(); ++i) {
      ASSERT_NE(sent[i], nullptr);
      ASSERT_EQ(sent[i]->number, i);
      cache.Delete(sent[i]);
    }
  }).join();
}

TEST_F(ObjectCaches, KeepTheirObjectsApartInARandomWalk) {
  using Object = Lively<200, 32>;
  auto cache = Make<Object>();
  std::mt19937_64 random(Seed());
  std::vector<Object*> live;
  uint64_t next_id = 1;
  for (int step = 0; step < 100'000; ++step) {
    if (live.empty() || random() % 100 < (step / 20'000 % 2 == 0 ? 60 : 40)) {
      Object* const object = cache.New(next_id++);
      ASSERT_NE(object, nullptr);
      live.push_back(object);
      continue;
    }
    std::swap(live[random() % live.size()], live.back());
    ASSERT_TRUE(live.back()->IsIntact()) << "object " << live.back()->id() << " after " << step << " steps";
    cache.Delete(live.back());
    live.pop_back();
    ASSERT_EQ(static_cast<size_t>(Object::alive_count), live.size());
  }
  for (Object* object : live) cache.Delete(object);
}

TEST_F(ObjectCaches, CreateNamesWhatIsMissing) {
  Error error;
  EXPECT_FALSE(ObjectCache<int>::Create(nullptr, &error));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.operation, "ObjectCache::Create");
  EXPECT_THAT(error.message, HasSubstr("pool is null"));
  EXPECT_FALSE(ObjectCache<int>::Create(nullptr, nullptr));
}

TEST_F(ObjectCaches, ServeProgramsWithoutExceptions) { EXPECT_EQ(PlainUserComplaint(pool_), ""); }

}  // namespace
}  // namespace hugepool::testing
