/* depot_budget.pml: threads put blocks of two classes on the shelves of depots and take them off, within one limit in bytes
 * for all of them. To be searched by spin; model_test.sh does.
 *
 * Shape      THREAD_COUNT threads; a shelf a class, of SHELF_COUNT places under a lock of its own; SPARE_BYTES for both
 *
 *            model       code
 *            Put         DepotSet::Put (cache/depot_set.cc), and in it Depot::Put (cache/depot.cc)
 *            Take        DepotSet::Take, and in it Depot::Take
 *
 * Units      a block of class 0 has 1 byte, one of class 1 has 2
 * Asserted   the shelves never hold more than the limit; when nobody is at it, bytes on shelves + spare bytes = the limit;
 *            no block is lost or doubled; a shelf never holds more than its places; nobody waits for ever
 * Left out   several depots of a class: their shelves share nothing but the limit, as those of two classes do; that Put does
 *            nothing where not even one block is left to pay for. Which block it is: only how many. Every access is one step, as atomics and the shelf's lock make them.
 *            Memory order: the spare bytes are one word that is only added to, and the rest is under the lock.
 * Mutants    as in magazine_drain.pml
 */
#define THREAD_COUNT 3
#define CLASS_COUNT 2
#define SHELF_COUNT 2
#define LIMIT_BYTES 3
#define BLOCK_COUNT 3 /* of each class */
#define BYTES(class) ((class) + 1)
#define ON_SHELVES (shelf[0] * BYTES(0) + shelf[1] * BYTES(1))

short spare_bytes = LIMIT_BYTES;
byte shelf[CLASS_COUNT];
bool locked[CLASS_COUNT];
byte hands[CLASS_COUNT] = BLOCK_COUNT; /* blocks in somebody's hands */
byte at_it;                            /* threads in a Put or a Take */

inline Check() { assert(ON_SHELVES <= LIMIT_BYTES && shelf[0] <= SHELF_COUNT && shelf[1] <= SHELF_COUNT) }
inline Lock(class) {
#ifndef SHELF_NOT_LOCKED /* MUTANT */
  atomic { !locked[class] -> locked[class] = true }
#endif
  skip
}
inline Unlock(class) { locked[class] = false }
inline Put() {
#ifdef PAID_LAST /* MUTANT: looks whether there is enough, and pays when the blocks are on the shelf */
  before = spare_bytes;
#else
  d_step { before = spare_bytes; spare_bytes = spare_bytes - wanted * BYTES(class) }
#endif
  d_step {
    if
    :: before >= wanted * BYTES(class) -> paid = wanted
    :: before < wanted * BYTES(class) && before > 0 -> paid = before / BYTES(class)
    :: else -> paid = 0
    fi;
#ifdef DEBT_NOT_SEEN /* MUTANT: pays although others have spent it */
    paid = wanted;
#endif
    before = 0
  }
  moved = 0;
  if
  :: paid != 0 ->
     Lock(class);
     held = shelf[class];
     d_step {
       moved = (paid < SHELF_COUNT - held -> paid : SHELF_COUNT - held);
       shelf[class] = held + moved;
       held = 0;
       paid = 0;
       Check()
     }
     Unlock(class)
  :: else
  fi;
  d_step {
    hands[class] = hands[class] + wanted - moved;
#ifdef PAID_LAST
    spare_bytes = spare_bytes - moved * BYTES(class);
#else
#ifndef NOT_PAID_BACK /* MUTANT */
    spare_bytes = spare_bytes + (wanted - moved) * BYTES(class);
#endif
#endif
    skip
  }
}
inline Take() {
#ifdef PAID_BACK_FIRST /* MUTANT: the bytes are given back while the blocks still lie there */
  d_step { moved = (wanted < shelf[class] -> wanted : shelf[class]); spare_bytes = spare_bytes + moved * BYTES(class) }
#endif
  if
  :: shelf[class] != 0 ->
     Lock(class);
     held = shelf[class];
     d_step {
       moved = (wanted < held -> wanted : held);
       shelf[class] = held - moved;
       held = 0
     }
     Unlock(class)
  :: shelf[class] == 0 -> moved = 0
  fi;
  d_step {
    hands[class] = hands[class] + moved;
#ifndef PAID_BACK_FIRST
    spare_bytes = spare_bytes + moved * BYTES(class);
#endif
    skip
  }
}

active [THREAD_COUNT] proctype Thread() {
  byte class, wanted, moved, held, paid;
  short before;
end:
  do
  :: d_step {
       at_it == 0 ->
       assert(ON_SHELVES + spare_bytes == LIMIT_BYTES);
       assert(shelf[0] + hands[0] == BLOCK_COUNT && shelf[1] + hands[1] == BLOCK_COUNT)
     }
  :: atomic {
       if
       :: class = 0
       :: class = 1
       fi;
       if
       :: wanted = 1
       :: wanted = 2
       fi;
       at_it++
     }
     if
     :: d_step { hands[class] >= wanted -> hands[class] = hands[class] - wanted }
        Put()
     :: Take()
     fi;
     d_step { class = 0; wanted = 0; moved = 0; at_it-- }
  od
}
