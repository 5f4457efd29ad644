/* init/grow.h - a file system as large as its device */
#ifndef INIT_GROW_H
#define INIT_GROW_H

/*
 * Grows the ext4 that is mounted on PATH to the size of DEVICE.  What is not done is logged: it is
 * none, it fills its device, the kernel refuses.  Thread: the only one there is.
 */
void grow(const char *path, const char *device);

#endif
