/* SPDX-License-Identifier: MPL-2.0 */
/* Times as text: see ops_time.h. Days become dates by counting from 1 March of year 0, so that
 * the leap day ends a year: 400 years are 146,097 days, and from March on a month's first day is
 * at (153 * month + 2) / 5. */
#include "ops/ops_time.h"

#include "base/err.h"

#include <stdbool.h>
#include <string.h>

#define MS_PER_DAY 86400000u
#define DAYS_TO_1970 719468u         /* from 1 March of year 0 */
#define TIME_MS_MAX 253402300799999u /* 9999-12-31T23:59:59.999Z */

struct date {
    unsigned year, month, day;
};

static struct date date_of_days(uint64_t days_since_1970)
{
    uint64_t z = days_since_1970 + DAYS_TO_1970;
    uint64_t era = z / 146097;
    unsigned doe = (unsigned) (z % 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    struct date d;
    d.day = doy - (153 * mp + 2) / 5 + 1;
    d.month = mp < 10 ? mp + 3 : mp - 9;
    d.year = (unsigned) era * 400 + yoe + (d.month <= 2 ? 1 : 0);
    return d;
}

/* Days from 1 March of year 0. */
static uint64_t days_of_date(struct date d)
{
    unsigned y = d.year - (d.month <= 2 ? 1 : 0);
    unsigned yoe = y % 400;
    unsigned mp = d.month > 2 ? d.month - 3 : d.month + 9;
    unsigned doy = (153 * mp + 2) / 5 + d.day - 1;
    return (uint64_t) (y / 400) * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy;
}

static void put_digits(char *to, size_t count, unsigned value, char end)
{
    for (size_t i = count; i > 0; i--) {
        to[i - 1] = (char) ('0' + value % 10);
        value /= 10;
    }
    to[count] = end;
}

const char *ops_time_format(uint64_t wall_ms, char text[OPS_TIME_BYTES])
{
    if (wall_ms > TIME_MS_MAX) {
        wall_ms = TIME_MS_MAX;
    }
    struct date d = date_of_days(wall_ms / MS_PER_DAY);
    unsigned ms = (unsigned) (wall_ms % MS_PER_DAY);
    /* Digit by digit: every read of a key shows a time, and printf would be a tenth of its cost. */
    put_digits(text, 4, d.year, '-');
    put_digits(text + 5, 2, d.month, '-');
    put_digits(text + 8, 2, d.day, 'T');
    put_digits(text + 11, 2, ms / 3600000, ':');
    put_digits(text + 14, 2, ms / 60000 % 60, ':');
    put_digits(text + 17, 2, ms / 1000 % 60, '.');
    put_digits(text + 20, 3, ms % 1000, 'Z');
    text[OPS_TIME_BYTES - 1] = '\0';
    return text;
}

int ops_time_parse(const char *text, uint64_t *ret_wall_ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    unsigned part[7] = {0};
    size_t at = 0;
    if (strlen(text) != sizeof shape - 1) {
        return HM_EMALFORMED;
    }
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (shape[i] == 'd' ? !is_digit : text[i] != shape[i]) {
            return HM_EMALFORMED;
        }
        if (shape[i] == 'd') {
            part[at] = part[at] * 10 + (unsigned) (text[i] - '0');
        } else {
            at++;
        }
    }
    struct date d = {part[0], part[1], part[2]};
    bool is_date = d.year >= 1970 && d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31;
    if (!is_date || part[3] > 23 || part[4] > 59 || part[5] > 59) {
        return HM_EMALFORMED;
    }
    uint64_t days = days_of_date(d) - DAYS_TO_1970;
    struct date back = date_of_days(days);
    if (back.day != d.day || back.month != d.month) {
        return HM_EMALFORMED;
    }
    *ret_wall_ms =
        days * MS_PER_DAY + part[3] * 3600000u + part[4] * 60000u + part[5] * 1000u + part[6];
    return HM_OK;
}
