/* capacity_budget.pml: threads move room between two magazines of one CPU, while a drain takes it away and gives it back. To
 * be searched by spin; model_test.sh does.
 *
 * Shape      THREAD_COUNT threads grow one magazine at the other's expense; Drainer sets and clears the stopped bits
 *
 *            model                    code
 *            GrowFor                  CpuCache::Grow (cache/cpu_cache.cc)
 *            its TakeSpare            CpuCache::TakeSpare
 *            its Shrink               CpuRegions::Shrink (cache/cpu_regions.cc), as CpuCache::Steal calls it
 *            its Grow                 CpuRegions::Grow
 *            Drainer                  the first and the last step of CpuRegions::StopAll and CpuRegions::StartAgain
 *
 * Units      an object of magazine 0 has 1 byte, one of magazine 1 has 2
 * Asserted   the capacities never come to more than the budget, in bytes; when nobody is at it, capacities + spare bytes =
 *            the budget; a capacity stays from 0 to its limit; a stopped one does not change
 * Left out   which class missed: Steal's hand may take or spare any. What an emptied capacity leaves in the magazine:
 *            CpuCache::ReturnExcess pops it, as anybody may. Memory order: words that change by themselves.
 * Mutants    as in magazine_drain.pml
 */
#define THREAD_COUNT 2
#define BUDGET_BYTES 4
#define LIMIT 3 /* of a capacity, in objects */
#define BYTES(magazine) ((magazine) + 1)
#define LEAST(a, b) ((a) < (b) -> (a) : (b))
#define GIVEN (capacity[0] * BYTES(0) + capacity[1] * BYTES(1))

short capacity[2];
bool stopped[2]; /* the sign bit of the same word: always changed and compared together with it */
short spare_bytes = BUDGET_BYTES;
byte at_it;

inline GrowFor(magazine) {
  room = capacity[magazine];
  if
  :: room < LIMIT ->
     wanted_bytes = BYTES(magazine) * LEAST(LIMIT - room, 2);
     /* TakeSpare */
     do
     :: before_bytes = spare_bytes;
        if
        :: before_bytes <= 0 -> break
        :: else
        fi;
#ifdef SPARE_BY_STORE /* MUTANT */
        paid_bytes = LEAST(before_bytes, wanted_bytes);
        spare_bytes = before_bytes - paid_bytes;
        break
#else
        if
        :: d_step {
             spare_bytes == before_bytes ->
             paid_bytes = LEAST(before_bytes, wanted_bytes);
             spare_bytes = before_bytes - paid_bytes
           }
           break
        :: spare_bytes != before_bytes
        fi
#endif
     od;
     before_bytes = 0;
     /* Steal: Shrink of the other, or not, where that one has missed. */
     if
     :: d_step {
          paid_bytes < wanted_bytes && !stopped[1 - magazine] && capacity[1 - magazine] > 0 ->
          less = LEAST((wanted_bytes - paid_bytes + BYTES(1 - magazine) - 1) / BYTES(1 - magazine), capacity[1 - magazine]);
          capacity[1 - magazine] = capacity[1 - magazine] - less;
          paid_bytes = paid_bytes + less * BYTES(1 - magazine);
          less = 0
        }
     :: skip
     fi;
     /* Grow */
#ifdef GROWN_BY_STORE /* MUTANT: in place of the compare-and-swap */
     room = capacity[magazine];
#endif
     d_step {
#ifndef GROWN_BY_STORE
       room = capacity[magazine];
#endif
       grown = 0;
       if
#ifdef STOPPED_GROWN /* MUTANT */
       :: room < LIMIT ->
#else
       :: !stopped[magazine] && room < LIMIT ->
#endif
          grown = LEAST(paid_bytes / BYTES(magazine), LIMIT - room);
          capacity[magazine] = room + grown;
          assert(!stopped[magazine] || grown == 0)
       :: else
       fi;
       assert(GIVEN <= BUDGET_BYTES)
     }
#ifndef NOT_PAID_BACK /* MUTANT */
     spare_bytes = spare_bytes + paid_bytes - grown * BYTES(magazine)
#endif
  :: else
  fi
}

active [THREAD_COUNT] proctype Thread() {
  short room, wanted_bytes, before_bytes, paid_bytes, less, grown;
end:
  do
  :: d_step {
       at_it == 0 ->
       assert(GIVEN + spare_bytes == BUDGET_BYTES);
       assert(capacity[0] >= 0 && capacity[0] <= LIMIT && capacity[1] >= 0 && capacity[1] <= LIMIT)
     }
  :: at_it++;
     if
     :: GrowFor(0)
     :: GrowFor(1)
     fi;
     d_step { room = 0; wanted_bytes = 0; paid_bytes = 0; grown = 0; at_it-- }
  od
}

active proctype Drainer() {
end:
  do
  :: stopped[0] = true; stopped[1] = true; stopped[0] = false; stopped[1] = false
  od
}
