/* SPDX-License-Identifier: MPL-2.0 */
/* Vivaldi: see coord.h. Constants are the paper's: ce = cc = 0.25. */
#include "core/coord.h"

#include <math.h>
#include <string.h>

#define ERROR_MAX 1.5
#define TUNE_ERROR 0.25
#define TUNE_MOVE 0.25
#define HEIGHT_MIN 10e-6
#define SECONDS_MAX 10.0

void coord_init(struct coord *c)
{
    memset(c, 0, sizeof *c);
    c->height = HEIGHT_MIN;
    c->error = ERROR_MAX;
}

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

/* Fills the unit vector from b to a and returns their distance without heights. */
static double direction(const struct coord *a, const struct coord *b,
                        double unit[COORD_DIMENSIONS], struct prng *prng)
{
    double sum = 0;
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        unit[i] = a->at[i] - b->at[i];
        sum += unit[i] * unit[i];
    }
    double length = sqrt(sum);
    double norm = length;
    if (length < 1e-9) {
        norm = 0;
        for (int i = 0; i < COORD_DIMENSIONS; i++) {
            unit[i] = (double) prng_below(prng, 2000001) - 1000000.0;
            norm += unit[i] * unit[i];
        }
        norm = norm > 0 ? sqrt(norm) : 1.0;
        length = 0;
    }
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        unit[i] /= norm;
    }
    return length;
}

void coord_update(struct coord *c, const struct coord *other, uint64_t rtt_ns, struct prng *prng)
{
    double rtt = (double) rtt_ns / 1e9;
    if (rtt < 1e-6 || rtt > SECONDS_MAX) {
        return;
    }
    double unit[COORD_DIMENSIONS];
    double flat = direction(c, other, unit, prng);
    double distance = flat + c->height + other->height;
    double errors = c->error + other->error;
    double weight = errors > 0 ? c->error / errors : 0.5;
    double miss = distance > rtt ? distance - rtt : rtt - distance;
    double sample_error = clamp(miss / rtt, 0, ERROR_MAX);
    c->error = clamp(sample_error * TUNE_ERROR * weight + c->error * (1 - TUNE_ERROR * weight), 0,
                     ERROR_MAX);
    double force = TUNE_MOVE * weight * (rtt - distance);
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        c->at[i] = clamp(c->at[i] + force * unit[i], -SECONDS_MAX, SECONDS_MAX);
    }
    if (flat > 0) {
        /* The paper's unit vector has the heights in its length: of two on nearly one spot neither height
         * can be thrown away by more than the force. */
        double pull = (c->height + other->height) * force / distance;
        c->height = clamp(c->height + pull, HEIGHT_MIN, SECONDS_MAX);
    }
}

uint64_t coord_distance_ns(const struct coord *a, const struct coord *b)
{
    double sum = 0;
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        double d = a->at[i] - b->at[i];
        sum += d * d;
    }
    double seconds = sqrt(sum) + a->height + b->height;
    uint64_t ns = (uint64_t) (seconds * 1e9);
    return ns > 0 ? ns : 1;
}

void coord_to_wire(const struct coord *c, struct coord_wire *ret_wire)
{
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        ret_wire->at_us[i] = (int32_t) (c->at[i] * 1e6);
    }
    ret_wire->height_us = (uint32_t) (c->height * 1e6);
    ret_wire->error_ppm = (uint32_t) (c->error * 1e6);
}

void coord_from_wire(const struct coord_wire *wire, struct coord *ret_coord)
{
    for (int i = 0; i < COORD_DIMENSIONS; i++) {
        ret_coord->at[i] = clamp((double) wire->at_us[i] / 1e6, -SECONDS_MAX, SECONDS_MAX);
    }
    ret_coord->height = clamp((double) wire->height_us / 1e6, HEIGHT_MIN, SECONDS_MAX);
    ret_coord->error = clamp((double) wire->error_ppm / 1e6, 0, ERROR_MAX);
}
