/* init/unmount.h - file systems out of the tree, before the machine ends */
#ifndef INIT_UNMOUNT_H
#define INIT_UNMOUNT_H

/* The last mounted first; what is still in use is set read-only. */
void unmount_all(void);

#endif
