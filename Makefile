# The one build file.  A directory is its files: nothing to edit here when one is added.
comma  := ,
CC     := gcc
SAN    ?=
# Every flavour of the build has a directory of its own: build, build/clang, build/thread, ...
B      := build$(if $(filter clang%,$(CC)),/clang)$(if $(SAN),/$(subst $(comma),-,$(SAN)))
PREFIX ?= /usr/local
DESTDIR ?=

WARN   := -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wimplicit-fallthrough
ifeq ($(SAN),)
OPT    := -O2 -ffunction-sections -fdata-sections -fstack-protector-strong
LINK   := -static -Wl,--gc-sections -s
else
OPT    := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LINK   := -fsanitize=$(SAN)
endif
FLAGS  := -std=gnu11 -D_GNU_SOURCE -I. -isystem build/isal -MMD -MP $(WARN) $(OPT)

CORE   := base proto vsock guestd ctl libguestd clients bench tests initramfs docs service build
AREAS  := $(filter-out $(CORE),$(patsubst %/,%,$(wildcard */)))
COMMON := $(wildcard base/*.c proto/*.c vsock/*.c)
# Deflate several times as fast as zlib's, where tar/fetch has built it.
ISAL   := $(wildcard build/isal/isa-l.a)
DAEMON := $(COMMON) $(filter-out $(if $(ISAL),,tar/isal.c),$(wildcard guestd/*.c $(AREAS:%=%/*.c)))
# What guestctl shares with the agent: archives, without what only the agent can do.
CTL    := $(COMMON) $(wildcard ctl/*.c) $(patsubst %,tar/%.c,pax reader records below late links)
UNIT   := $(patsubst tests/unit/%.c,$B/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ   := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
# Of it zstd takes 0.65 MB, zlib and isa-l 0.25: no part of them that is not used.
SIZE_MAX := 2600000
# What the daemon links; with -static only the objects that are needed, of these only the sections.
LIBS   := $(ISAL) -lev -lmsgpackc -lnettle -lzstd -lz -lm -pthread

.PHONY: all clean demo deps image vm check bench install lib install-lib deb help unit unit-build unit-list \
	fuzz fuzz-build fuzz-replay tidy format size-max
.SECONDARY:

all: $B/guestd $B/guestctl ## build/guestd and build/guestctl, static and stripped

# Objects, never an archive: a linker set loses the members that an archive does not pull.
$B/guestd: $(DAEMON:%.c=$B/o/%.o)
	@echo "  LINK  $@"
	@$(CC) $(FLAGS) $(LINK) -o $@ $^ $(LIBS)

$B/guestctl: $(CTL:%.c=$B/o/%.o)
	@echo "  LINK  $@"
	@$(CC) $(FLAGS) $(LINK) -o $@ $^ -lmsgpackc -ljansson -lm

# The client library: one object of what it needs, of which guestd_* alone is to be seen.
LIB    := $(patsubst %.c,$B/o/%.o,libguestd/guestd.c $(wildcard ctl/client*.c) $(COMMON))
$B/libguestd.a: $(LIB)
	@echo "  LIB   $@"
	@rm -f $@ $B/o/libguestd/rest.a
	@$(AR) cr $B/o/libguestd/rest.a $(wordlist 2,$(words $^),$^)
	@$(LD) -r -o $B/o/libguestd/all.o $< $B/o/libguestd/rest.a
	@objcopy --wildcard --keep-global-symbol='guestd_*' $B/o/libguestd/all.o
	@$(AR) cr $@ $B/o/libguestd/all.o

$B/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) $(FLAGS) $(CFLAGS) -c -o $@ $<

# What of the core stands without connections and methods.
ALONE  := guestd/loop.c guestd/job.c guestd/pump.c guestd/event.c guestd/sha256.c proc/order.c proc/tail.c env/store.c guestd/sha1.c system/x509.c system/pem.c system/mountinfo.c guestd/users.c fs/glob.c fs/walk.c fs/path.c fs/pattern.c net/sockets.c net/address.c fs/watch_picture.c fs/watch_pipe.c fs/watch_pending.c fs/watch_scan.c fs/watch_unsure.c guestd/orphans.c guestd/keeper.c init/control.c init/nodes.c init/respawn.c guestd/words.c init/superblock.c init/partition.c init/ip.c \
	$(filter tar/blocks.c tar/team.c tar/gzip.c tar/isal.c tar/zstd.c tar/pax.c tar/links.c,$(DAEMON))

$B/unit/%: $B/o/tests/unit/%.o $(patsubst %.c,$B/o/%.o,$(COMMON) $(ALONE))
	@mkdir -p $(@D)
	@$(CC) $(FLAGS) $(if $(SAN),-fsanitize=$(SAN)) -o $@ $^ -lcmocka $(LIBS)

# What of an import, and of the configuration, stands without the agent.
IMPORT := tar/decode.c tar/reader.c tar/records.c tar/below.c guestd/words.c

$B/fuzz/%: $B/o/tests/fuzz/%.o $B/o/tests/fuzz/replay.o $(patsubst %.c,$B/o/%.o,$(COMMON) $(IMPORT))
	@mkdir -p $(@D)
	@$(CC) $(FLAGS) $(if $(SAN),-fsanitize=$(SAN)) -o $@ $^ -lmsgpackc -lzstd -lz -lm

deps: ## install the Debian packages that the build and the tests need (as root)
	sh initramfs/deps
	tar/fetch

image: build/initramfs.cpio.gz ## build/initramfs.cpio.gz with guestd as /init, and build/vmlinuz
build/initramfs.cpio.gz: build/guestd initramfs/fetch initramfs/pack
	initramfs/fetch
	initramfs/pack

vm: image ## boot the image and keep it until Ctrl-C
	initramfs/vm.py run

demo: ## on a fresh Debian: install, build, boot a VM, run commands in it (as root)
	sh initramfs/deps --demo
	$(MAKE) all image
	initramfs/demo

unit: ## the unit tests
	tests/run unit

unit-build: $(UNIT)
unit-list:
	@echo $(UNIT)
fuzz-build: $(FUZZ)
fuzz-replay: $(FUZZ)
	@for f in $(FUZZ); do echo $$f; $$f tests/fuzz/corpus/$${f##*/fuzz_}/* || exit 1; done
size-max:
	@echo $(SIZE_MAX)

check: ## every test: units, black box, VM, sanitizers, checks of the tree
	tests/run

fuzz: ## libFuzzer, a minute for each target (clang)
	tests/fuzz/run

# Programs of one file each, and the driver made of the others; the children have no libc.
BENCH_CHILDREN := true flood sleeper rawcat
BENCH_FLOORS := minimal notify
BENCH  := $(filter-out $(BENCH_CHILDREN:%=bench/%.c) $(BENCH_FLOORS:%=bench/%.c),$(wildcard bench/*.c))

$(BENCH_CHILDREN:%=$B/bench/%): $B/bench/%: bench/%.c bench/nolibc.h
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -fno-stack-protector -nostdlib -static -o $@ $<

$(BENCH_FLOORS:%=$B/bench/%): $B/bench/%: $B/o/bench/%.o
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(LINK) -o $@ $^

$B/bench/bench: $(BENCH:%.c=$B/o/%.o) $(filter $B/o/ctl/client%,$(CTL:%.c=$B/o/%.o)) $(COMMON:%.c=$B/o/%.o)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(LINK) -o $@ $^ -lmsgpackc -lnettle -lm

bench: all $(BENCH_CHILDREN:%=$B/bench/%) $(BENCH_FLOORS:%=$B/bench/%) $B/bench/bench ## guestd beside its floor and the physical limit
	bench/run $(BENCH_ARGS)

tidy: ## clang-tidy over all sources
	clang-tidy --quiet $(DAEMON) $(wildcard ctl/*.c libguestd/*.c) -- -std=gnu11 -D_GNU_SOURCE -I. -isystem build/isal

format: ## rewrite all sources with clang-format
	clang-format -i $(wildcard */*.[ch] tests/*/*.[ch])

install: all ## into $(DESTDIR)$(PREFIX): binaries, units for systemd and OpenRC, manual pages
	service/install "$(DESTDIR)" "$(PREFIX)" guest host

deb: all ## build/guestd_VERSION_ARCH.deb for guests, build/guestctl_VERSION_ARCH.deb for hosts
	service/deb

lib: $B/libguestd.a ## build/libguestd.a, the client library for C

install: install-lib
install-lib: $B/libguestd.a
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib $B/libguestd.a
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include libguestd/guestd.h
	install -d -m 755 $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|' \
		-e "s|@VERSION@|$$(sed -n 's/.*GUESTD_VERSION *"\(.*\)"/\1/p' proto/version.h)|" \
		libguestd/guestd.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/guestd.pc

clean: ## remove what was built; the downloads in build/vm and build/isal stay
	find build -mindepth 1 -maxdepth 1 ! -name vm ! -name isal -exec rm -rf {} +

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

-include $(shell find $B/o -name '*.d' -type f 2>/dev/null)
