/*
 * proto/limits.h - every bound of the wire and of the agent's memory, with its reason
 *
 * What a client can run into is also told to it in the `limits` of hello.
 */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

/* A frame holds 1 MiB of payload and the message around it. */
#define MAX_FRAME ((1u << 20) + 64)

/* The same on a serial line at first: what comes at once behind it is not to wait long. */
#define SERIAL_MAX_FRAME (16u << 10)

/* What hello may lower max_frame to: an error message must still fit. */
#define MIN_FRAME 1024u

/* One data message: large enough to copy fast, small enough that a ping never waits long. */
#define MAX_DATA 65536u

/* The longest data message's own bytes: length 4, array 1, type 1, id 5, channel 1, bin 5. */
#define DATA_HEADER_MAX 17

/* The same of an event: array 1, type 1, id 5. */
#define EVENT_HEADER_MAX 7

/* Nesting of a message, the outermost array included. */
#define MAX_DEPTH 16u

/* Values in the parameters of one request: msgpack-c spends 24 bytes on each. */
#define MAX_ELEMENTS (1u << 18)

/*
 * Input a client may have in flight in one call before the agent grants more: a worker writes one half
 * of it to a file while the other half comes, and each is worth the waking of two threads.
 */
#define INPUT_WINDOW (512u << 10)

/* One read from a socket.  One buffer of this size serves all connections. */
#define READ_CHUNK (256u << 10)

/* Above this much unsent output no further request of a connection is read. */
#define OUT_HIGH (256u << 10)

/* Output that is copied rather than gathered, so that small frames share one write. */
#define SMALL_DATA 4096u

/* The output queue of a connection; more means that a bound above is broken. */
#define OUT_MAX (4u << 20)

/* Without credits, unread input of all calls of a connection before it is read no further. */
#define INPUT_HIGH (1u << 20)

#define MAX_CONNECTIONS 256u
#define MAX_CALLS       1024u /* open at once on one connection */

/* Parameters of open calls: for one connection, for all. */
#define ARENA_CONN_MAX  (16u << 20)
#define ARENA_TOTAL_MAX (64u << 20)

/* Jobs waiting for a worker, and workers: each may hang in a dead file system for ever. */
#define MAX_QUEUED_JOBS 4096u
#define MAX_WORKERS     32u

/* What a call reads from files at once, and all of them before it becomes less. */
#define BLOCK_MAX       (256u << 10)
#define BLOCK_MIN       (16u << 10)
#define BLOCK_TOTAL_MAX (64u << 20)

/*
 * A large file goes to the client by way of pipes, which hold pages of it and no copy.  A pipe's size is
 * a power of two.  Calls that do it at once have two each, four descriptors; what comes beyond is
 * copied, so that what clients leave unread pins no more than 64 MiB of the page cache.
 */
#define PIPE_BYTES      (512u << 10)
#define MAX_PIPED_CALLS 64u

/* Processes running at once, and output kept of one stream. */
#define MAX_PROCESSES 1024u
#define RING_DEFAULT  (1u << 20)
#define RING_MAX      (16u << 20)

/*
 * Of the agent's memory, what is never reclaimed for others (memory.min, memory.low): itself, some 4 MiB
 * with the pages of its program, and what a few busy connections, rings and archives work with.  What
 * it does not use is anybody's.
 */
#define AGENT_MEMORY_MIN (32u << 20)

/*
 * Threads that each wait for a child's exec; beyond that a child gets a copy of the agent's memory,
 * which takes some 0.3 ms more and waits for nobody.  As many as may start at once on a busy machine:
 * they stay, at some 24 KiB each.
 */
#define MAX_SPAWNERS 128u

/* Processes of the guest that one proc.list tells of. */
#define MAX_WALK 32768u

/* Exited processes that are remembered, and the memory of their output and parameters. */
#define MAX_EXITED       1024u
#define EXITED_BYTES_MAX (16u << 20)

/*
 * What is noted of a process for the next agent: of its arguments, and a label at most, so that it fits
 * beside the longest path into a note at its cgroup.
 */
#define RECORD_ARGV_MAX  1024u
#define RECORD_LABEL_MAX 1024u

/*
 * Pipes that somebody holds for the next agent: stdout and stderr of every process that may run.  They
 * count against the limit of descriptors of process 1, whose hard one the kernel sets to 4096.
 */
#define MAX_KEPT 2048u

/* Files that a process is to produce: each costs a digest until the process is forgotten. */
#define MAX_ARTIFACTS 1024u

/* Programs that run one after another when the guest was resumed. */
#define MAX_HOOKS 64u

/*
 * Names of a directory that a walk (fs/walk.h) sorts at once: some 200 000 of the usual length, in
 * less time than a cancel may take.  A directory with more is read several times.  Beyond the sum
 * for all walks there is the least for each directory that they stand in.
 */
#define WALK_NAMES_MAX   (4u << 20)
#define WALK_NAMES_TOTAL (64u << 20)
#define WALK_NAMES_MIN   2048u

/* Patterns in one list, and the bytes of one: each name is compared with all of them. */
#define MAX_GLOBS 1024u
#define GLOB_MAX  4096u

/* What one result tells of the files that could not be read: bytes. */
#define SKIPPED_MAX (16u << 10)

/*
 * Archives.  Records before one entry: a long name, a long target and all extended attributes; what
 * others read is no more than 1 MiB.
 */
#define TAR_RECORDS_MAX (1ul << 20)

/*
 * Paths of files with several names, of which each but the first is a link in the archive: of one
 * call, of all.  Files beyond it are stored as often as they have names, and that is told.
 */
#define TAR_LINKS_MAX   (16u << 20)
#define TAR_LINKS_TOTAL (64u << 20)

/* Pieces of data between the holes of one file: where there are more, the smallest holes are filled. */
#define TAR_PIECES_MAX 16384u

/*
 * What is being compressed or hashed for one call, one block or batch of files more than there are
 * processors; and the memory of the blocks of all calls.  Where that is used up a call has one block,
 * and beyond the double of it none.
 */
#define TAR_TASKS_MAX    33u
#define TAR_MEMORY_TOTAL (96ul << 20)

/* tar.manifest: files of one batch, which are open at once, and bytes that are enough for it. */
#define TAR_BATCH_FILES 16u
#define TAR_BATCH_BYTES (512u << 10)

/*
 * Archives that are read.  A name, an extended header (attributes of 64 KiB each among it) and one for all entries,
 * which is looked through for each: bytes.  Pieces between the holes of one file: 16 bytes each.
 */
#define TAR_NAME_MAX      (64u << 10)
#define TAR_HEADER_MAX    (1u << 20)
#define TAR_GLOBAL_MAX    (64u << 10)
#define IMPORT_PIECES_MAX (1u << 18)

/* The size of one file in an archive: what a JavaScript number holds. */
#define TAR_SIZE_MAX (1ull << 53)

/* What zstd -19 needs for decompressing, 8 MiB; --ultra and --long may need more. */
#define TAR_ZSTD_WINDOW_LOG 23u

/*
 * tar.import: calls at once, each with such a window; entries and uncompressed bytes of an archive,
 * unless the call says less; and for the directories whose times and modes are set at the end, bytes of
 * one call: some 300 000.
 */
#define IMPORTS_MAX       8u
#define IMPORT_ENTRIES    (10u << 20)
#define IMPORT_BYTES      (1ull << 42)
#define IMPORT_LATE_MAX   (32u << 20)
#define IMPORT_LATE_TOTAL (64u << 20)

/* What an import that failed tells of what it has written: bytes. */
#define IMPORT_WRITTEN_MAX (16u << 10)

/*
 * Regular expressions: bytes, groups in one another, and the size with every repetition written out.
 * What libc makes of one grows with the square of its size and more: these are some 15 MiB.
 */
#define PATTERN_MAX       4096u
#define PATTERN_DEPTH_MAX 64u
#define PATTERN_SIZE_MAX  1024u

/*
 * A longer line is searched in pieces of this size, which share GREP_OVERLAP bytes: a match that
 * lies across two of them is found if it is no longer than that.  One piece of a line is told.
 */
#define GREP_PIECE   2048u
#define GREP_OVERLAP 512u

/* Directories in one another that a walk enters. */
#define WALK_DEPTH_MAX 32768u

/*
 * The environment that the host lays down: names and values as a process has them, and how many,
 * because each costs some 80 bytes besides.
 */
#define ENV_BYTES_MAX (1u << 20)
#define ENV_VARS_MAX  16384u

/*
 * Listening sockets that are told of.  A guest that has more of them is up to something; one scan
 * of so many takes some milliseconds of a worker.
 */
#define MAX_PORTS 4096u

/* Calls of net.watch: each has a picture of its own of all ports. */
#define MAX_PORT_WATCHES 64u

/* Calls of net.wait: each is looked at after every scan. */
#define MAX_PORT_WAITS 1024u

/* Calls of net.dial, all connections together: a descriptor each. */
#define MAX_TUNNELS 4096u

/*
 * What a tunnel's client may send beyond INPUT_WINDOW, so that it fills one end while the other is
 * emptied: a third more speed.  All tunnels share so much; those beyond it do without.
 */
#define TUNNEL_CREDIT       (768u << 10)
#define TUNNEL_CREDIT_TOTAL (48u << 20)

/*
 * What all watches (fs.watch) know of their trees, some 85 bytes an entry; no more than a quarter of
 * the guest's memory.  Three million entries.
 */
#define WATCH_TOTAL_MAX (256u << 20)

/* What a watch has read of the kernel's events and not worked through; the kernel queues the rest. */
#define WATCH_QUEUE_MAX (64u << 10)

/* How long fs.watch may wait for more changes of one file before it tells of them. */
#define WATCH_COALESCE_MAX 60000

/* Changes of files that wait for that; beyond it the oldest are told early. */
#define WATCH_PENDING_MAX 65536u

/* Events that are kept for system.events, their memory, and the longest: an exit with artifacts. */
#define MAX_EVENTS      1024u
#define EVENT_BYTES_MAX (4u << 20)
#define EVENT_MAX       (256u << 10)

/* A datagram of `guestd emit`: what a process of the guest says is an event of this size at most. */
#define EMIT_MAX      (60u << 10)
#define EMIT_TYPE_MAX 64u

/* What system.info reads of os-release: bytes, and assignments. */
#define OS_RELEASE_MAX  (8u << 10)
#define OS_RELEASE_KEYS 64u

/*
 * What system.metrics and system.trim look at: mounts, the bytes of their list, and interfaces.  A
 * guest with thousands of them has overlays of one disk.
 */
#define MOUNTS_MAX          256u
#define MOUNTINFO_BYTES_MAX (256u << 10)
#define INTERFACES_MAX      256u
#define BLOCKS_MAX          64u

/* The shortest interval of a stream of samples, in ms: each costs a worker some 0.3 ms. */
#define METRICS_INTERVAL_MIN 10u

/*
 * A CA certificate in PEM; a bundle of them (those of distributions have 250 KiB); certificates
 * whose subjects have the same hash, which is nearly always one.
 */
#define CA_PEM_MAX       (64u << 10)
#define BUNDLE_MAX       (16u << 20)
#define CA_SAME_HASH_MAX 100u

/*
 * Output rings of all processes, or a quarter of the guest's memory where that is less; beyond it a
 * ring stays at its smallest size.
 */
#define RING_TOTAL_MAX (128u << 20)

/* proc.run: what is captured of a stream unless the call says otherwise. */
#define RUN_OUTPUT_DEFAULT (256u << 10)

#endif
