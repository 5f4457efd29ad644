/* tests/unit/test_list.c - base/list: the intrusive list */
#include "base/list.h"

#include "tests/unit/unit.h"

struct item {
	int n;
	struct list link; /* the list of each test */
};

static int sum_in_order(const struct list *head)
{
	int digits = 0;

	list_each(pos, head)
		digits = digits * 10 + CONTAINER_OF(pos, struct item, link)->n;
	return digits;
}

static void fill(struct list *head, struct item items[], int n)
{
	list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].n = i + 1;
		list_add_tail(head, &items[i].link);
	}
}

static void test_empty(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(LIST_FIRST(&head, struct item, link));
	list_each(pos, &head)
		fail_msg("an element in an empty list");
	list_each_safe(pos, &head)
		fail_msg("an element in an empty list");
	list_del(&head); /* a head is a link to itself */
	assert_true(list_empty(&head));
}

static void test_order(void **state)
{
	struct item items[5];
	struct list head;

	(void)state;
	fill(&head, items, 5);
	assert_false(list_empty(&head));
	assert_int_equal(sum_in_order(&head), 12345);
	assert_ptr_equal(LIST_FIRST(&head, struct item, link), &items[0]);
	assert_ptr_equal(head.prev, &items[4].link);
}

static void test_del(void **state)
{
	struct item items[5];
	struct list head;

	(void)state;
	fill(&head, items, 5);
	list_del(&items[0].link);
	assert_int_equal(sum_in_order(&head), 2345);
	list_del(&items[2].link);
	assert_int_equal(sum_in_order(&head), 245);
	list_del(&items[4].link);
	assert_int_equal(sum_in_order(&head), 24);
	/* A second time does nothing; the link is on no list and can go on one. */
	list_del(&items[4].link);
	assert_true(list_empty(&items[4].link));
	assert_int_equal(sum_in_order(&head), 24);
	list_add_tail(&head, &items[4].link);
	assert_int_equal(sum_in_order(&head), 245);
}

static void test_safe(void **state)
{
	struct item items[9];
	struct list head;
	int visited = 0;

	(void)state;
	fill(&head, items, 9);
	list_each_safe(pos, &head) {
		visited++;
		if (CONTAINER_OF(pos, struct item, link)->n % 2)
			list_del(pos);
	}
	assert_int_equal(visited, 9);
	assert_int_equal(sum_in_order(&head), 2468);
	list_each_safe(pos, &head)
		list_del(pos);
	assert_true(list_empty(&head));
}

static void test_two_lists(void **state)
{
	struct item items[4];
	struct list head, other;

	(void)state;
	fill(&head, items, 4);
	list_init(&other);
	list_each_safe(pos, &head) {
		list_del(pos);
		list_add_tail(&other, pos);
	}
	assert_true(list_empty(&head));
	assert_int_equal(sum_in_order(&other), 1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_del),
		cmocka_unit_test(test_safe),
		cmocka_unit_test(test_two_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
