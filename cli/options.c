/* SPDX-License-Identifier: MIT */
#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "base/values.h"

#define HELP_CODE 'h'
#define COLUMNS   80
#define HELP_AT   31 /* where an option's help begins */
/* Codes of long options begin above every letter, so that each option has its own. */
#define FIRST_CODE 256

struct tables {
	struct option longs[GW_CLI_OPTIONS_MAX + 2];
	char shorts[2 * GW_CLI_OPTIONS_MAX + 3];
};

static void build(struct tables *tables, const struct gw_cli_option *options)
{
	char *letter = tables->shorts;
	int i;

	memset(tables, 0, sizeof(*tables));
	/* ':' first: a missing value is told from an unknown option. */
	*letter++ = ':';
	*letter++ = HELP_CODE;
	for (i = 0; options[i].name && i < GW_CLI_OPTIONS_MAX; i++) {
		int needs = options[i].type == GW_CLI_FLAG ? no_argument : required_argument;

		tables->longs[i] = (struct option){options[i].name, needs, NULL, FIRST_CODE + i};
		if (!options[i].letter)
			continue;
		*letter++ = options[i].letter;
		if (needs == required_argument)
			*letter++ = ':';
	}
	tables->longs[i] = (struct option){"help", no_argument, NULL, HELP_CODE};
}

static const struct gw_cli_option *find(const struct gw_cli_option *options, int code)
{
	int i;

	for (i = 0; options[i].name; i++)
		if (code == FIRST_CODE + i || (options[i].letter && code == options[i].letter))
			return &options[i];
	return NULL;
}

static int store(const struct gw_cli_option *option, const char *value, struct gw_error *error)
{
	struct gw_cli_list *list = option->into;
	const char *problem = "";
	int r = 0;

	switch (option->type) {
	case GW_CLI_FLAG: *(bool *)option->into = true; break;
	case GW_CLI_STRING:
		if (!*value)
			return gw_fail(error, EINVAL, "--%s: '' is empty", option->name);
		*(const char **)option->into = value;
		break;
	case GW_CLI_LIST:
		if (list->count == GW_CLI_LIST_MAX)
			return gw_fail(error, EINVAL, "--%s: '%s' is one too many; %d is the most",
			               option->name, value, GW_CLI_LIST_MAX);
		list->items[list->count++] = value;
		break;
	case GW_CLI_NUMBER: r = gw_parse_number(value, option->into, &problem); break;
	case GW_CLI_RATE: r = gw_parse_rate(value, option->into, &problem); break;
	case GW_CLI_SIZE: r = gw_parse_size(value, option->into, &problem); break;
	case GW_CLI_DURATION: r = gw_parse_duration(value, option->into, &problem); break;
	}
	if (r)
		return gw_fail(error, EINVAL, "--%s: '%s' %s", option->name, value, problem);
	return 0;
}

/* --b, where there are --bandwidth and --buffer. */
static bool abbreviates_some(const struct gw_cli_option *options, const char *word)
{
	size_t bytes = strcspn(word, "=");

	for (; bytes > 2 && options->name; options++)
		if (!strncmp(options->name, word + 2, bytes - 2))
			return true;
	return false;
}

/* getopt's own messages are off; this is ours. `word` is the argument it stood at. */
static int complain(const struct gw_cli_option *options, int code, const char *word,
                    const char *verb, struct gw_error *error)
{
	const struct gw_cli_option *option = find(options, optopt);

	if (code == ':' && option)
		return gw_fail(error, EINVAL, "--%s needs a value: %s", option->name,
		               option->value);
	if (option && option->type == GW_CLI_FLAG)
		return gw_fail(error, EINVAL, "--%s takes no value", option->name);
	if (optopt && optopt < FIRST_CODE && optopt != HELP_CODE)
		return gw_fail(error, EINVAL, "-%c is no option of %s; see godwit %s --help",
		               optopt, verb, verb);
	return gw_fail(error, EINVAL,
	               abbreviates_some(options, word)
	                       ? "%s is short for more than one option of %s; see godwit %s --help"
	                       : "%s is no option of %s; see godwit %s --help",
	               word, verb, verb);
}

static int read_options(const struct gw_cli_option *options, int argc, char **argv,
                        struct gw_error *error)
{
	struct tables tables;

	build(&tables, options);
	opterr = 0;
	optind = 0; /* glibc: start over, whatever was read before */
	for (;;) {
		int code = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
		int r;

		if (code == -1)
			return 0;
		if (code == HELP_CODE)
			return GW_CLI_HELP;
		if (code == '?' || code == ':')
			return complain(options, code, argv[optind - 1], argv[0], error);
		r = store(find(options, code), optarg, error);
		if (r)
			return r;
	}
}

int gw_cli_parse(const struct gw_cli_option *options, int argc, char **argv, int min, int max,
                 struct gw_cli_operands *operands, struct gw_error *error)
{
	int r, end;

	/* getopt moves operands behind "--"; what follows it is not its business. */
	for (end = 1; end < argc && strcmp(argv[end], "--") != 0; end++)
		;
	memset(operands, 0, sizeof(*operands));
	if (end < argc) {
		operands->has_rest = true;
		operands->rest = argv + end + 1;
		operands->rest_count = argc - end - 1;
	}
	r = read_options(options, end, argv, error);
	if (r)
		return r;
	operands->items = argv + optind;
	operands->count = end - optind;
	if (operands->count < min)
		return gw_fail(error, EINVAL, "%s needs more; see godwit %s --help", argv[0],
		               argv[0]);
	if (operands->count > max)
		return gw_fail(error, EINVAL, "'%s' is too much for %s; see godwit %s --help",
		               operands->items[max], argv[0], argv[0]);
	return 0;
}

/* A word and what stands in brackets behind it, if there is room for both in one line. */
static size_t unit_of(const char *text, size_t room)
{
	size_t word = strcspn(text, " "), next = word + strspn(text + word, " ");
	const char *open = text[0] == '(' ? text : text[next] == '(' ? text + next : NULL;
	const char *close = open ? strchr(open, ')') : NULL;
	size_t both;

	if (!close)
		return word;
	both = (size_t)(close - text);
	both += strcspn(close, " ");
	return both <= room ? both : word;
}

void gw_cli_words(FILE *out, const char *text, size_t indent, size_t column)
{
	bool first = true;

	while (*text) {
		size_t length = unit_of(text, COLUMNS - indent);

		if (!first && column + 1 + length > COLUMNS) {
			(void)fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		(void)fprintf(out, "%s%.*s", first ? "" : " ", (int)length, text);
		column += length + !first;
		first = false;
		text += length + strspn(text + length, " ");
	}
	(void)fputc('\n', out);
}

static void print_option(FILE *out, const char *left, const char *help)
{
	int used = fprintf(out, "  %-28s ", left);

	gw_cli_words(out, help, HELP_AT, used > 0 ? (size_t)used : HELP_AT);
}

void gw_cli_print(FILE *out, const struct gw_cli_option *options)
{
	char left[64];

	for (; options->name; options++) {
		char letter[5] = "    ";

		if (options->letter)
			(void)snprintf(letter, sizeof(letter), "-%c, ", options->letter);
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, options->name,
		               options->value ? " " : "", options->value ? options->value : "");
		print_option(out, left, options->help);
	}
	print_option(out, "-h, --help", "show this help");
}
