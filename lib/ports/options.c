// SPDX-License-Identifier: MIT
/* Reading the values of options: numbers and addresses, whatever the locale of the program. */
#include "ports/port.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

/* Read digits at @at; returns how many, 0 also when they exceed a u64. */
static uint32_t digits(const char *at, uint64_t *number)
{
	uint32_t count = 0;

	for (*number = 0; at[count] >= '0' && at[count] <= '9'; count++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(at[count] - '0'), number))
			return 0;
	return count;
}

int port_parse_count(const char *key, const char *value, uint64_t least, uint64_t most,
		     uint64_t *out)
{
	uint32_t count = digits(value, out);

	if (!count || value[count] || *out < least || *out > most)
		return rk_fail(EINVAL, "%s=%s: write a whole number from %" PRIu64 " to %" PRIu64,
			       key, value, least, most);
	return 0;
}

int port_parse_real(const char *key, const char *value, long double *out)
{
	uint32_t whole_digits, part_digits = 0;
	uint64_t whole, part = 0;
	const char *end = value;

	whole_digits = digits(end, &whole);
	end += whole_digits;
	if (*end == '.') {
		part_digits = digits(end + 1, &part);
		end += part_digits ? 1 + part_digits : 0;
	}
	*out = (long double)part;
	for (uint32_t i = 0; i < part_digits; i++)
		*out /= 10;
	*out += (long double)whole;
	if (!whole_digits || whole_digits > 9 || part_digits > 9 || *end || !(whole | part))
		return rk_fail(EINVAL,
			       "%s=%s: write a number above 0, up to nine digits before and after "
			       "the point",
			       key, value);
	return 0;
}

/* One ADDR:PORT at @text, @bytes long. */
static bool parse_address(const char *text, size_t bytes, struct frame_address *address)
{
	char copy[INET_ADDRSTRLEN + sizeof(":65535")];
	struct in_addr ip;
	uint64_t number;
	uint32_t count;
	char *colon;

	if (bytes >= sizeof(copy))
		return false;
	memcpy(copy, text, bytes);
	copy[bytes] = 0;
	colon = strchr(copy, ':');
	if (!colon)
		return false;
	*colon = 0;
	count = digits(colon + 1, &number);
	if (!count || colon[1 + count] || number < 1 || number > 65535 ||
	    inet_pton(AF_INET, copy, &ip) != 1)
		return false;
	*address = (struct frame_address){ntohl(ip.s_addr), (uint16_t)number};
	return true;
}

int port_parse_feeds(const char *key, const char *value, struct port_feeds *feeds)
{
	const char *at = value;

	for (;;) {
		size_t bytes = strcspn(at, "+");
		struct frame_address address;

		if (!parse_address(at, bytes, &address))
			return rk_fail(EINVAL,
				       "%s=%s: '%.*s': write an IPv4 address, ':' and a port from "
				       "1 to 65535",
				       key, value, (int)bytes, at);
		if (feeds->count == PORT_MAX_FEEDS)
			return rk_fail(EINVAL, "%s=%s: more than %d feeds: open another port", key,
				       value, PORT_MAX_FEEDS);
		feeds->at[feeds->count++] = address;
		if (!at[bytes])
			return 0;
		at += bytes + 1;
	}
}
