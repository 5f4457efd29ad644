/* tests/unit/test_env_store.c - env/store: layers of variables */
#include "env/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/err.h"
#include "proto/limits.h"
#include "tests/unit/unit.h"

static const struct env_layer all = {ENV_RESOURCE, ENV_ALL};

static struct vars vars_of(struct var *at, size_t n)
{
	return (struct vars){.at = at, .n = n};
}

/* Sets NAME alone, without replacing the others. */
static void set(enum env_scope scope, enum env_target target, const char *name, const char *value)
{
	const struct env_layer layer = {scope, target};
	struct var var = {name, value};
	struct vars vars = vars_of(&var, 1);
	struct env_change change;

	assert_int_equal(env_store_set(&layer, &vars, false, false, &change), 0);
}

static int empty(void **state)
{
	struct vars none = {0};
	struct env_change change;

	(void)state;
	for (int scope = ENV_TENANT; scope <= ENV_RESOURCE; scope++) {
		for (int target = ENV_ALL; target <= ENV_AGENT; target++) {
			const struct env_layer layer = {scope, target};

			assert_int_equal(env_store_set(&layer, &none, true, false, &change), 0);
		}
	}
	assert_int_equal(env_store_count(), 0);
	assert_int_equal(env_store_bytes(), 0);
	return 0;
}

static void print(const struct env_var *var, void *ctx)
{
	char *out = ctx;
	size_t len = strlen(out);

	snprintf(out + len, 400 - len, "%s=%s ", var->name, var->value ? var->value : "-");
}

static const char *resolved(enum env_target kind, bool agent)
{
	static char out[400];

	out[0] = '\0';
	env_store_resolve(kind, agent, print, out);
	return out;
}

static void test_the_stronger_wins(void **state)
{
	(void)state;
	set(ENV_WORKSPACE, ENV_ALL, "B", "weak");
	set(ENV_RESOURCE, ENV_ALL, "B", "strong");
	set(ENV_TENANT, ENV_AGENT, "A", "agent");
	set(ENV_TENANT, ENV_COMPUTER, "A", "computer");
	set(ENV_TENANT, ENV_ALL, "A", "all");
	set(ENV_PROJECT, ENV_SANDBOX, "C", "sandbox");
	assert_string_equal(resolved(ENV_SANDBOX, false), "A=all B=strong C=sandbox ");
	assert_string_equal(resolved(ENV_COMPUTER, false), "A=computer B=strong ");
	assert_string_equal(resolved(ENV_COMPUTER, true), "A=agent B=strong ");
}

static void test_masks(void **state)
{
	(void)state;
	set(ENV_TENANT, ENV_ALL, "A", "1");
	set(ENV_PROJECT, ENV_ALL, "A", NULL);
	assert_string_equal(resolved(ENV_SANDBOX, false), "A=- ");
	set(ENV_PROJECT, ENV_SANDBOX, "A", "2");
	assert_string_equal(resolved(ENV_SANDBOX, false), "A=2 ");
	assert_string_equal(resolved(ENV_COMPUTER, false), "A=- ");
}

static void test_replace_and_counts(void **state)
{
	struct var first[] = {{"A", "1"}, {"B", NULL}, {"A", "2"}, {"C", "3"}};
	struct var second[] = {{"C", "4"}, {"D", "5"}};
	struct vars a = vars_of(first, 4), b = vars_of(second, 2);
	struct env_change change;

	(void)state;
	set(ENV_TENANT, ENV_ALL, "C", "far");
	assert_int_equal(env_store_set(&all, &a, false, false, &change), 0);
	assert_int_equal(change.set, 2);
	assert_int_equal(change.masked, 1);
	assert_int_equal(change.removed, 0);
	assert_string_equal(resolved(ENV_SANDBOX, false), "A=2 B=- C=3 ");
	assert_int_equal(env_store_set(&all, &b, true, false, &change), 0);
	assert_int_equal(change.set, 2);
	assert_int_equal(change.removed, 3);
	assert_string_equal(resolved(ENV_SANDBOX, false), "C=4 D=5 ");
}

static void test_unset(void **state)
{
	const char *list[] = {"Z", "A", "A", "B", NULL};
	struct strs names = {.at = list, .n = 4};

	(void)state;
	set(ENV_RESOURCE, ENV_ALL, "A", "1");
	set(ENV_RESOURCE, ENV_ALL, "B", NULL);
	set(ENV_PROJECT, ENV_ALL, "A", "0");
	assert_int_equal(env_store_unset(&all, &names), 2);
	assert_int_equal(env_store_unset(&all, &names), 0);
	assert_string_equal(resolved(ENV_SANDBOX, false), "A=0 ");
	assert_int_equal(env_store_bytes(), sizeof("A=0"));
}

/* What does not fit changes nothing. */
static void test_limits(void **state)
{
	static char value[ENV_BYTES_MAX];
	struct var large = {"A", value};
	struct vars vars = vars_of(&large, 1);
	struct var *many = calloc(ENV_VARS_MAX + 1, sizeof(*many));
	struct env_change change;

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	assert_int_equal(env_store_set(&all, &vars, false, false, &change), ERR_LIMIT);
	value[sizeof(value) - 3] = '\0';
	assert_int_equal(env_store_set(&all, &vars, false, false, &change), 0);
	assert_int_equal(env_store_bytes(), ENV_BYTES_MAX);
	large = (struct var){"B", NULL};
	assert_int_equal(env_store_set(&all, &vars, false, false, &change), ERR_LIMIT);
	assert_int_equal(env_store_count(), 1);
	assert_int_equal(env_store_set(&all, &vars, true, false, &change), 0);

	assert_non_null(many);
	for (size_t i = 0; i <= ENV_VARS_MAX; i++) {
		char *name = malloc(16);

		assert_non_null(name);
		snprintf(name, 16, "V%zu", i);
		many[i] = (struct var){name, ""};
	}
	vars = vars_of(many, ENV_VARS_MAX + 1);
	assert_int_equal(env_store_set(&all, &vars, true, false, &change), ERR_LIMIT);
	vars.n--;
	assert_int_equal(env_store_set(&all, &vars, true, false, &change), 0);
	assert_int_equal(env_store_count(), ENV_VARS_MAX);
	for (size_t i = 0; i <= ENV_VARS_MAX; i++)
		free((char *)many[i].name);
	free(many);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(env_name_valid("A"));
	assert_true(env_name_valid("_a1Z"));
	assert_false(env_name_valid(""));
	assert_false(env_name_valid("1A"));
	assert_false(env_name_valid("A-B"));
	assert_false(env_name_valid("A="));
	assert_false(env_name_valid("\xc3\xa4"));
}

/* A little program of random changes beside an array of 16 layers that knows no order. */
static void test_random(void **state)
{
	static const char *const names[] = {"A", "AB", "B", "C_", "Z"};
	char model[4][4][5];
	uint32_t seed = 7;

	(void)state;
	memset(model, ' ', sizeof(model));
	for (int i = 0; i < 3000; i++) {
		uint32_t scope = rnd_below(&seed, 4), target = rnd_below(&seed, 4);
		uint32_t name = rnd_below(&seed, 5), what = rnd_below(&seed, 8);
		const struct env_layer layer = {scope, target};
		char text[2] = {(char)('a' + rnd_below(&seed, 26))}, want[100] = "";
		bool agent = what & 1;

		if (what < 2) {
			const char *list[] = {names[name], NULL};
			struct strs one = {.at = list, .n = 1};

			assert_int_equal(
				env_store_unset(&layer, &one), model[scope][target][name] != ' ');
			model[scope][target][name] = ' ';
		} else {
			set(scope, target, names[name], what == 2 ? NULL : text);
			model[scope][target][name] = what == 2 ? '-' : text[0];
		}
		for (size_t k = 0; k < ARRAY_LEN(names); k++) {
			char best = ' ';

			for (int s = 0; s < 4; s++) {
				const char of[] = {model[s][0][k], model[s][2][k],
					agent ? model[s][3][k] : ' '};

				for (int t = 0; t < 3; t++)
					best = of[t] == ' ' ? best : of[t];
			}
			if (best != ' ')
				snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s=%c ",
					names[k], best);
		}
		assert_string_equal(resolved(ENV_COMPUTER, agent), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_stronger_wins, empty),
		cmocka_unit_test_teardown(test_masks, empty),
		cmocka_unit_test_teardown(test_replace_and_counts, empty),
		cmocka_unit_test_teardown(test_unset, empty),
		cmocka_unit_test_teardown(test_limits, empty),
		cmocka_unit_test_teardown(test_names, empty),
		cmocka_unit_test_teardown(test_random, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
