# The one build file.  A directory is its files: nothing to edit here when one is added.
CC     ?= gcc
SAN    ?=
B      := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))$(if $(filter clang,$(CC)),/clang)
PREFIX ?= /usr/local
comma  := ,

WARN   := -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wimplicit-fallthrough
FLAGS   = -std=gnu11 -D_GNU_SOURCE -I. -MMD -MP $(WARN) $(OPT)
ifeq ($(SAN),)
OPT    := -O2 -ffunction-sections -fdata-sections
LINK   := -static -Wl,--gc-sections -s
else
OPT    := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
LINK   := -fsanitize=$(SAN)
endif

AREAS  := $(filter-out base proto vsock guestd ctl bench tests build docs initramfs,$(patsubst %/,%,$(wildcard */)))
COMMON := $(wildcard base/*.c proto/*.c vsock/*.c)
DAEMON := $(COMMON) $(wildcard guestd/*.c $(AREAS:%=%/*.c))
CTL    := $(COMMON) $(wildcard ctl/*.c)
LIBS   := -lev -lmsgpackc -lm -pthread

.PHONY: all clean check deps help
all: build/guestd build/guestctl ## build/guestd and build/guestctl, static and stripped

# Objects, never an archive: a linker set loses the members that an archive does not pull.
$B/guestd: $(DAEMON:%.c=$B/o/%.o)
	$(CC) $(FLAGS) $(LINK) -o $@ $^ $(LIBS)

$B/guestctl: $(CTL:%.c=$B/o/%.o)
	$(CC) $(FLAGS) $(LINK) -o $@ $^ -lmsgpackc -ljansson -lm

$B/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) -c -o $@ $<

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

clean: ## remove what was built; the downloads in build/vm stay
	find build -mindepth 1 -maxdepth 1 ! -name vm -exec rm -rf {} +

-include $(shell find $B/o -name '*.d' -type f 2>/dev/null)
