/*
 * ctl/table.h - rows of text in columns that line up
 *
 *	struct table *t = table_new(3, "ID", "PID", "CMD");
 *	text_val(table_cell(t), id), ...          // cell by cell, row by row
 *	table_print(t);
 *
 * Nothing is printed before the end: that is when the columns' widths are known.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table;

/* With N columns of these headings. */
struct table *table_new(size_t n, ...);

/* Where to write the next cell: without control characters, see ctl/text.h. */
FILE *table_cell(struct table *t);

/* To stdout; on a terminal the last column is cut at its edge.  Consumes T. */
void table_print(struct table *t);

/* Without printing it.  Consumes T. */
void table_drop(struct table *t);

#endif
