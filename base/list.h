/*
 * base/list.h - intrusive doubly linked circular list
 *
 * The head is a `struct list` too.  A field that is a link says on which list it hangs:
 *	struct list link;	// server.conns
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>

#include "base/check.h"

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Inserts LINK before the head: at the tail. */
static inline void list_add_tail(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Unlinks and re-initialises, so that a second removal does no harm. */
static inline void list_del(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#define LIST_FIRST(head, type, member)                                                             \
	(list_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

/* NOLINTBEGIN(bugprone-macro-parentheses): POS is what they declare */
#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* The current element may be unlinked inside the loop; no other may. */
#define list_each_safe(pos, head)                                                                  \
	for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);              \
		pos = pos##_next, pos##_next = pos->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
