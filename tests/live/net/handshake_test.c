/* SPDX-License-Identifier: MIT */
/*
 * Addresses, listening, connecting, and HELLO against peers that mean no good.
 */
#include "pair.h"

#include "live/net/address.h"

#include <pthread.h>

#define LIMIT_MS    300
#define HELLO_BYTES 40

static const struct gw_id some_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9}};

static size_t make_hello(uint8_t *to, uint32_t version, enum gw_channel channel, uint8_t id)
{
	struct gw_message hello = {.kind = GW_MSG_HELLO};

	hello.hello.version = version;
	hello.hello.channel = channel;
	hello.hello.id = some_id;
	hello.hello.id.bytes[0] = id;
	return gw_message_encode(&hello, to, 128);
}

static void parses(const char *text, const char *host, uint16_t port)
{
	struct gw_address address;
	struct gw_error error;

	assert_int_equal(gw_address_parse(&address, text, &error), 0);
	assert_string_equal(address.host, host);
	assert_int_equal(address.port, port);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {"",        "h:",   "h:x",    "h:65536", "h:-1",
	                                  "[::1",    "[]:1", "[::1]x", "[::1]:",  "h:99999999999",
	                                  "[::1]:+1"};
	struct gw_address address;
	struct gw_error error;

	(void)state;
	parses("host", "host", GW_DEFAULT_PORT);
	parses("host:1", "host", 1);
	parses(":0", "", 0);
	parses("127.0.0.1:65535", "127.0.0.1", 65535);
	parses("[::1]:4910", "::1", 4910);
	parses("[::1]", "::1", GW_DEFAULT_PORT);
	parses("2001:db8::7", "2001:db8::7", GW_DEFAULT_PORT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error.text[0] = 0;
		assert_int_equal(gw_address_parse(&address, bad[i], &error), -EINVAL);
		assert_true(error.text[0]);
	}
}

static void test_listen(void **state)
{
	struct gw_error error;
	char text[64];
	int fd, other;

	(void)state;
	fd = gw_net_listen("127.0.0.1:0", &error);
	assert_true(fd >= 0);
	assert_true(gw_net_is_loopback(fd));
	assert_int_equal(gw_net_accept(fd, NULL, 0, &error), -EAGAIN);
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(fd));
	assert_int_equal(gw_net_listen(text, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "taken"));
	assert_int_equal(gw_net_listen("192.0.2.7:0", &error), -EADDRNOTAVAIL);
	other = gw_net_listen(":0", &error);
	assert_true(other >= 0);
	assert_false(gw_net_is_loopback(other));
	/* Both families come in there. */
	close(connect_plainly(port_of(other)));
	assert_true(wait_for(other, POLLIN));
	close(other);
	close(fd);
}

/* A peer played by a thread: accepts, or takes an open socket, and sends what it is told to. */
struct peer {
	int listener, fd;
	const uint8_t *bytes;
	size_t count;
	int drip_ms; /* between bytes; 0: all at once */
	bool closes; /* and reads nothing first */
	pthread_t thread;
};

static void *play(void *argument)
{
	struct peer *peer = argument;
	struct gw_error error;

	if (peer->listener >= 0 && wait_for(peer->listener, POLLIN))
		peer->fd = gw_net_accept(peer->listener, NULL, 0, &error);
	for (size_t i = 0; peer->drip_ms && i < peer->count; i++) {
		(void)send(peer->fd, peer->bytes + i, 1, MSG_NOSIGNAL);
		usleep((useconds_t)peer->drip_ms * 1000);
	}
	if (!peer->drip_ms)
		(void)send(peer->fd, peer->bytes, peer->count, MSG_NOSIGNAL);
	if (peer->closes)
		(void)shutdown(peer->fd, SHUT_WR);
	return NULL;
}

/* What connecting to such a peer yields. */
static int meet(struct peer *peer, int limit_ms, struct gw_error *error)
{
	char text[64];
	int result;

	peer->listener = gw_net_listen("127.0.0.1:0", error);
	assert_true(peer->listener >= 0);
	peer->fd = -1;
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(peer->listener));
	assert_int_equal(pthread_create(&peer->thread, NULL, play, peer), 0);
	result = gw_net_connect(text, GW_BULK, &some_id, limit_ms, error);
	pthread_join(peer->thread, NULL);
	close(peer->fd);
	close(peer->listener);
	if (result >= 0)
		close(result);
	return result;
}

/* What greeting such a peer yields. */
static int greet(struct peer *peer, int limit_ms, struct gw_error *error)
{
	enum gw_channel channel;
	struct gw_id id;
	int ends[2], result;

	open_pair(ends);
	peer->listener = -1;
	peer->fd = ends[0];
	assert_int_equal(pthread_create(&peer->thread, NULL, play, peer), 0);
	result = gw_net_greet(ends[1], &channel, &id, limit_ms, error);
	close(ends[1]);
	pthread_join(peer->thread, NULL);
	close(ends[0]);
	return result;
}

static void both_say(struct peer peer, int expected, const char *words)
{
	struct gw_error error;
	struct peer again = peer;
	int limit_ms = expected == -ETIMEDOUT ? LIMIT_MS : PATIENCE_MS;

	assert_int_equal(meet(&peer, limit_ms, &error), expected);
	assert_non_null(strstr(error.text, words));
	assert_int_equal(greet(&again, limit_ms, &error), expected);
	assert_non_null(strstr(error.text, words));
}

static void test_hostile_peers(void **state)
{
	static const uint8_t http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
	uint8_t hello[128], mangled[128], newer[128], ping[16] = {8, 0, 0, 0, GW_MSG_PING};
	size_t bytes = make_hello(hello, GW_WIRE_VERSION, GW_BULK, 1);

	(void)state;
	assert_int_equal(bytes, HELLO_BYTES);
	memcpy(mangled, hello, bytes);
	mangled[14] = '\n'; /* as a text-mode relay would */
	assert_int_equal(make_hello(newer, GW_WIRE_VERSION + 1, GW_BULK, 1), HELLO_BYTES);
	both_say((struct peer){.bytes = http, .count = sizeof(http)}, -EPROTO, "not a godwit");
	both_say((struct peer){.bytes = mangled, .count = bytes}, -EPROTO, "not a godwit");
	both_say((struct peer){.bytes = ping, .count = sizeof(ping)}, -EPROTO, "not a godwit");
	both_say((struct peer){.bytes = newer, .count = bytes}, -EPROTONOSUPPORT, "version 3");
	both_say((struct peer){.bytes = hello, .count = 0}, -ETIMEDOUT, "in time");
	both_say((struct peer){.bytes = hello, .count = 4}, -ETIMEDOUT, "in time");
	both_say((struct peer){.bytes = hello, .count = 4, .closes = true}, -ECONNRESET, "closed");
	both_say((struct peer){.bytes = hello, .count = 39, .closes = true}, -ECONNRESET, "closed");
	/* Each byte in time, all of them not. */
	both_say((struct peer){.bytes = hello, .count = bytes, .drip_ms = LIMIT_MS / 10},
	         -ETIMEDOUT, "in time");
}

static void test_wrong_migration(void **state)
{
	struct gw_error error;
	uint8_t hello[128];
	struct peer peer = {.bytes = hello};

	(void)state;
	peer.count = make_hello(hello, GW_WIRE_VERSION, GW_BULK, 9);
	assert_int_equal(meet(&peer, PATIENCE_MS, &error), -EPROTO);
	assert_non_null(strstr(error.text, "another migration"));
	peer.count = make_hello(hello, GW_WIRE_VERSION, GW_URGENT, 1);
	assert_int_equal(meet(&peer, PATIENCE_MS, &error), -EPROTO);
	assert_non_null(strstr(error.text, "another migration"));
}

static void test_unreachable(void **state)
{
	struct gw_error error;
	char text[64];
	int fd = gw_net_listen("127.0.0.1:0", &error);

	(void)state;
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", port_of(fd));
	/* Nobody accepts: TCP connects, HELLO never comes. */
	assert_int_equal(gw_net_connect(text, GW_BULK, &some_id, 100, &error), -ETIMEDOUT);
	close(fd);
	assert_int_equal(gw_net_connect(text, GW_BULK, &some_id, PATIENCE_MS, &error),
	                 -ECONNREFUSED);
	assert_non_null(strstr(error.text, "godwit serve"));
	assert_int_equal(gw_net_connect("no such host", GW_BULK, &some_id, PATIENCE_MS, &error),
	                 -EHOSTUNREACH);
	assert_non_null(strstr(error.text, "no such host"));
	assert_int_equal(gw_net_connect(":4909", GW_BULK, &some_id, PATIENCE_MS, &error), -EINVAL);
	assert_int_equal(gw_net_connect("127.0.0.1:0", GW_BULK, &some_id, PATIENCE_MS, &error),
	                 -EINVAL);
}

struct host {
	int listener, fd, result;
	enum gw_channel channel;
	struct gw_id id;
};

static void *accept_and_greet(void *argument)
{
	struct host *host = argument;
	struct gw_error error;

	(void)wait_for(host->listener, POLLIN);
	host->fd = gw_net_accept(host->listener, NULL, 0, &error);
	host->result = gw_net_greet(host->fd, &host->channel, &host->id, PATIENCE_MS, &error);
	return NULL;
}

static void connects(const char *listen_at, const char *connect_to, enum gw_channel channel)
{
	struct gw_error error;
	struct host host = {.listener = gw_net_listen(listen_at, &error)};
	pthread_t thread;
	char text[64], byte = 'x';
	int fd;

	assert_true(host.listener >= 0);
	assert_int_equal(pthread_create(&thread, NULL, accept_and_greet, &host), 0);
	(void)snprintf(text, sizeof(text), "%s:%u", connect_to, port_of(host.listener));
	fd = gw_net_connect(text, channel, &some_id, PATIENCE_MS, &error);
	pthread_join(thread, NULL);
	assert_true(fd >= 0);
	assert_int_equal(host.result, 0);
	assert_int_equal(host.channel, channel);
	assert_memory_equal(&host.id, &some_id, sizeof(some_id));
	/* Nothing of the handshake is left over, nothing behind it was swallowed. */
	write_all(fd, "g", 1);
	assert_true(wait_for(host.fd, POLLIN));
	assert_int_equal(recv(host.fd, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'g');
	assert_int_equal(recv(host.fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(gw_net_watch(fd, 10000, &error), 0);
	assert_int_equal(gw_net_pace(fd, 1000000, &error), 0);
	assert_int_equal(gw_net_pace(fd, 0, &error), 0);
	for (int i = 0; i < 1000 && gw_net_look(fd).acked_bytes < HELLO_BYTES + 1; i++)
		usleep(1000);
	assert_int_equal(gw_net_look(fd).acked_bytes, HELLO_BYTES + 1);
	assert_true(gw_net_rtt_ns(fd) > 0);
	close(fd);
	close(host.fd);
	close(host.listener);
}

static void test_good_peers(void **state)
{
	(void)state;
	connects("127.0.0.1:0", "127.0.0.1", GW_CONTROL);
	connects("127.0.0.1:0", "localhost", GW_BULK);
	connects(":0", "127.0.0.1", GW_URGENT);
	if (access("/proc/net/if_inet6", R_OK) == 0)
		connects("[::1]:0", "[::1]", GW_CONTROL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_addresses),       cmocka_unit_test(test_listen),
	        cmocka_unit_test(test_good_peers),      cmocka_unit_test(test_hostile_peers),
	        cmocka_unit_test(test_wrong_migration), cmocka_unit_test(test_unreachable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
