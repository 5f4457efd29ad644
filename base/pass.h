/*
 * base/pass.h - a descriptor that goes with a message between two processes (SCM_RIGHTS)
 */
#ifndef BASE_PASS_H
#define BASE_PASS_H

#include <sys/socket.h>

/* Room for one, aligned. */
union pass {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr head;
};

/* FD, which stays the caller's, goes with MSG; ROOM lives until that is sent. */
void pass_attach(struct msghdr *msg, union pass *room, int fd);

/* What came with MSG, which was received with room for one: the caller's now.  -1: nothing. */
int pass_taken(struct msghdr *msg);

#endif
