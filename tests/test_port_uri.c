// SPDX-License-Identifier: MIT
/*
 * Ports, opening: what is refused, word for word; the kinds and what they take; port null.
 */
#include "ports_capture.h"

#include <sys/stat.h>

static const struct {
	const char *uri;
	enum rk_port_direction direction;
	int result;
	const char *text; /* behind "port 'URI': " */
} refusals[] = {
	// clang-format off
	{"x", RK_PORT_IN, EINVAL, "no kind of port: begin with one of pcap, udp, tcp, file, io, dpdk, verbs, ucx, null and a ':'"},
	{"pcapx:f", RK_PORT_IN, EINVAL,
	 "no kind of port: begin with one of pcap, udp, tcp, file, io, dpdk, verbs, ucx, null and a ':'"},
	{"", RK_PORT_OUT, EINVAL, "no kind of port: begin with one of pcap, udp, tcp, file, io, dpdk, verbs, ucx, null and a ':'"},
	{"null:", RK_PORT_IN, EOPNOTSUPP, "a null port is no input"},
	{"null:x", RK_PORT_OUT, EINVAL, "'x': null goes nowhere: write null:"},
	{"null:,a=1", RK_PORT_OUT, EINVAL, "no option 'a' in this direction: it takes none"},
	{"pcap:/nowhere/f", RK_PORT_IN, ENOENT, "open '/nowhere/f': No such file or directory"},
	{"pcap:/nowhere/f,g", RK_PORT_IN, EINVAL,
	 "no option 'g' in this direction: it takes speed, rate, loops, feeds, count"},
	{"pcap:/nowhere/f\\,g", RK_PORT_IN, ENOENT,
	 "open '/nowhere/f,g': No such file or directory"},
	{"pcap:/nowhere/f", RK_PORT_OUT, ENOENT, "create '/nowhere/f': No such file or directory"},
	{"pcap:/tmp", RK_PORT_IN, EISDIR, "'/tmp' is a directory: name a file in it"},
	{"pcap:/tmp", RK_PORT_OUT, EISDIR, "create '/tmp': Is a directory"},
	{"pcap:/dev/null", RK_PORT_IN, EINVAL,
	 "'/dev/null' is no regular file: save the capture to one"},
	{"pcap:f,loops=2", RK_PORT_OUT, EINVAL,
	 "no option 'loops' in this direction: it takes feeds"},
	{"pcap:f,speed=fast", RK_PORT_IN, EINVAL,
	 "speed=fast: write a number above 0, up to nine digits before and after the point"},
	{"pcap:f,speed=0", RK_PORT_IN, EINVAL,
	 "speed=0: write a number above 0, up to nine digits before and after the point"},
	{"pcap:f,speed=-1", RK_PORT_IN, EINVAL,
	 "speed=-1: write a number above 0, up to nine digits before and after the point"},
	{"pcap:f,rate=1.", RK_PORT_IN, EINVAL,
	 "rate=1.: write a number above 0, up to nine digits before and after the point"},
	{"pcap:f,rate=1e6", RK_PORT_IN, EINVAL,
	 "rate=1e6: write a number above 0, up to nine digits before and after the point"},
	{"pcap:f,speed=1,rate=5", RK_PORT_IN, EINVAL,
	 "speed and rate: the pace is one or the other: leave one out"},
	{"pcap:f,speed=1,speed=2", RK_PORT_IN, EINVAL, "speed: given twice: once is enough"},
	{"pcap:f,loops", RK_PORT_IN, EINVAL, "loops: a value is missing: write loops=VALUE"},
	{"pcap:f,loops=", RK_PORT_IN, EINVAL, "loops: a value is missing: write loops=VALUE"},
	{"pcap:f,loops=0", RK_PORT_IN, EINVAL,
	 "loops=0: write a whole number from 1 to 4294967295"},
	{"pcap:f,count=99999999999999999999", RK_PORT_IN, EINVAL,
	 "count=99999999999999999999: write a whole number from 1 to 18446744073709551614"},
	{"pcap:f,count=1x", RK_PORT_IN, EINVAL,
	 "count=1x: write a whole number from 1 to 18446744073709551614"},
	{"pcap:f,feeds=1.2.3.4", RK_PORT_IN, EINVAL,
	 "feeds=1.2.3.4: '1.2.3.4': write an IPv4 address, ':' and a port from 1 to 65535"},
	{"pcap:f,feeds=1.2.3.4:5+6", RK_PORT_OUT, EINVAL,
	 "feeds=1.2.3.4:5+6: '6': write an IPv4 address, ':' and a port from 1 to 65535"},
	{"pcap:f,feeds=1.2.3.4:5+", RK_PORT_OUT, EINVAL,
	 "feeds=1.2.3.4:5+: '': write an IPv4 address, ':' and a port from 1 to 65535"},
	{"udp:", RK_PORT_IN, EINVAL,
	 "address=: '': write an IPv4 address, ':' and a port from 1 to 65535"},
	{"udp:localhost:5000", RK_PORT_IN, EINVAL,
	 "address=localhost:5000: 'localhost:5000': write an IPv4 address, ':' and a port from "
	 "1 to 65535"},
	{"udp:1.2.3.4:0", RK_PORT_OUT, EINVAL,
	 "address=1.2.3.4:0: '1.2.3.4:0': write an IPv4 address, ':' and a port from 1 to 65535"},
	{"udp:1.2.3.4:65536", RK_PORT_OUT, EINVAL,
	 "address=1.2.3.4:65536: '1.2.3.4:65536': write an IPv4 address, ':' and a port from 1 "
	 "to 65535"},
	{"udp:1.2.3.4:1+1.2.3.5:1", RK_PORT_OUT, EINVAL,
	 "'1.2.3.4:1+1.2.3.5:1': one address stands here: the others go to feeds="},
	{"udp:239.1.1.1:5000,iface=none0", RK_PORT_IN, EINVAL,
	 "iface=none0: no such interface: `ip link` lists them, or write an IPv4 address of one"},
	{"udp:127.0.0.1:5000,iface=lo", RK_PORT_IN, EINVAL,
	 "iface: no address is a multicast group: leave it out"},
	{"udp:127.0.0.1:5000,ttl=0", RK_PORT_OUT, EINVAL,
	 "ttl: no address is a multicast group: leave it out"},
	{"udp:239.1.1.1:5000,ttl=256", RK_PORT_OUT, EINVAL,
	 "ttl=256: write a whole number from 0 to 255"},
	{"udp:239.1.1.1:5000,stamp=1", RK_PORT_IN, EINVAL, "stamp=1: takes no value: write stamp"},
	{"udp:239.1.1.1:5000,rcvbuf=0", RK_PORT_IN, EINVAL,
	 "rcvbuf=0: write a whole number from 1 to 1073741823"},
	{"udp:239.1.1.1:5000,sndbuf=1", RK_PORT_IN, EINVAL,
	 "no option 'sndbuf' in this direction: it takes feeds, iface, stamp, rcvbuf, idle, "
	 "count, gro, reuseport, hwstamp, lend, gpu"},
	{"udp:239.1.1.1:5000,idle=1", RK_PORT_OUT, EINVAL,
	 "no option 'idle' in this direction: it takes feeds, iface, stamp, sndbuf, ttl"},
	{"udp:192.0.2.7:5000", RK_PORT_IN, EADDRNOTAVAIL,
	 "bind 192.0.2.7:5000: Cannot assign requested address"},
	// clang-format on
};

static void check_refusal(const char *uri, enum rk_port_direction direction, int result,
			  const char *text)
{
	struct rk_port *port = (struct rk_port *)&seen;

	assert_int_equal(rk_port_open(&port, uri, direction, 0), result);
	assert_string_equal(rk_errmsg(), text_of("port '%s': %s", uri, text));
	assert_ptr_equal(port, &seen);
}

static void test_refusals_word_for_word(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const char *absent = rk_port_kind_at(0)->absent;

		if (absent && !strncmp(refusals[i].uri, "pcap:", 5))
			check_refusal(refusals[i].uri, refusals[i].direction, -EOPNOTSUPP, absent);
		else
			check_refusal(refusals[i].uri, refusals[i].direction, -refusals[i].result,
				      refusals[i].text);
	}
}

static void test_files_that_are_no_captures(void **state)
{
	const char *uri = text_of("pcap:%s", file_path("x.pcap"));

	(void)state;
	begin_capture(PCAP_NANO, 147);
	save("x.pcap", made.used);
	check_refusal(
		uri, RK_PORT_IN, -EOPNOTSUPP,
		"frames of type DLT 147: capture on Ethernet, raw IP, Linux cooked or loopback");
	begin_capture(PCAPNG_MICRO, 105);
	save("x.pcap", made.used);
	check_refusal(
		uri, RK_PORT_IN, -EOPNOTSUPP,
		"frames of type IEEE802_11: capture on Ethernet, raw IP, Linux cooked or loopback");
	assert_int_equal(mkfifo(file_path("f.pcap"), 0600), 0);
	check_refusal(
		text_of("pcap:%s", file_path("f.pcap")), RK_PORT_IN, -EINVAL,
		text_of("'%s' is no regular file: save the capture to one", file_path("f.pcap")));
	memset(made.bytes, 'x', 100);
	save("x.pcap", 100);
	check_refusal(uri, RK_PORT_IN, -EPROTO,
		      "no capture in pcap or pcapng format: unknown file format");
	save("x.pcap", 0);
	check_refusal(uri, RK_PORT_IN, -EPROTO,
		      "no capture in pcap or pcapng format: truncated dump file; tried to read 4 "
		      "file header bytes, only got 0");
}

static int open_without_rights(void)
{
	struct rk_port *port = NULL;

	CHILD_CHECK(!chmod(file_path("u.pcap"), 0) && !chmod(folder, 0755));
	CHILD_CHECK(getuid() || !setuid(65534));
	CHILD_CHECK(rk_port_open(&port, text_of("pcap:%s", file_path("u.pcap")), RK_PORT_IN, 0) ==
		    -EACCES);
	CHILD_CHECK(!strcmp(rk_errmsg(), text_of("port 'pcap:%s': open '%s': Permission denied",
						 file_path("u.pcap"), file_path("u.pcap"))));
	CHILD_CHECK(rk_port_open(&port, "pcap:/nothing.pcap", RK_PORT_OUT, 0) == -EACCES);
	/* 64 MiB past the limit of users is not to be had: said, with the remedy, and no failure.
	 */
	CHILD_CHECK(!rk_port_open(&port, "udp:127.0.0.1:45678,rcvbuf=1073741823", RK_PORT_IN, 0));
	CHILD_CHECK(strstr(rk_port_note(port), "rcvbuf: got "));
	CHILD_CHECK(
		strstr(rk_port_note(port), " bytes of 1073741823: sysctl -w net.core.rmem_max="));
	CHILD_CHECK(!rk_port_close(port));
	return 0;
}

static void test_without_rights(void **state)
{
	(void)state;
	make_capture(PCAP_NANO, 0, 1, 1);
	save("u.pcap", made.used);
	in_child(open_without_rights);
}

/* Every option that people are told of is one that can be given. */
static void test_kinds_say_what_they_take(void **state)
{
	uint32_t options = 0;

	(void)state;
	for (unsigned int i = 0; rk_port_kind_at(i); i++) {
		const struct rk_port_kind *kind = rk_port_kind_at(i);

		assert_true(*kind->name && *kind->summary);
		if (!strcmp(kind->name, "dpdk")) /* in a library of its own: tests/dpdk */
			continue;
		if (kind->absent)
			continue;
		for (const char *line = kind->options; *line;) {
			struct rk_port *port;
			const char *uri = text_of("%s:1.2.3.4:5,%.*s=", kind->name,
						  (int)strcspn(line, "= "), line);

			if (*line != ' ') {
				options++;
				assert_int_equal(rk_port_open(&port, uri, RK_PORT_IN, 0), -EINVAL);
				if (strstr(rk_errmsg(), "no option"))
					assert_int_equal(rk_port_open(&port, uri, RK_PORT_OUT, 0),
							 -EINVAL);
				assert_null(strstr(rk_errmsg(), "no option"));
			}
			line += strcspn(line, "\n");
			line += *line == '\n';
		}
	}
	/* Those of udp, which no machine lacks, and of whatever else is here. */
	assert_true(options >= 8);
	assert_null(rk_port_kind_at(9));
}

static void test_null_counts(void **state)
{
	struct rk_port *port = must_open("null:", RK_PORT_OUT);
	struct ends *ends = make_ring(16);
	struct rk_port_stats stats;

	(void)state;
	must_write(port, build(RK_MSG_PACKET, 0, 0, 9, 0, 100));
	must_write(port, build(400, 0, 0, 0, 0, 48));
	assert_int_equal(rk_port_flush(port), 1);
	rk_port_stats(port, &stats);
	assert_int_equal(stats.messages, 2);
	assert_int_equal(stats.bytes, 148);
	assert_int_equal(rk_port_fd(port), -1);
	assert_int_equal(rk_port_due_ns(port), 0);
	assert_string_equal(rk_port_note(port), "");
	assert_int_equal(rk_port_poll_in(port, &ends->tx, 1), -EOPNOTSUPP);
	assert_int_equal(rk_port_close(port), 0);
	assert_int_equal(rk_port_close(NULL), 0);
	free_ring(ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_word_for_word),
		cmocka_unit_test(test_files_that_are_no_captures),
		cmocka_unit_test(test_without_rights),
		cmocka_unit_test(test_kinds_say_what_they_take),
		cmocka_unit_test(test_null_counts),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
