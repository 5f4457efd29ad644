/*
 * init/nodes.h - devices in /dev where the kernel has no devtmpfs to put them there
 *
 * Thread: the only one there is.
 */
#ifndef INIT_NODES_H
#define INIT_NODES_H

/*
 * Makes what every program takes for granted, and what we listen on, in the directory DEV; what is
 * there stays.  What has numbers of its own comes where /proc and /sys say so: when modules are loaded.
 */
void nodes_make(const char *dev);

#endif
