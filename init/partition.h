/*
 * init/partition.h - the identity of a partition
 *
 * Thread: any.  Bytes of a disk are untrusted.
 */
#ifndef INIT_PARTITION_H
#define INIT_PARTITION_H

#include <stdbool.h>
#include <stddef.h>

/*
 * That of partition NUMBER, from 1 on, of the disk on FD with blocks of BLOCK_SIZE bytes: a UUID in a
 * GPT, "<signature>-<number>" in the table of an MBR.  False: the disk has no such table.
 */
bool partition_id(int fd, unsigned number, unsigned block_size, char id[37]);

#endif
