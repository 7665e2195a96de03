// SlabBin and SlabSet: objects of one class against a model, empty slabs given back, misuse found.
#include "slab/slab_bin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "pool/arena/arenas.h"
#include "pool/soak.h"
#include "pool/stamp.h"
#include "slab/slab_set.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Arenas;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::HasStamp;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::kSanitized;
using ::hugepool::testing::OneNode;
using ::hugepool::testing::Seed;
using ::hugepool::testing::SimulatedOs;
using ::hugepool::testing::Stamp;
using ::testing::IsEmpty;

PoolOptions Options(size_t capacity_bytes) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  return options;
}

struct Slabs {
  explicit Slabs(size_t capacity_bytes)
      : os(EachNode(64, 1024 * kMiB)), arenas(os, Options(capacity_bytes), OneNode()) {
    Error error;
    set = SlabSet::Create(*arenas.set, arenas.metadata, &error);
    EXPECT_NE(set, nullptr) << error.ToString();
  }
  ~Slabs() { EXPECT_THAT(os.complaints(), IsEmpty()); }

  SlabBin& Bin(size_t bytes) { return set->bin(0, ClassFor(bytes)); }
  void* Allocate(size_t bytes) {
    void* object = nullptr;
    return Bin(bytes).Allocate(&object, 1) == 1 ? object : nullptr;
  }
  std::string Complaint() const {
    std::string why;
    return set->Check(&why) ? arenas.Complaint() : why;
  }

  SimulatedOs os;
  Arenas arenas;
  std::unique_ptr<SlabSet> set;
};

TEST(SlabBin, AgreesWithAModelAfterEveryStep) {
  std::mt19937_64 random(Seed());
  for (const size_t object_bytes : {16, 48, 256, 4160, 32768, 200000}) {
    Slabs slabs(32 * kMiB);
    SlabBin& bin = slabs.Bin(object_bytes);
    const size_t class_bytes = InfoOf(ClassFor(object_bytes)).object_bytes;
    std::map<char*, uint64_t> live;
    uint64_t next_id = 1;
    for (size_t step = 0; step < (kSanitized ? 200 : 400); ++step) {
      std::vector<void*> batch(1 + random() % 64);
      if (random() % 8 < (step % 200 < 100 ? 5U : 3U)) {
        const size_t got = bin.Allocate(batch.data(), batch.size());
        if (got == 0) {
          ASSERT_GT((live.size() + 1) * class_bytes, 24 * kMiB) << "refused with memory left";
        }
        for (size_t i = 0; i < got; ++i) {
          char* const object = static_cast<char*>(batch[i]);
          const auto above = live.upper_bound(object);
          if (above != live.end()) {
            ASSERT_LE(object + class_bytes, above->first);
          }
          if (above != live.begin()) {
            ASSERT_LE(std::prev(above)->first + class_bytes, object);
          }
          ASSERT_TRUE(slabs.os.IsPresent(object, class_bytes));
          Stamp(object, std::min<size_t>(class_bytes, 64), next_id << 21);
          live[object] = next_id++ << 21;
        }
      } else {
        batch.resize(std::min(batch.size(), live.size()));
        for (void*& object : batch) {
          auto any = live.lower_bound(live.empty() ? nullptr : live.begin()->first + random() % (16 * kMiB));
          if (any == live.end()) any = live.begin();
          ASSERT_TRUE(HasStamp(any->first, std::min<size_t>(class_bytes, 64), any->second));
          object = any->first;
          live.erase(any);
        }
        bin.Free(batch.data(), batch.size());
      }
      ASSERT_EQ(bin.used_count(), live.size());
      ASSERT_EQ(slabs.Complaint(), "") << "step " << step << ", objects of " << object_bytes;
    }
    for (const auto& [object, id] : live) {
      void* const last = object;
      bin.Free(&last, 1);
    }
    EXPECT_EQ(bin.ReleaseEmpty(), object_bytes <= kMaxTableBytes) << "of the large ones no empty slab is kept";
    EXPECT_EQ(slabs.arenas.Stats(0).used_bytes, 0u);
    EXPECT_EQ(slabs.Complaint(), "");
  }
}

TEST(SlabBin, KeepsOneEmptySlabAndGivesTheOthersBack) {
  Slabs slabs(32 * kMiB);
  SlabBin& bin = slabs.Bin(kMaxTableBytes);
  std::vector<void*> objects(512);
  for (void*& object : objects) ASSERT_EQ(bin.Allocate(&object, 1), 1u);
  EXPECT_LE(slabs.arenas.Stats(0).used_bytes, 18 * kMiB);
  EXPECT_GT(bin.slab_count(), 10u);
  bin.Free(objects.data(), objects.size());
  EXPECT_EQ(bin.slab_count(), 1u);
  EXPECT_EQ(slabs.arenas.Stats(0).used_bytes, 2 * kMiB);
  EXPECT_TRUE(bin.ReleaseEmpty());
  EXPECT_FALSE(bin.ReleaseEmpty());
  EXPECT_EQ(slabs.arenas.Stats(0).used_bytes, 0u);
}

// A filter of 200 KiB that came and went must not hold a slab of a megabyte.
TEST(SlabBin, KeepsNoEmptySlabOfLargeObjects) {
  Slabs slabs(32 * kMiB);
  for (size_t bytes = kMaxTableBytes + 1; bytes <= kMaxSlabBytes; bytes += 4096) {
    void* object = slabs.Allocate(bytes);
    ASSERT_NE(object, nullptr);
    slabs.Bin(bytes).Free(&object, 1);
  }
  EXPECT_EQ(slabs.arenas.Stats(0).used_bytes, 0u);
  EXPECT_EQ(slabs.Complaint(), "");
}

TEST(SlabBin, ALargeBinKeepsAFewMoreButNoMoreThanAPage) {
  Slabs slabs(48 * kMiB);
  SlabBin& bin = slabs.Bin(1024);
  std::vector<void*> objects(40 * kMiB / 1024);
  for (size_t got = 0; got < objects.size();) got += bin.Allocate(objects.data() + got, objects.size() - got);
  const size_t slab_count = bin.slab_count();
  ASSERT_GT(slab_count, 320u);
  bin.Free(objects.data(), objects.size() / 2);
  EXPECT_LE(slabs.arenas.Stats(0).used_bytes, 20 * kMiB + 2 * kHugePageBytes);
  bin.Free(objects.data() + objects.size() / 2, objects.size() / 2);
  EXPECT_EQ(bin.slab_count(), 1u);
}

// Four pages of one class, of which the first is nearly free, the second half free, and the others hold a few free ones.
class Draining : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 4096;
  static constexpr size_t kPerPage = kHugePageBytes / kBytes;

  Draining() : objects_(4 * kPerPage) {
    for (size_t got = 0; got < objects_.size();) got += bin_.Allocate(objects_.data() + got, objects_.size() - got);
    std::sort(objects_.begin(), objects_.end());
    for (size_t i = 0; i < objects_.size(); ++i) {
      const size_t page = i / kPerPage;
      const bool frees = page == 0 ? i % 16 != 0 : page == 1 ? i % 2 == 0 : i % 8 == 0;
      if (frees) Free(objects_[i]);
    }
    EXPECT_EQ(slabs_.Complaint(), "");
  }
  void Free(void*& object) {
    bin_.Free(&object, 1);
    object = nullptr;
  }
  // Every class keeps this many free objects for the caches.
  void StartDraining(size_t wanted_bytes, uint64_t kept_free_count = 0) {
    std::array<uint64_t, kMaxClassCount> kept_free_counts{};
    kept_free_counts.fill(kept_free_count);
    slabs_.set->StartDraining(wanted_bytes, kept_free_counts);
    EXPECT_EQ(slabs_.Complaint(), "");
  }
  uint64_t DrainingBytes() { return slabs_.arenas.Stats(0).draining_bytes; }
  size_t PageOf(const void* object) const {
    return static_cast<size_t>(static_cast<const char*>(object) - slabs_.arenas.set->WindowAddress(0)) / kHugePageBytes;
  }

  Slabs slabs_{32 * kMiB};
  SlabBin& bin_ = slabs_.Bin(kBytes);
  std::vector<void*> objects_;
};

TEST_F(Draining, TheEmptiestPageIsGivenBackAsItsObjectsAreFreed) {
  StartDraining(kHugePageBytes);
  EXPECT_EQ(DrainingBytes(), kHugePageBytes);
  EXPECT_TRUE(slabs_.set->Drains(ClassFor(kBytes)));
  const uint64_t committed_bytes = slabs_.arenas.set->budget().committed_bytes();
  for (size_t i = 0; i < kPerPage; ++i) {
    if (objects_[i] == nullptr) continue;
    EXPECT_EQ(slabs_.arenas.set->map().Tag(slabs_.arenas.set->map().SlotOf(objects_[i])), kDraining);
    EXPECT_EQ(slabs_.set->ClassOf(objects_[i]), ClassFor(kBytes));
    slabs_.set->FreeDraining(objects_[i]);
    objects_[i] = nullptr;
  }
  EXPECT_EQ(DrainingBytes(), 0u);
  EXPECT_FALSE(slabs_.set->Drains(ClassFor(kBytes)));
  EXPECT_EQ(slabs_.arenas.set->budget().committed_bytes(), committed_bytes - kHugePageBytes);
  EXPECT_EQ(slabs_.Complaint(), "");
}

TEST_F(Draining, NothingIsAllocatedThereWhileOtherSlabsHaveRoom) {
  StartDraining(kHugePageBytes);
  const size_t room = kPerPage / 2 + 2 * kPerPage / 8;
  for (size_t i = 0; i < room; ++i)
    EXPECT_NE(PageOf(slabs_.Allocate(kBytes)), PageOf(slabs_.arenas.set->WindowAddress(0)));
  // Now the page is taken back rather than another one populated.
  const uint64_t committed_bytes = slabs_.arenas.set->budget().committed_bytes();
  EXPECT_EQ(PageOf(slabs_.Allocate(kBytes)), 0u);
  EXPECT_EQ(slabs_.arenas.set->budget().committed_bytes(), committed_bytes);
  EXPECT_EQ(DrainingBytes(), 0u);
  EXPECT_EQ(slabs_.Complaint(), "");
}

TEST_F(Draining, ItsEmptySlabsGoAtOnce) {
  for (size_t i = 0; i < kPerPage; ++i) {
    if (objects_[i] != nullptr) Free(objects_[i]);
  }
  ASSERT_GT(slabs_.arenas.Stats(0).used_bytes, 3 * kHugePageBytes) << "a slab without objects is kept";
  StartDraining(kHugePageBytes);
  EXPECT_EQ(DrainingBytes(), 0u);
  EXPECT_LE(slabs_.arenas.Stats(0).used_bytes, 3 * kHugePageBytes);
}

TEST_F(Draining, OnlyWhatFindsRoomElsewhereAndIsNotKeptForTheCachesDrains) {
  StartDraining(SIZE_MAX, objects_.size());
  EXPECT_EQ(DrainingBytes(), 0u);
  StartDraining(SIZE_MAX, kPerPage / 16);
  // The first page's 32 objects fit into the others; the second one's 256 would not.
  EXPECT_EQ(DrainingBytes(), kHugePageBytes);
}

TEST_F(Draining, APageThatHoldsARunDoesNotDrain) {
  // Frees the page's slabs but one, and puts a run in their place.
  for (size_t i = kPerPage / 2; i < kPerPage; ++i) {
    if (objects_[i] != nullptr) Free(objects_[i]);
  }
  bin_.ReleaseEmpty();
  void* const run = slabs_.arenas.set->AllocateRun(0, 4);
  ASSERT_EQ(PageOf(run), 0u);
  StartDraining(kHugePageBytes);
  EXPECT_FALSE(slabs_.arenas.set->Tag(0, 0) == kDraining);
  EXPECT_EQ(slabs_.Complaint(), "");
}

TEST(SlabBin, PartlyUsedSlabsAreFilledBeforeEmptyOnes) {
  Slabs slabs(32 * kMiB);
  SlabBin& bin = slabs.Bin(4096);
  const size_t per_slab = InfoOf(ClassFor(4096)).object_count;
  std::vector<void*> objects(2 * per_slab);
  for (void*& object : objects) ASSERT_EQ(bin.Allocate(&object, 1), 1u);
  std::sort(objects.begin(), objects.end());
  bin.Free(objects.data(), per_slab);          // the first slab is empty
  bin.Free(objects.data() + per_slab + 3, 1);  // the second has room
  void* again = nullptr;
  ASSERT_EQ(bin.Allocate(&again, 1), 1u);
  EXPECT_EQ(again, objects[per_slab + 3]);
}

// Objects of the next larger class, of which more are free than one slab has, serve a class that has none of its own.
class Borrowing : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 4096;
  static constexpr size_t kLargerBytes = 4352;
  static constexpr SizeClass kClass = ClassFor(kBytes);
  static constexpr SizeClass kLarger = ClassFor(kLargerBytes);

  // Of the larger class so many are in use, and so many free.
  void Fill(size_t used_count, size_t free_count) {
    objects_.resize(used_count + free_count);
    SlabBin& bin = slabs_.Bin(kLargerBytes);
    for (size_t got = 0; got < objects_.size();) got += bin.Allocate(objects_.data() + got, objects_.size() - got);
    // What the last slab has beyond that is in use too.
    for (void* rest = nullptr; bin.AllocateListed(&rest, 1) != 0;) {
    }
    // Every other one, so that no slab is empty.
    for (size_t i = 0; i < 2 * free_count; i += 2) bin.Free(&objects_[i], 1);
    EXPECT_EQ(slabs_.Complaint(), "");
  }
  SizeClass ClassOfNext(size_t count = 1) {
    std::array<void*, 8> objects{};
    taken_count_ = slabs_.set->AllocateOrBorrow(0, kClass, objects.data(), count);
    EXPECT_EQ(slabs_.Complaint(), "");
    return slabs_.set->ClassOf(objects[0]);
  }

  Slabs slabs_{64 * kMiB};
  std::vector<void*> objects_;
  size_t taken_count_ = 0;
};

TEST_F(Borrowing, OneAtATimeUntilTheLenderHasASlabsWorthLeft) {
  const size_t kept_count = InfoOf(kLarger).object_count;
  Fill(3 * kept_count, kept_count + 5);
  ASSERT_TRUE(slabs_.Bin(kLargerBytes).Lends());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ClassOfNext(8), kLarger);
    EXPECT_EQ(taken_count_, 1u);
  }
  EXPECT_EQ(ClassOfNext(8), kClass) << "a new slab of its own";
  EXPECT_EQ(taken_count_, 8u);
}

// What is borrowed never comes into the class's caches: whoever frees it and asks again would take the slow path for ever.
TEST_F(Borrowing, ALoopThatBorrowsAgainAndAgainGetsASlabOfItsOwn) {
  const size_t per_slab = InfoOf(kClass).object_count;
  std::vector<void*> own(per_slab);
  ASSERT_EQ(slabs_.Bin(kBytes).Allocate(own.data(), 1), 1u);
  for (size_t got = 1; slabs_.Bin(kBytes).AllocateListed(&own[got % per_slab], 1) != 0;) ++got;
  Fill(1000, 1000);
  const auto borrow = [&] {
    void* object = nullptr;
    EXPECT_EQ(slabs_.set->AllocateOrBorrow(0, kClass, &object, 1), 1u);
    const SizeClass lender = slabs_.set->ClassOf(object);
    slabs_.set->bin(0, lender).Free(&object, 1);
    return lender == kLarger;
  };
  for (size_t i = 0; i < 4 * per_slab; ++i) {
    ASSERT_TRUE(borrow());
    // Its own objects come and go as well: it is not always short.
    if (i % (per_slab / 2) != 0) continue;
    slabs_.Bin(kBytes).Free(own.data(), 1);
    ASSERT_EQ(slabs_.Bin(kBytes).AllocateListed(own.data(), 1), 1u);
  }
  size_t borrowed_count = 0;
  while (borrow()) ASSERT_LT(++borrowed_count, 4 * per_slab);
  EXPECT_GT(borrowed_count, 0u);
}

TEST_F(Borrowing, NotWhereTheClassHasSomeItself) {
  void* own = nullptr;
  ASSERT_EQ(slabs_.Bin(kBytes).Allocate(&own, 1), 1u);
  Fill(1000, 1000);
  EXPECT_EQ(ClassOfNext(), kClass);
}

TEST_F(Borrowing, NotFromAClassThatGrows) {
  Fill(1000, 0);
  EXPECT_FALSE(slabs_.Bin(kLargerBytes).Lends());
  EXPECT_EQ(ClassOfNext(), kClass);
}

TEST_F(Borrowing, NotFromOneThatIsMuchLarger) {
  const size_t committed_bytes = slabs_.arenas.set->budget().committed_bytes();
  Fill(1000, 1000);
  void* object = nullptr;
  ASSERT_EQ(slabs_.set->AllocateOrBorrow(0, ClassFor(3072), &object, 1), 1u);
  EXPECT_EQ(slabs_.set->ClassOf(object), ClassFor(3072));
  EXPECT_GT(slabs_.arenas.set->budget().committed_bytes(), committed_bytes);
}

TEST_F(Draining, ASlabInAPageThatStaysComesBeforeOneThatDrains) {
  // Half of the second page is free of slabs.
  for (size_t i = kPerPage; i < kPerPage + kPerPage / 2; ++i) {
    if (objects_[i] != nullptr) Free(objects_[i]);
  }
  bin_.ReleaseEmpty();
  StartDraining(kHugePageBytes);
  ASSERT_EQ(DrainingBytes(), kHugePageBytes);
  const uint64_t committed_bytes = slabs_.arenas.set->budget().committed_bytes();
  const size_t room = kPerPage / 2 + kPerPage / 4 + 2 * kPerPage / 8;
  for (size_t i = 0; i < room; ++i) EXPECT_NE(PageOf(slabs_.Allocate(kBytes)), 0u);
  EXPECT_EQ(DrainingBytes(), kHugePageBytes);
  EXPECT_EQ(slabs_.arenas.set->budget().committed_bytes(), committed_bytes);
  EXPECT_EQ(PageOf(slabs_.Allocate(kBytes)), 0u);
  EXPECT_EQ(slabs_.Complaint(), "");
}

// A page with three free slots, and a class whose slabs are four long.
TEST(SlabBin, HolesAreCutIntoShortSlabsBeforeAnotherPageIsBegun) {
  size_t bytes = 0;
  for (size_t i = 0; i < kClassCount && bytes == 0; ++i) {
    const SizeClass size_class = ToSizeClass(i);
    const bool is_short = InfoOf(size_class, SlabKind::kShort).slot_count() == 1;
    if (is_short && InfoOf(size_class).slot_count() == 4) bytes = ObjectBytes(size_class);
  }
  ASSERT_NE(bytes, 0u);
  const size_t short_count = InfoOf(ClassFor(bytes), SlabKind::kShort).object_count;
  Slabs slabs(32 * kMiB);
  NodeArena& arena = slabs.arenas.set->arena(0);
  const auto page_of = [&](const void* at) { return slabs.arenas.set->map().SlotOf(at) / kSlotsPerHugePage; };
  void* const first = slabs.Allocate(bytes);
  for (size_t i = 1; i < 4 * short_count; ++i) ASSERT_EQ(page_of(slabs.Allocate(bytes)), page_of(first));
  ASSERT_EQ(page_of(arena.AllocateRun(kSlotsPerHugePage - 4 - 3)), page_of(first));
  for (size_t i = 0; i < 3 * short_count; ++i) ASSERT_EQ(page_of(slabs.Allocate(bytes)), page_of(first)) << i;
  EXPECT_NE(page_of(slabs.Allocate(bytes)), page_of(first)) << "nothing is left there";
  EXPECT_EQ(slabs.Bin(bytes).slab_bytes(), (4 + 3 + 4) * kSlotBytes) << "and the next slab is a long one";
  EXPECT_EQ(slabs.Complaint(), "");
}

TEST(SlabBin, ClassesDoNotShareASlab) {
  Slabs slabs(32 * kMiB);
  const AddressMap& map = slabs.arenas.set->map();
  void* const small = slabs.Allocate(16);
  void* const large = slabs.Allocate(4096);
  EXPECT_EQ(map.Tag(map.SlotOf(small)), TagOf(ClassFor(16)));
  EXPECT_EQ(map.Tag(map.SlotOf(large)), TagOf(ClassFor(4096)));
}

TEST(SlabBin, ThreadsShareItsBooks) {
  Slabs slabs(64 * kMiB);
  SlabBin& bin = slabs.Bin(4160);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&bin, t] {
      std::vector<void*> objects(40);
      for (size_t round = 0; round < 100; ++round) {
        const size_t got = bin.Allocate(objects.data(), objects.size());
        for (size_t i = 0; i < got; ++i) Stamp(objects[i], 64, (t * 1000 + i) << 21);
        for (size_t i = 0; i < got; ++i) EXPECT_TRUE(HasStamp(objects[i], 64, (t * 1000 + i) << 21));
        bin.Free(objects.data(), got);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bin.used_count(), 0u);
  EXPECT_EQ(slabs.Complaint(), "");
}

TEST(SlabBinDeathTest, MisuseIsReportedWithClassSlabAddressAndNode) {
  const auto misuse = [](size_t offset, bool twice) {
    Slabs slabs(32 * kMiB);
    void* object = nullptr;
    slabs.Bin(4160).Allocate(&object, 1);
    void* const freed = static_cast<char*>(object) + offset;
    slabs.Bin(4160).Free(&freed, 1);
    if (twice) slabs.Bin(4160).Free(&freed, 1);
  };
  EXPECT_DEATH(misuse(0, true),
               "hugepool: double free: 0x[0-9a-f]+, an object of 4352 bytes .slab 0x[0-9a-f]+, node 0.");
  EXPECT_DEATH(misuse(4352, false), "hugepool: double free");
  EXPECT_DEATH(misuse(16, false), "hugepool: interior pointer freed: 0x[0-9a-f]+ is 16 bytes into an object of 4352");
}

}  // namespace
}  // namespace hugepool::internal
