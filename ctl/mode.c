/* ctl/mode.c - permissions, as people write and read them */
#include "ctl/mode.h"

#include <stdlib.h>
#include <string.h>

bool mode_parse(const char *text, uint64_t *mode)
{
	size_t len = strlen(text);

	if (len == 0 || len > 6 || text[strspn(text, "01234567")])
		return false;
	*mode = strtoul(text, NULL, 8);
	return *mode <= 07777;
}

/* What `u`, `g` or `o` may do, for everybody. */
static unsigned those_of(char who, unsigned mode)
{
	return (mode >> (who == 'u' ? 6 : who == 'g' ? 3 : 0) & 7) * 0111;
}

/* The bits of WHOM that the letters of PERM stand for; *PERM moves behind them. */
static unsigned letters(const char **perm, unsigned whom, bool dir, unsigned mode)
{
	unsigned bits = 0;

	for (;; (*perm)++) {
		switch (**perm) {
		case 'r':
			bits |= whom & 0444;
			break;
		case 'w':
			bits |= whom & 0222;
			break;
		case 'x':
			bits |= whom & 0111;
			break;
		case 'X':
			bits |= dir || mode & 0111 ? whom & 0111 : 0;
			break;
		case 's':
			bits |= whom & 06000;
			break;
		case 't':
			bits |= whom & 01000;
			break;
		case 'u':
		case 'g':
		case 'o':
			bits |= whom & those_of(**perm, mode);
			break;
		default:
			return bits;
		}
	}
}

/* Of `ugoa`: which bits are theirs; *TEXT moves behind them.  None means all. */
static unsigned who(const char **text)
{
	unsigned whom = 0;

	for (;; (*text)++) {
		switch (**text) {
		case 'u':
			whom |= 04700;
			break;
		case 'g':
			whom |= 02070;
			break;
		case 'o':
			whom |= 01007;
			break;
		case 'a':
			whom |= 07777;
			break;
		default:
			return whom ? whom : 07777;
		}
	}
}

bool mode_change(const char *text, bool dir, unsigned *mode)
{
	unsigned m = *mode;

	do {
		unsigned whom = who(&text);

		if (!*text || !strchr("+-=", *text))
			return false;
		while (*text && strchr("+-=", *text)) {
			char op = *text++;
			unsigned bits = letters(&text, whom, dir, m);

			if (op == '=')
				m &= ~(whom & (dir ? 0777 | bits : 07777));
			m = op == '-' ? m & ~bits : m | bits;
		}
	} while (*text++ == ',');
	if (text[-1])
		return false;
	*mode = m;
	return true;
}

void mode_text(char type, unsigned mode, char text[11])
{
	memcpy(text, "-rwxrwxrwx", 11);
	text[0] = type;
	for (unsigned i = 0; i < 9; i++) {
		if (!(mode & (0400u >> i)))
			text[i + 1] = '-';
	}
	if (mode & 04000)
		text[3] = mode & 0100 ? 's' : 'S';
	if (mode & 02000)
		text[6] = mode & 0010 ? 's' : 'S';
	if (mode & 01000)
		text[9] = mode & 0001 ? 't' : 'T';
}
