/* SPDX-License-Identifier: MIT */
/*
 * The ring's protocol for Spin: a producer that may be killed before any of its stores and is
 * replaced, a consumer that touches what it read and gives credit, and a memory in which every
 * word arrives whenever it likes (words at one address in order). Credit is release/acquire: one
 * atomic variable. What a killed producer had stored arrives before the next one looks.
 *
 * Checked: every message arrives whole, once and in order, and nobody waits for ever.
 *
 * tests/model.sh runs it as it is, which must hold, and with each MUTANT, which must not:
 *   1 credit before reading            5 touch after the credit
 *   2 the same tag in every lap        6 continuation slots not checked
 *   3 a message's first slot first     7 padding's first word first
 *   4 a take-over that writes over     8 one slot more than the credit allows
 *     what the dead one began          9 padding that forgets the later slots
 *                                     10 a touch with the next lap's tag
 */
#ifndef CAP
#define CAP 2 /* slots */
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef MUTANT
#define MUTANT 0
#endif
#define MAX 2 /* slots of a message */
#define WORDS (2 * CAP) /* a slot has word 0, with the header, and word 1, which is touched */
#define TAGS 4

/* A word: tag, whose message, of which producer, kind. */
#define SINGLE 0
#define DOUBLE 1 /* first slot of two */
#define REST 2
#define PAD_SINGLE 3
#define PAD_DOUBLE 4
#define WORD(t, number, life, kind) (((((t) * 8 + (number)) * 4 + (life)) * 8) + (kind))
#define KIND(word) ((word) % 8)
#define LIFE(word) ((word) / 8 % 4)
#define NUMBER(word) ((word) / 32 % 8)
#define TAG(word) ((word) / 256)

#if MUTANT == 2
#define LAP_TAG(p) 1
#else
#define LAP_TAG(p) (((p) / CAP + 1) % TAGS)
#endif
#define AT(p, w) (((p) % CAP) * 2 + (w))
#define IS_NEW(p, w) (TAG(mem[AT(p, w)]) == LAP_TAG(p))
#define WHOLE(p) (IS_NEW(p, 0) && IS_NEW(p, 1))

short mem[WORDS];
short coming[WORDS], after[WORDS]; /* stored and not yet arrived, oldest first */
byte waiting[WORDS];
byte consumed;	/* the credit */
byte sent;	/* whole messages stored; only the checks use it */
byte kills;

#define ARRIVE(i)                                                                                  \
	d_step { waiting[i] > 0 -> mem[i] = coming[i]; coming[i] = after[i]; after[i] = 0;         \
		 waiting[i]--; if :: waiting[i] == 0 -> coming[i] = 0 :: else fi }

active proctype memory()
{
end:	do
	:: ARRIVE(0)
	:: ARRIVE(1)
	:: ARRIVE(2)
	:: ARRIVE(3)
#if CAP > 2
	:: ARRIVE(4)
	:: ARRIVE(5)
	:: ARRIVE(6)
	:: ARRIVE(7)
#endif
	od
}

#if CAP > 2
#define ALL_ARRIVED                                                                                \
	(waiting[0] + waiting[1] + waiting[2] + waiting[3] + waiting[4] + waiting[5] +             \
		 waiting[6] + waiting[7] == 0)
#else
#define ALL_ARRIVED (waiting[0] + waiting[1] + waiting[2] + waiting[3] == 0)
#endif

inline store(p, w, value)
{
	d_step {
		if
		:: waiting[AT(p, w)] == 0 -> coming[AT(p, w)] = value
		:: waiting[AT(p, w)] == 1 -> after[AT(p, w)] = value
		:: else -> assert(false)
		fi;
		waiting[AT(p, w)]++
	}
}

/* Before every store the producer may be killed. */
#define MAY_DIE if :: true :: kills < KILLS -> kills++; goto take_over fi

active proctype producer()
{
	byte position, credit, size, begun, i, number, word;

take_over:
	atomic {
		ALL_ARRIVED;
		credit = consumed;
		position = credit;
		do
		:: position < credit + CAP && WHOLE(position) ->
			if
			:: KIND(mem[AT(position, 0)]) == SINGLE ||
			   KIND(mem[AT(position, 0)]) == PAD_SINGLE -> position++
			:: KIND(mem[AT(position, 0)]) == DOUBLE ||
			   KIND(mem[AT(position, 0)]) == PAD_DOUBLE ->
				assert(WHOLE(position + 1));
				position = position + 2
			:: else -> assert(false)
			fi
		:: else -> break
		od;
		begun = 0;
		i = 0;
		do
		:: i < MAX && position + i < credit + CAP ->
			if
			:: IS_NEW(position + i, 0) || IS_NEW(position + i, 1) -> begun = i + 1
			:: else
			fi;
			i++
		:: else -> break
		od;
		number = sent + 1;
		size = 0;
		word = 0
	}
#if MUTANT == 9
	if :: begun == 2 -> begun = 1 :: else fi;
#endif
#if MUTANT == 4
	begun = 0;
#endif
	if
	:: begun -> assert(!IS_NEW(position, 0))
	:: else -> goto sending
	fi;
#if MUTANT == 7
	MAY_DIE;
	store(position, 0, WORD(LAP_TAG(position), 0, kills, (begun == 2 -> PAD_DOUBLE : PAD_SINGLE)));
#endif
	i = begun;
	do
	:: i > 0 ->
		i--;
		MAY_DIE;
		if
		:: !IS_NEW(position + i, 1) ->
			store(position + i, 1, WORD(LAP_TAG(position + i), 0, kills, REST))
		:: else
		fi;
#if MUTANT == 7
		if :: i == 0 -> break :: else fi;
#endif
		MAY_DIE;
		if
		:: !IS_NEW(position + i, 0) && i == 0 ->
			store(position, 0, WORD(LAP_TAG(position), 0, kills,
						(begun == 2 -> PAD_DOUBLE : PAD_SINGLE)))
		:: !IS_NEW(position + i, 0) && i > 0 ->
			store(position + i, 0, WORD(LAP_TAG(position + i), 0, kills, REST))
		:: else
		fi
	:: else -> break
	od;
	position = position + begun;

sending:
	do
	:: number <= MESSAGES ->
		MAY_DIE;
		if :: size = 1 :: size = 2 fi;
#if MUTANT == 8
		CAP - (position - consumed) + 1 >= size;
#else
		CAP - (position - consumed) >= size; /* A1 */
#endif
#if MUTANT == 3
		MAY_DIE;
		store(position, 1, WORD(LAP_TAG(position), number, kills, REST));
		MAY_DIE;
		store(position, 0, WORD(LAP_TAG(position), number, kills, (size == 2 -> DOUBLE : SINGLE)));
#endif
		if
		:: size == 2 ->
			MAY_DIE;
			store(position + 1, 1, WORD(LAP_TAG(position + 1), number, kills, REST));
			MAY_DIE;
			store(position + 1, 0, WORD(LAP_TAG(position + 1), number, kills, REST))
		:: else
		fi;
#if MUTANT == 3
		sent = number;
#else
		MAY_DIE;
		store(position, 1, WORD(LAP_TAG(position), number, kills, REST));
		MAY_DIE;
		atomic {
			store(position, 0, WORD(LAP_TAG(position), number, kills,
						(size == 2 -> DOUBLE : SINGLE)));
			sent = number
		}
#endif
		atomic { position = position + size; number++; size = 0 }
	:: else -> break
	od
}

inline touch(p)
{
	held = mem[AT(p, 1)];
#if MUTANT == 10
	held = WORD(LAP_TAG(p + CAP), NUMBER(held), LIFE(held), KIND(held));
#endif
	mem[AT(p, 1)] = held;
	held = 0
}

inline check(value)
{
	assert(NUMBER(value) == expected);
	assert(LIFE(value) == LIFE(head))
}

active proctype consumer()
{
	byte position, expected = 1, size;
	short head, word, held;

	do
	:: expected > MESSAGES -> break
	:: expected <= MESSAGES && consumed != position -> consumed = position /* R1, when idle too */
	:: expected <= MESSAGES && WHOLE(position) ->
		/* The words of a slot are loaded one by one. */
		word = mem[AT(position, 1)];
		head = mem[AT(position, 0)];
		if
		:: TAG(word) != LAP_TAG(position) || TAG(head) != LAP_TAG(position) -> goto again
		:: else
		fi;
		if
		:: KIND(head) == PAD_SINGLE -> position++; goto again
		:: KIND(head) == PAD_DOUBLE -> position = position + 2; goto again
		:: KIND(head) == SINGLE -> size = 1
		:: KIND(head) == DOUBLE -> size = 2
		:: else -> assert(false)
		fi;
#if MUTANT == 1
		consumed = position + size;
		word = mem[AT(position, 1)];
#endif
		check(head);
		check(word);
		if
		:: size == 2 ->
#if MUTANT != 6
			WHOLE(position + 1);
#endif
			word = mem[AT(position + 1, 1)];
			check(word);
			word = mem[AT(position + 1, 0)];
			check(word);
			assert(KIND(word) == REST)
		:: else
		fi;
#if MUTANT == 5
		consumed = position + size;
#endif
		touch(position);
		if
		:: size == 2 -> touch(position + 1)
		:: else
		fi;
		atomic { position = position + size; expected++; size = 0 }
again:
		head = 0;
		word = 0
	od
}
