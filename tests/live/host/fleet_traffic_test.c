/* SPDX-License-Identifier: MIT */
/*
 * What an evacuation does to the device g0, and what it says about that. Its VMs are told of, not
 * run: v0 is the tap of one of them.
 */
#include "../net/world.h"

#include "live/host/clock.h"
#include "live/host/fleet.h"

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#define LINK 4000000u
#define RATE 1600000u

static char notes[4][800];
static size_t note_count;

static void note(void *arg, const char *sentence)
{
	(void)arg;
	assert_true(note_count < sizeof(notes) / sizeof(notes[0]));
	(void)snprintf(notes[note_count++], sizeof(notes[0]), "%s", sentence);
}

static struct gw_member members[2];
static struct gw_evacuation evacuation;

/* Two VMs, of which the first moves; the user named the device and what it carries. */
static int prepare(void **state)
{
	(void)state;
	note_count = 0;
	memset(members, 0, sizeof(members));
	for (int i = 0; i < 2; i++) {
		(void)snprintf(members[i].name, sizeof(members[i].name), "vm%d", i);
		members[i].pid = getpid();
	}
	members[0].state = GW_MEMBER_MOVES;
	members[0].rate_bytes_per_s = members[0].grant.rate_bytes_per_s = RATE;
	members[1].grant.reserved_bytes_per_s = RATE / 2;
	evacuation = (struct gw_evacuation){
	        .options = {.shape = true, .carries_bytes_per_s = LINK, .note = note},
	        .members = members,
	        .count = 2,
	        .ifindex = (int)if_nametoindex("g0"),
	};
	/* Until a device is in operation, what is sent by it is dropped. */
	shell("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&"
	      "until [ $(ip link show | grep -c ' v[01]@.* state UP ') = 2 ]; do :; done");
	return 0;
}

static int clean(void **state)
{
	(void)state;
	gw_fleet_unshape(&evacuation);
	shell("ip link del v0");
	return 0;
}

static void by_tap(struct gw_member *m, const char *tap)
{
	m->usage.tap_count = 1;
	(void)snprintf(m->usage.taps[0], sizeof(m->usage.taps[0]), "%s", tap);
}

static void shape(void)
{
	gw_fleet_shape(&evacuation);
	gw_fleet_share(&evacuation);
}

static void is_not_enforced(const char *why)
{
	assert_int_equal(note_count, 1);
	assert_non_null(strstr(notes[0], "reservations are not enforced"));
	assert_non_null(strstr(notes[0], why));
	assert_string_equal(notes[0], evacuation.enforced);
	assert_int_equal(gw_fleet_class(&evacuation, &members[0]), 0);
	assert_false(device_shows("htb 474d:"));
}

static void test_what_is_granted(void **state)
{
	(void)state;
	by_tap(&members[1], "v0");
	shape();
	assert_int_equal(note_count, 1);
	assert_string_equal(notes[0], "classes of traffic on g0, which is held to 32 Mbit/s");
	assert_string_equal(notes[0], evacuation.enforced);
	/* With what the headers of IPv6 take. */
	assert_true(class_field("474d:100", "ceil") > RATE + RATE * 86ll / 1428);
	assert_true(class_field("474d:100", "rate") == class_field("474d:100", "ceil"));
	/* And room to send more than was expected. */
	assert_true(class_field("474d:107", "rate") > RATE / 2 + RATE / 8);
	assert_int_equal(gw_fleet_class(&evacuation, &members[1]), 0x104);
	gw_fleet_unshape(&evacuation);
	assert_false(device_shows("htb"));
}

static void test_no_device_is_named(void **state)
{
	(void)state;
	evacuation.options.shape = false;
	shape();
	is_not_enforced("no device was named for them: --device g0");
}

/* A tap's name says nothing about a VM whose taps are in another namespace. */
static void test_a_vm_in_another_network(void **state)
{
	(void)state;
	by_tap(&members[1], "v0");
	members[1].pid = world.helper;
	shape();
	assert_int_equal(note_count, 2);
	assert_non_null(strstr(notes[1], "nothing is reserved for what vm1 sends by v0"));
	assert_non_null(strstr(notes[1], "another network namespace"));
	assert_true(class_field("474d:107", "rate") == -1);
}

static void test_networks_without_a_tap(void **state)
{
	(void)state;
	by_tap(&members[0], "no0");
	(void)snprintf(members[1].usage.untapped, sizeof(members[1].usage.untapped), "user");
	shape();
	assert_int_equal(note_count, 3);
	assert_non_null(
	        strstr(notes[1], "nothing is reserved for what vm0 sends by no0: there is"));
	assert_non_null(strstr(notes[2], "nothing is reserved for what vm1 sends by user: a net"));
}

static void open_tap(void)
{
	struct ifreq request = {.ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int tap = open("/dev/net/tun", O_RDWR);

	if (tap < 0 || ioctl(tap, TUNSETIFF, &request))
		_exit(1);
}

/* Started as a hypervisor would be, with a tap or without. */
static void says_network(bool tap, const char *option, const char *value, const char *kind)
{
	struct gw_usage usage;
	struct gw_vm vm = {0};
	char text[64];

	vm.pid = fork();
	assert_true(vm.pid >= 0);
	if (vm.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (tap)
			open_tap();
		execlp("sh", "sh", "-c", "kill -STOP $$", "sh", option, value, NULL);
		_exit(1);
	}
	(void)snprintf(text, sizeof(text), "until grep -qzx -e -c /proc/%d/cmdline; do :; done",
	               vm.pid);
	shell(text);
	gw_usage_open(&usage, &vm);
	assert_string_equal(usage.untapped, kind);
	assert_int_equal(usage.tap_count, tap);
	gw_usage_close(&usage);
	kill(vm.pid, SIGKILL);
	waitpid(vm.pid, NULL, 0);
}

static void test_which_networks_have_a_tap(void **state)
{
	(void)state;
	says_network(false, "-netdev", "user,id=net0", "user");
	says_network(true, "-netdev", "{\"type\":\"stream\",\"id\":\"net0\"}", "stream");
	says_network(false, "-nic", "vhost-user,chardev=char0", "vhost-user");
	says_network(true, "-netdev", "tap,id=net0,ifname=t0", "");
	says_network(true, "-netdev", "bridge,id=net0,br=br0", "");
	says_network(false, "-netdev", "tap,id=net0,fd=7", "macvtap");
	says_network(false, "-nic", "none", "");
	says_network(false, "-name", "user", "");
}

static void send_frame(const char *device, size_t length)
{
	const struct sockaddr_ll to = {.sll_family = AF_PACKET,
	                               .sll_ifindex = (int)if_nametoindex(device)};
	uint8_t frame[1500] = {2, 0, 0, 0, 0, 77, 2, 0, 0, 0, 0, 78, 0x88, 0xb5};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_int_equal(sendto(fd, frame, length, 0, (const struct sockaddr *)&to, sizeof(to)),
	                 (ssize_t)length);
	close(fd);
}

/* A reservation is of what leaves by the link: what a VM receives does not. */
static void test_what_a_vm_sends(void **state)
{
	struct gw_usage_counts before, sent, received;

	(void)state;
	by_tap(&members[1], "v0");
	members[1].usage.pid = getpid();
	before = gw_usage_read(&members[1].usage);
	send_frame("v1", 1000);
	sent = gw_usage_read(&members[1].usage);
	send_frame("v0", 500);
	received = gw_usage_read(&members[1].usage);
	assert_true(sent.sent_bytes >= before.sent_bytes + 1000);
	assert_true(received.sent_bytes < sent.sent_bytes + 500);
	assert_true(received.network_bytes >= sent.network_bytes + 500);
}

static void test_what_is_sensed(void **state)
{
	struct gw_fleet_use use = {.at_ns = gw_now_ns() - 500000000};

	(void)state;
	by_tap(&members[1], "v0");
	members[1].usage.pid = getpid();
	members[1].used = gw_usage_read(&members[1].usage);
	for (int i = 0; i < 100; i++)
		send_frame("v0", 1500);
	(void)gw_fleet_sense(&evacuation, &use);
	assert_true(members[1].used.network_bytes >= 150000);
	assert_in_range(gw_traffic_mean(&members[1].traffic), 0, 10000);
}

/* One that has left sends by another host's link; those that move are what is divided. */
static void test_what_others_send(void **state)
{
	const size_t first = 0;

	(void)state;
	gw_traffic_add(&members[0].traffic, 1000);
	gw_traffic_add(&members[1].traffic, 200);
	assert_int_equal(gw_fleet_sent_by_others(&evacuation, &first, 1), 200);
	assert_int_equal(gw_fleet_sent_by_others(&evacuation, NULL, 0), 1200);
	members[1].state = GW_MEMBER_MOVED;
	assert_int_equal(gw_fleet_sent_by_others(&evacuation, &first, 1), 0);
}

/* How many notes there are besides where the moves' route leads by this device. */
static size_t complaints(const char *device)
{
	note_count = 0;
	evacuation.host_count = 1;
	evacuation.hosts[0] =
	        (struct gw_fleet_to){.name = "b", .ifindex = (int)if_nametoindex(device)};
	gw_fleet_shape(&evacuation);
	gw_fleet_unshape(&evacuation);
	return note_count - 1;
}

static void test_the_device_that_was_named(void **state)
{
	(void)state;
	shell("ip link add br0 type bridge && ip link add m0 link g0 type macvlan &&"
	      "ip link add m1 link m0 type macvlan");
	assert_int_equal(complaints("g0"), 0);
	assert_int_equal(complaints("m0"), 0);
	assert_int_equal(complaints("m1"), 0);
	assert_int_equal(complaints("v0"), 1);
	assert_non_null(strstr(notes[1], "what moves to b leaves by v0"));
	assert_int_equal(complaints("v1"), 1);
	assert_int_equal(complaints("br0"), 1);
	shell("ip link del m1 && ip link del m0 && ip link set g0 master br0");
	assert_int_equal(complaints("br0"), 0);
	shell("ip link del br0");
}

static void test_two_at_once(void **state)
{
	struct gw_evacuation first;

	(void)state;
	shape();
	first = evacuation;
	evacuation.classes = (struct gw_classes){.htb.hold = -1};
	note_count = 0;
	shape();
	assert_int_equal(note_count, 1);
	assert_non_null(strstr(notes[0], "another migration shapes this device"));
	assert_true(class_field("474d:1", "rate") == LINK);
	gw_fleet_unshape(&first);
	assert_false(device_shows("htb"));
}

/* By the operator, or with the device itself: the moves go on by their own rates. */
static void test_the_tree_is_taken_away(void **state)
{
	(void)state;
	shape();
	shell("tc qdisc del dev g0 root");
	note_count = 0;
	members[0].rate_bytes_per_s = members[0].grant.rate_bytes_per_s = RATE / 2;
	gw_fleet_share(&evacuation);
	is_not_enforced("cannot shape traffic");
	gw_fleet_share(&evacuation);
	assert_int_equal(note_count, 1);
}

static void test_the_device_is_taken_away(void **state)
{
	(void)state;
	shell("ip link add gone0 type veth peer name gone1");
	evacuation.ifindex = (int)if_nametoindex("gone0");
	shape();
	shell("ip link del gone0");
	note_count = 0;
	members[0].rate_bytes_per_s = members[0].grant.rate_bytes_per_s = RATE / 2;
	gw_fleet_share(&evacuation);
	is_not_enforced("cannot shape traffic");
}

/* Root of a user namespace, but of none that owns this network. */
static void test_in_a_user_namespace(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (unshare(CLONE_NEWUSER))
			_exit(2);
		gw_fleet_shape(&evacuation);
		_exit(note_count == 1 && strstr(notes[0], "no right to shape traffic") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(device_shows("htb"));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, prepare, clean)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        EACH(test_what_is_granted),
	        EACH(test_no_device_is_named),
	        EACH(test_a_vm_in_another_network),
	        EACH(test_networks_without_a_tap),
	        EACH(test_which_networks_have_a_tap),
	        EACH(test_what_a_vm_sends),
	        EACH(test_what_is_sensed),
	        EACH(test_what_others_send),
	        EACH(test_the_device_that_was_named),
	        EACH(test_two_at_once),
	        EACH(test_the_tree_is_taken_away),
	        EACH(test_the_device_is_taken_away),
	        EACH(test_in_a_user_namespace),
	};

	if (unshare(CLONE_NEWNET)) {
		printf("skipped: no right to make a network namespace (%s)\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, build_world, destroy_world);
}
