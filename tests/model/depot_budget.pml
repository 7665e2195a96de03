/* depot_budget.pml: threads put blocks of two classes into the depots of one window and take them out, while another drains
 * them, within one limit in bytes for all depots. To be searched by spin; model_test.sh does.
 *
 * Shape      THREAD_COUNT threads and a Drainer; DEPOT_COUNT groups of CPUs with a depot each; in a depot a shelf a class, of
 *            SHELF_COUNT places under a lock of its own; spare_bytes for all
 *
 *            model       code
 *            Put         DepotSet::Put (cache/depot_set.cc), and in it Depot::Put (cache/depot.cc)
 *            Take        DepotSet::Take, and in it, once a depot, Depot::Take
 *            Drain       what CpuCache::Drain (cache/cpu_cache.cc) does with one class of a DepotSet, BATCH blocks at a time
 *
 * Units      a block of class 0 has 1 byte, one of class 1 has 2
 * Threads    the first is always of group 0, the other of any at each call: two of one group, and two of two. One drains at a
 *            time: CpuCache::drain_owned_
 * Asserted   all shelves together never hold more than the limit; when nobody is at it, bytes on shelves + spare bytes = the
 *            limit; no block is lost or doubled; a shelf never holds more than its places; nobody waits for ever; who is
 *            alone at it takes a block if any depot has one, and leaves none when it drains
 * Left out   which block it is: only how many. A third depot, and a third thread that puts or takes: too many states. Every
 *            access is one step, as atomics and the shelf's lock make them. Memory order: the spare bytes are one word that
 *            is only added to, and the rest is under the lock.
 * Mutants    as in magazine_drain.pml
 */
#define THREAD_COUNT 2
#define CLASS_COUNT 2
#define DEPOT_COUNT 2
#define SHELF_COUNT 2
#define LIMIT_BYTES 3
#define BLOCK_COUNT 3 /* of each class */
#define BATCH 2
#define BYTES(class) ((class) + 1)
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define SHELF(depot, class) ((depot) * CLASS_COUNT + (class))
#define HELD(class) (shelf[SHELF(0, class)] + shelf[SHELF(1, class)])
#define ON_SHELVES (HELD(0) * BYTES(0) + HELD(1) * BYTES(1))

#ifdef LIMIT_PER_DEPOT /* MUTANT: each depot may hold what all may hold together */
short spare_bytes_of[DEPOT_COUNT] = LIMIT_BYTES;
#define SPARE_BYTES(depot) spare_bytes_of[depot]
#else
short spare_bytes = LIMIT_BYTES;
#define SPARE_BYTES(depot) spare_bytes
#endif
byte shelf[DEPOT_COUNT * CLASS_COUNT];
bool locked[DEPOT_COUNT * CLASS_COUNT];
byte hands[CLASS_COUNT] = BLOCK_COUNT; /* blocks in somebody's hands, or in the slabs */
byte at_it;                            /* in a Put, a Take or a Drain */
bool alone;                            /* only one since it began */

/* Who looks into a shelf has it to itself until Unlock. */
inline Lock(which) {
  atomic {
#ifndef SHELF_NOT_LOCKED /* MUTANT */
    !locked[which] -> locked[which] = true;
#endif
    held = shelf[which]
  }
}
inline Unlock(which, count) {
  shelf[which] = count;
  locked[which] = false;
  held = 0
}
inline Put() {
  if
  :: SPARE_BYTES(group) >= BYTES(class) ->
     d_step {
       if
       :: SPARE_BYTES(group) >= wanted * BYTES(class) -> paid = wanted
       :: SPARE_BYTES(group) < wanted * BYTES(class) && SPARE_BYTES(group) > 0 -> paid = SPARE_BYTES(group) / BYTES(class)
       :: else -> paid = 0
       fi;
#ifdef DEBT_NOT_SEEN /* MUTANT: pays although others have spent it */
       paid = wanted;
#endif
#ifndef PAID_LAST /* MUTANT: looks whether there is enough, and pays when the blocks are on the shelf */
       SPARE_BYTES(group) = SPARE_BYTES(group) - wanted * BYTES(class)
#endif
     }
     if
     :: paid != 0 ->
        Lock(SHELF(group, class));
        d_step {
          moved = LEAST(paid, SHELF_COUNT - held);
          Unlock(SHELF(group, class), held + moved);
          paid = 0;
          assert(ON_SHELVES <= LIMIT_BYTES && shelf[SHELF(group, class)] <= SHELF_COUNT)
        }
     :: else
     fi;
     d_step {
#ifdef PAID_LAST
       SPARE_BYTES(group) = SPARE_BYTES(group) - moved * BYTES(class);
#else
#ifndef NOT_PAID_BACK /* MUTANT */
       SPARE_BYTES(group) = SPARE_BYTES(group) + (wanted - moved) * BYTES(class);
#endif
#endif
       hands[class] = hands[class] + wanted - moved
     }
  :: d_step { SPARE_BYTES(group) < BYTES(class) -> hands[class] = hands[class] + wanted }
  fi
}
inline TakeFrom(depot) {
  if
  :: shelf[SHELF(depot, class)] != 0 ->
#ifdef PAID_BACK_FIRST /* MUTANT: the bytes are given back while the blocks still lie there */
     SPARE_BYTES(depot) = SPARE_BYTES(depot) + LEAST(wanted, shelf[SHELF(depot, class)]) * BYTES(class);
#endif
     Lock(SHELF(depot, class));
     d_step {
       moved = LEAST(wanted, held);
       Unlock(SHELF(depot, class), held - moved)
     }
     d_step {
#ifndef PAID_BACK_FIRST
       SPARE_BYTES(depot) = SPARE_BYTES(depot) + moved * BYTES(class);
#endif
       hands[class] = hands[class] + moved
     }
  :: shelf[SHELF(depot, class)] == 0
  fi
}
/* From the first depot, else from the next. */
inline Take(first) {
  TakeFrom(first);
#ifndef OTHER_DEPOT_NOT_SEEN /* MUTANT */
  if
  :: moved == 0 ->
#ifdef TWO_LOCKED /* MUTANT: the first shelf stays locked while the other is looked at */
     Lock(SHELF(first, class));
#endif
     TakeFrom(1 - (first));
#ifdef TWO_LOCKED
     locked[SHELF(first, class)] = false
#endif
  :: else
  fi
#endif
}
/* As many as were there when it began: what comes meanwhile may stay. */
inline Drain() {
  d_step { wanted = 0; left = shelf[SHELF(0, class)] }
#ifndef OTHER_DEPOT_NOT_COUNTED /* MUTANT */
  left = left + shelf[SHELF(1, class)];
#endif
  do
  :: left != 0 ->
     d_step { moved = 0; wanted = LEAST(left, BATCH) }
     Take(0);
     if
     :: moved != 0 -> left = left - moved
     :: else -> break
     fi
  :: else -> break
  od;
  left = 0
}
inline Choose(what) {
  if
  :: what = 0
  :: what = 1
  fi
}

inline ChooseGroup() {
  if
  :: group = 0
  :: _pid != 0 -> group = 1
  fi
}
inline Begin() { alone = (at_it == 0); at_it++ }

active [THREAD_COUNT] proctype Thread() {
  byte group, class, wanted, moved, held, paid;
end:
  do
  :: d_step {
       at_it == 0 ->
#ifndef LIMIT_PER_DEPOT
       assert(ON_SHELVES + spare_bytes == LIMIT_BYTES);
#endif
       assert(HELD(0) + hands[0] == BLOCK_COUNT && HELD(1) + hands[1] == BLOCK_COUNT)
     }
  :: atomic { ChooseGroup(); Choose(class); Choose(wanted); wanted++; Begin() }
     if
     :: d_step { hands[class] >= wanted -> hands[class] = hands[class] - wanted }
        Put()
     :: Take(group);
        assert(!alone || moved != 0 || HELD(class) == 0)
     fi;
     d_step { group = 0; class = 0; wanted = 0; moved = 0; at_it-- }
  od
}

active proctype Drainer() {
  byte class, wanted, moved, held, left;
end:
  do
  :: atomic { Choose(class); Begin() }
     Drain();
     d_step {
       assert(!alone || HELD(class) == 0);
       class = 0; wanted = 0; moved = 0; left = 0; at_it--
     }
  od
}
