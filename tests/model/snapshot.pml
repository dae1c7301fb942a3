/* SPDX-License-Identifier: MIT */
/*
 * Markers of a snapshot (Chandy and Lamport) for Spin: three actors in a cycle, a FIFO ring from
 * each to the next. Tokens go round; any actor may begin the snapshot, at any time. An actor writes
 * down its state when it begins or sees the marker first, then sends the marker before any other
 * message; what comes in from then until the marker belongs to the ring.
 *
 * Checked: each token is in the snapshot once, in a state or in a ring, and the snapshot ends.
 *
 * tests/model.sh runs it as it is, which must hold, and with each MUTANT, which must not:
 *   1 a message sent between state and marker   3 what comes before the marker not written down
 *   2 a marker that overtakes a message         4 a marker that is not sent on
 */
#ifndef MUTANT
#define MUTANT 0
#endif
#define ACTORS 3
#define TOKENS 3
#define MOVES 6
#define MARKER 7

chan ring[ACTORS] = [4] of { byte };
byte has[ACTORS];   /* bits of the tokens there */
byte state[ACTORS]; /* as written down */
byte between[ACTORS]; /* of the ring that leads to it */
bool recorded[ACTORS], complete[ACTORS];
bool begun;
byte moves;

#define NEXT ((me + 1) % ACTORS)

/* State and marker are one step of an actor: nothing is sent between them. */
inline record()
{
	state[me] = has[me];
	recorded[me] = true
}

inline send_on()
{
#if MUTANT == 4
	if :: me == 0 -> ring[NEXT]!MARKER :: else fi
#elif MUTANT == 2
	if
	:: len(ring[NEXT]) > 0 ->
		/* The last message comes after it. */
		ring[NEXT]?token;
		ring[NEXT]!MARKER;
		ring[NEXT]!token
	:: else -> ring[NEXT]!MARKER
	fi;
	token = 0
#else
	ring[NEXT]!MARKER
#endif
}

inline begin()
{
#if MUTANT == 1
	atomic { record() };
	marker_due = true
#else
	atomic { record(); send_on() }
#endif
}

active [ACTORS] proctype actor()
{
	byte me = _pid, token;
	bool marker_due;

	has[me] = 1 << me;
end:	do
	:: atomic { !begun && !recorded[me] -> begun = true }; begin()
	:: marker_due -> atomic { marker_due = false; send_on() }
	:: atomic { has[me] && moves < MOVES ->
		moves++;
		if
		:: has[me] & 1 -> token = 0
		:: has[me] & 2 -> token = 1
		:: has[me] & 4 -> token = 2
		fi;
		has[me] = has[me] & ~(1 << token);
		ring[NEXT]!token;
		token = 0 }
	:: atomic { ring[me]?token ->
		if
		:: token == MARKER -> complete[me] = true
		:: else ->
			has[me] = has[me] | (1 << token);
#if MUTANT != 3
			if
			:: recorded[me] && !complete[me] -> between[me] = between[me] | (1 << token)
			:: else
			fi
#endif
		fi };
		if
		:: token == MARKER && !recorded[me] -> token = 0; begin()
		:: else -> token = 0
		fi
	od
}

/* When all is still: once each. A sum tells a token that is missing or there twice. */
active proctype check()
{
	timeout;
	assert(!begun || (complete[0] && complete[1] && complete[2]));
	assert(!begun || state[0] + state[1] + state[2] + between[0] + between[1] + between[2] == 7);
	assert(!begun || (state[0] | state[1] | state[2] | between[0] | between[1] | between[2]) == 7)
}
