/* SPDX-License-Identifier: MIT */
/*
 * A program for the cage: tries what a VM's program must not be able to do there, a line each, and
 * then waits.  intruder IMAGE FILE PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096

static void say(const char *what, bool done)
{
	(void)printf("%s %s\n", what, done ? "done" : "refused");
}

/* The one thing that must work: a private view of the image. */
static void use_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED) {
		say("image-private", false);
		return;
	}
	say("image-private", map[0] == 'i');
	memset(map, 'x', PAGE);
	say("image-write", pwrite(fd, "x", 1, 0) == 1);
	say("image-punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0);
	say("image-cut", ftruncate(fd, 0) == 0);
	say("image-remove", madvise(map, PAGE, MADV_REMOVE) == 0);
	say("image-share",
	    mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
}

static void use_files(const char *image, const char *file)
{
	char other[512];
	dev_t disk = makedev(1, 1); /* memory: as good as any disk */

	(void)snprintf(other, sizeof(other), "%s.new", file);
	say("file-read", open(file, O_RDONLY | O_CLOEXEC) >= 0);
	say("file-write", open(file, O_WRONLY | O_CLOEXEC) >= 0);
	say("file-cut", truncate(file, 0) == 0);
	say("file-make", open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0);
	say("file-remove", unlink(file) == 0);
	say("file-rename", rename(file, other) == 0);
	say("file-mode", chmod(file, 0777) == 0);
	say("image-again", open(image, O_RDWR | O_CLOEXEC) >= 0);
	say("device-make", mknod(other, S_IFBLK | 0600, disk) == 0);
	say("device-open", open("/dev/mem", O_RDONLY | O_CLOEXEC) >= 0);
	say("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
}

static void use_network(unsigned port)
{
	struct sockaddr_in there = {.sin_family = AF_INET,
	                            .sin_port = htons((uint16_t)port),
	                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct ifreq up = {.ifr_name = "shadowa", .ifr_flags = IFF_UP};
	char frame[64] = {0};

	say("connect", connect(fd, (struct sockaddr *)&there, sizeof(there)) == 0);
	say("socket-local", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	say("socket-packet", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
	say("tap-up", ioctl(3, SIOCSIFFLAGS, &up) == 0);
	say("tap-write", write(3, frame, sizeof(frame)) == sizeof(frame));
}

static void use_processes(void)
{
	say("kill-all", kill(-1, 0) == 0);
	say("namespace", unshare(CLONE_NEWUTS) == 0);
	if (fork() == 0)
		for (;;)
			pause(); /* must not outlive us */
}

int main(int count, char **argument)
{
	if (count != 4)
		return 2;
	use_image(argument[1]);
	use_files(argument[1], argument[2]);
	use_network((unsigned)atoi(argument[3]));
	use_processes();
	say("end", true);
	(void)fflush(stdout);
	for (;;)
		pause();
}
