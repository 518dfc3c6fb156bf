// What the two sources of the fused attention share.

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const float *q, *k, *v, *g, *c;  // (B, G, H D) each, with strides of their own; (B, G); (H)
    int64_t q_batch, k_batch, v_batch, q_row, k_row, v_row, genes, heads;
    float scale, rate;
    const int32_t *seed;  // (P)
} Inputs;

// Dropout is drawn from a hash of the seed and the number of the weight, the same in both: the number times SPREAD, 2^32
// divided by the golden ratio, exclusive or the seed, and then x = (x ^ x >> 16) * FIRST, x = (x ^ x >> 15) * SECOND.
#define SPREAD 0x9E3779B9u
#define FIRST 0x7feb352du
#define SECOND 0x846ca68bu

static void *room(int64_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }
