// The attention of fused.cpp on the matrix units (AMX) of a CPU: products in bfloat16, sums and softmax in float.
//
// Heads of up to 16 numbers fill a tile: 16 rows of 32 bfloat16, of which 16 hold the head, three the expression and
// one says where genes end. What is rounded is what torch rounds under autocast, but for expression, which keeps
// 16 bits: g = high + low, and c g_i g_j = high high + low high + high low.
// Scores are in units of log 2. G genes are padded to GP, a multiple of 32; P pairs of sample and head.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fused.h"

#define LOG2E 1.4426950408889634f
typedef uint16_t half;

typedef half Tile[16][32];
typedef float Sums[16][16];

static inline half rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline float widened(half x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void configure() {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t width[16];
        uint8_t rows[16];
    } tiles = {};
    tiles.palette = 1;
    for (int i = 0; i < 8; i++) tiles.width[i] = 64, tiles.rows[i] = 16;
    _tile_loadconfig(&tiles);
}

// Tiles have numbers, and compilers do not know what they read.
#define READ(tile, from) ({ asm volatile("" ::: "memory"); _tile_loadd(tile, from, 64); })
#define WRITE(tile, to) ({ _tile_stored(tile, to, 64); asm volatile("" ::: "memory"); })
#define CLEAR(tile) ({ _tile_zero(tile); })
#define ADD_PRODUCT(tile, first, second) ({ _tile_dpbf16ps(tile, first, second); })

static inline __m512 power_of_two(__m512 x) {  // to 4e-6, far below the rounding to bfloat16
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(9.5700000e-3f), r, _mm512_set1_ps(5.5504108e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f)), n);
}

// 1 / (1 - rate) where a pair is kept, 0 where it is dropped; ``spread`` its number times SPREAD.
static inline __m512 kept(uint32_t seed, __m512i spread, uint32_t bound, float inverse) {
    __m512i x = _mm512_xor_si512(spread, _mm512_set1_epi32(seed));
    x = _mm512_mullo_epi32(_mm512_xor_si512(x, _mm512_srli_epi32(x, 16)), _mm512_set1_epi32(FIRST));
    x = _mm512_mullo_epi32(_mm512_xor_si512(x, _mm512_srli_epi32(x, 15)), _mm512_set1_epi32(SECOND));
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(x, _mm512_set1_epi32(bound)), _mm512_set1_ps(inverse));
}

static inline __m512i spread(uint32_t first, uint32_t step) {
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(_mm512_mullo_epi32(lanes, _mm512_set1_epi32(step * SPREAD)), _mm512_set1_epi32(first * SPREAD));
}

static inline __m512i both(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }

static inline __m512 head_at(const float *x) { return _mm512_maskz_loadu_ps((1 << D) - 1, x); }

static inline __m512i interleaved(__m512i lower_upper) {
    __m512i even = _mm512_setr_epi32(0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007,
                                     0x180008, 0x190009, 0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f);
    return _mm512_permutexvar_epi16(even, lower_upper);
}

// Rows of one pair, (GP, 32), zero where there is no gene.
static void rows(const float *x, int64_t genes, int64_t stride, int64_t padded, float scale, half (*out)[32]) {
    memset(out, 0, padded * sizeof *out);
    for (int64_t i = 0; i < genes; i++)
        _mm256_store_si256((__m256i *)out[i],
                           (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(head_at(x + i * stride), _mm512_set1_ps(scale))));
}

static void add_expression_of_queries(const float *a, int64_t genes, int64_t padded, half (*out)[32]) {
    for (int64_t i = 0; i < padded; i++) {
        half high = i < genes ? rounded(a[i]) : 0;
        out[i][16] = out[i][18] = high;
        out[i][17] = i < genes ? rounded(a[i] - widened(high)) : 0;
        out[i][19] = rounded(1);
    }
}

static void add_expression_of_keys(const float *g, int64_t genes, int64_t padded, half (*out)[32]) {
    for (int64_t j = 0; j < padded; j++) {
        half high = j < genes ? rounded(g[j]) : 0;
        out[j][16] = out[j][17] = high;
        out[j][18] = j < genes ? rounded(g[j] - widened(high)) : 0;
        out[j][19] = j < genes ? 0 : rounded(-1e30f);  // no weight beyond the last gene
    }
}

// Second factors of products over the 32 numbers of a row: 16 rows become the columns of a tile.
static void columns(const half (*x)[32], int64_t padded, Tile *out) {
    for (int64_t i = 0; i < padded; i++)
        for (int d = 0; d < 32; d += 2) memcpy(out[i / 16][d / 2] + i % 16 * 2, x[i] + d, 2 * sizeof(half));
}

// Second factors of sums over 32 genes: neighbouring genes lie side by side.
static void pairs(const half (*x)[32], int64_t padded, Tile *out) {
    for (int64_t i = 0; i < padded; i += 2) {
        __m512i lower = _mm512_castsi256_si512(_mm256_load_si256((const __m256i *)x[i]));
        __m512i both = _mm512_inserti64x4(lower, _mm256_load_si256((const __m256i *)x[i + 1]), 1);
        _mm512_store_si512(out[i / 32][i % 32 / 2], interleaved(both));
    }
}

// First factors of sums over 32 genes.
static void transposed(const half (*x)[32], int64_t padded, Tile *out) {
    for (int64_t i = 0; i < padded; i++)
        for (int d = 0; d < 16; d++) out[i / 32][d][i % 32] = x[i][d];
}

// Whether the system lets this process use the tiles.
extern "C" int ready() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

// Pairs first .. last - 1: out (B, G, H D) and the logarithms (to base 2) of the sums of exponentials, lse (P, G).
extern "C" void forward(const Inputs *in, float *out, float *lse, int64_t first, int64_t last) {
    int64_t G = in->genes, H = in->heads, stride = H * D, padded = (G + 31) / 32 * 32;
    half(*query)[32] = (half(*)[32])room(padded * 64), (*other)[32] = (half(*)[32])room(padded * 64);
    Tile *keys = (Tile *)room(padded / 16 * sizeof(Tile)), *values = (Tile *)room(padded / 32 * sizeof(Tile));
    float *a = (float *)room(G * 4);
    alignas(64) Sums score[2], head;
    alignas(64) Tile weight;
    uint32_t bound = in->rate * 4294967296.0;
    float inverse = 1 / (1 - in->rate);
    configure();
    for (int64_t pair = first; pair < last; pair++) {
        int64_t b = pair / H, h = pair % H;
        const float *g = in->g + b * G;
        for (int64_t i = 0; i < G; i++) a[i] = in->c[h] * g[i] * LOG2E;
        rows(in->q + b * in->q_batch + h * D, G, in->q_row, padded, in->scale * LOG2E, query);
        add_expression_of_queries(a, G, padded, query);
        rows(in->k + b * in->k_batch + h * D, G, in->k_row, padded, 1, other);
        add_expression_of_keys(g, G, padded, other);
        columns(other, padded, keys);
        rows(in->v + b * in->v_batch + h * D, G, in->v_row, padded, 1, other);
        pairs(other, padded, values);
        for (int64_t i = 0; i < padded; i += 16) {
            __m512 most[16], sum[16];
            float top[16];
            for (int r = 0; r < 16; r++) most[r] = _mm512_set1_ps(-1e30f), sum[r] = _mm512_setzero_ps();
            READ(0, query[i]);
            for (int64_t n = 0; n < padded / 16; n += 2) {
                READ(1, keys[n]), CLEAR(2), ADD_PRODUCT(2, 0, 1), WRITE(2, score[0]);
                READ(4, keys[n + 1]), CLEAR(5), ADD_PRODUCT(5, 0, 4), WRITE(5, score[1]);
                for (int r = 0; r < 16; r++)
                    most[r] = _mm512_max_ps(most[r], _mm512_max_ps(_mm512_load_ps(score[0][r]), _mm512_load_ps(score[1][r])));
            }
            for (int r = 0; r < 16; r++) top[r] = _mm512_reduce_max_ps(most[r]);
            CLEAR(3);
            for (int64_t n = 0; n < padded / 32; n++) {
                READ(1, keys[2 * n]), CLEAR(2), ADD_PRODUCT(2, 0, 1), WRITE(2, score[0]);
                READ(4, keys[2 * n + 1]), CLEAR(5), ADD_PRODUCT(5, 0, 4), WRITE(5, score[1]);
                for (int r = 0; r < 16; r++) {
                    __m512 lower = _mm512_set1_ps(top[r]);
                    __m512 p0 = power_of_two(_mm512_sub_ps(_mm512_load_ps(score[0][r]), lower));
                    __m512 p1 = power_of_two(_mm512_sub_ps(_mm512_load_ps(score[1][r]), lower));
                    sum[r] = _mm512_add_ps(sum[r], _mm512_add_ps(p0, p1));
                    if (bound) {
                        uint32_t at = (i + r) * G + 32 * n;
                        p0 = _mm512_mul_ps(p0, kept(in->seed[pair], spread(at, 1), bound, inverse));
                        p1 = _mm512_mul_ps(p1, kept(in->seed[pair], spread(at + 16, 1), bound, inverse));
                    }
                    _mm512_store_si512(weight[r], both(p0, p1));
                }
                READ(6, weight), READ(7, values[n]), ADD_PRODUCT(3, 6, 7);
            }
            WRITE(3, head);
            for (int r = 0; r < 16 && i + r < G; r++) {
                float norm = _mm512_reduce_add_ps(sum[r]);
                lse[pair * G + i + r] = top[r] + log2f(norm);
                for (int d = 0; d < D; d++) out[(b * G + i + r) * stride + h * D + d] = head[r][d] / norm;
            }
        }
    }
    _tile_release();
    free(query), free(other), free(keys), free(values), free(a);
}

// Weights and gradients of scores, of 32 keys and 32 queries.
typedef struct {
    Tile weight[2], slope[2];  // keys in rows
    Tile sideways[2];          // gradients of scores, queries in columns
} Weighed;

typedef struct {
    const float *log_sum, *mean, *a;
    float *heard;
    int64_t first;
} Queries;

template <bool DROP>
static inline void weigh(const Sums *score, const Sums *up, Weighed *to, Queries at, const float *g, __m512 *told, const Inputs *in, int64_t pair, int64_t j) {
    uint32_t bound = in->rate * 4294967296.0;
    float inverse = 1 / (1 - in->rate);
    __m512i cell[2];
    __m512 log_sum[2], mean[2], a[2], heard[2];
    for (int x = 0; x < 2; x++) {
        log_sum[x] = _mm512_load_ps(at.log_sum + 16 * x), mean[x] = _mm512_load_ps(at.mean + 16 * x);
        a[x] = _mm512_load_ps(at.a + 16 * x), heard[x] = _mm512_load_ps(at.heard + 16 * x);
        cell[x] = spread((at.first + 16 * x) * in->genes + j, in->genes);
    }
    for (int y = 0; y < 2; y++)
        for (int r = 0; r < 16; r += 2) {
            __m512 s[2][2];
            for (int odd = 0; odd < 2; odd++) {
                int row = r + odd;
                __m512 p[2], gene = _mm512_set1_ps(g[16 * y + row]);
                for (int x = 0; x < 2; x++) {
                    p[x] = power_of_two(_mm512_sub_ps(_mm512_load_ps(score[2 * y + x][row]), log_sum[x]));
                    __m512 slope = _mm512_load_ps(up[2 * y + x][row]);
                    if (DROP) {
                        __m512i which = _mm512_add_epi32(cell[x], _mm512_set1_epi32((16 * y + row) * SPREAD));
                        __m512 drop = kept(in->seed[pair], which, bound, inverse);
                        s[odd][x] = _mm512_mul_ps(p[x], _mm512_fmsub_ps(slope, drop, mean[x]));
                        p[x] = _mm512_mul_ps(p[x], drop);
                    } else
                        s[odd][x] = _mm512_mul_ps(p[x], _mm512_sub_ps(slope, mean[x]));
                    heard[x] = _mm512_fmadd_ps(s[odd][x], gene, heard[x]);
                }
                told[16 * y + row] = _mm512_fmadd_ps(s[odd][0], a[0], _mm512_fmadd_ps(s[odd][1], a[1], told[16 * y + row]));
                _mm512_store_si512(to->weight[y][row], both(p[0], p[1]));
                _mm512_store_si512(to->slope[y][row], both(s[odd][0], s[odd][1]));
            }
            for (int x = 0; x < 2; x++)
                _mm512_store_si512(to->sideways[x][8 * y + r / 2], interleaved(both(s[0][x], s[1][x])));
        }
    for (int x = 0; x < 2; x++) _mm512_store_ps(at.heard + 16 * x, heard[x]);
}

// Gradients of q, k and v (B, G, H D), of expression by pair (P, G) and of c by pair (P), from that of out (B, G, H D).
// 32 keys meet 32 queries; a tile of scores has keys in rows.
extern "C" void backward(const Inputs *in, const float *out, const float *lse, const float *d_out, float *d_q,
                         float *d_k, float *d_v, float *d_g, float *d_c, int64_t first, int64_t last) {
    int64_t G = in->genes, H = in->heads, stride = H * D, padded = (G + 31) / 32 * 32, blocks = padded / 32;
    half(*key)[32] = (half(*)[32])room(padded * 64), (*value)[32] = (half(*)[32])room(padded * 64);
    half(*other)[32] = (half(*)[32])room(padded * 64);
    Tile *query_columns = (Tile *)room(2 * blocks * sizeof(Tile)), *query_pairs = (Tile *)room(blocks * sizeof(Tile));
    Tile *up_columns = (Tile *)room(2 * blocks * sizeof(Tile)), *up_pairs = (Tile *)room(blocks * sizeof(Tile));
    Tile *key_rows = (Tile *)room(blocks * sizeof(Tile));
    Sums *queried = (Sums *)room(2 * blocks * sizeof(Sums));  // gradients of queries: numbers of a head in rows
    float *a = (float *)room(padded * 4), *log_sum = (float *)room(padded * 4), *mean = (float *)room(padded * 4);
    float *heard = (float *)room(padded * 4);  // of queries' expression: sums over keys of d_score g_j
    float *genes = (float *)room(padded * 4);
    alignas(64) Weighed weighed[2];
    alignas(64) Sums score[4], up[4], result;
    configure();
    for (int64_t pair = first; pair < last; pair++) {
        int64_t b = pair / H, h = pair % H;
        const float *g = in->g + b * G, *grad = d_out + b * G * stride + h * D, *head = out + b * G * stride + h * D;
        for (int64_t i = 0; i < padded; i++) {
            a[i] = i < G ? in->c[h] * g[i] * LOG2E : 0;
            log_sum[i] = i < G ? lse[pair * G + i] : 1e30f;
            genes[i] = i < G ? g[i] : 0, heard[i] = mean[i] = 0;
            if (i < G) mean[i] = _mm512_reduce_add_ps(_mm512_mul_ps(head_at(grad + i * stride), head_at(head + i * stride)));
        }
        rows(in->q + b * in->q_batch + h * D, G, in->q_row, padded, in->scale * LOG2E, other);
        pairs(other, padded, query_pairs);
        add_expression_of_queries(a, G, padded, other);
        columns(other, padded, query_columns);
        rows(grad, G, stride, padded, 1, other);
        pairs(other, padded, up_pairs), columns(other, padded, up_columns);
        rows(in->v + b * in->v_batch + h * D, G, in->v_row, padded, 1, value);
        rows(in->k + b * in->k_batch + h * D, G, in->k_row, padded, 1, key);
        transposed(key, padded, key_rows);
        add_expression_of_keys(g, G, padded, key);
        memset(queried, 0, 2 * blocks * sizeof(Sums));
        for (int64_t j = 0; j < padded; j += 32) {
            __m512 told[32];  // of keys' expression: sums over queries of d_score a_i
            for (int r = 0; r < 32; r++) told[r] = _mm512_setzero_ps();
            CLEAR(0), CLEAR(1), CLEAR(2), CLEAR(3);  // of values, and of keys
            // The units work on what came of the last 32 queries before these are weighed: neither waits for the other.
            for (int64_t n = 0; n <= blocks; n++) {
                if (n < blocks)
                    for (int x = 0; x < 4; x++) {  // keys x / 2, queries x % 2
                        READ(4, key[j + x / 2 * 16]), READ(5, query_columns[2 * n + x % 2]);
                        CLEAR(6), ADD_PRODUCT(6, 4, 5), WRITE(6, score[x]);
                        READ(4, value[j + x / 2 * 16]), READ(5, up_columns[2 * n + x % 2]);
                        CLEAR(7), ADD_PRODUCT(7, 4, 5), WRITE(7, up[x]);
                    }
                if (n > 0) {
                    Weighed *last = weighed + (n - 1 & 1);
                    READ(4, up_pairs[n - 1]), READ(5, query_pairs[n - 1]), READ(6, last->weight[0]), READ(7, last->weight[1]);
                    ADD_PRODUCT(0, 6, 4), ADD_PRODUCT(1, 7, 4);
                    READ(6, last->slope[0]), READ(7, last->slope[1]);
                    ADD_PRODUCT(2, 6, 5), ADD_PRODUCT(3, 7, 5);
                    READ(4, key_rows[j / 32]), READ(5, last->sideways[0]), READ(6, queried[2 * n - 2]);
                    ADD_PRODUCT(6, 4, 5), WRITE(6, queried[2 * n - 2]);
                    READ(5, last->sideways[1]), READ(7, queried[2 * n - 1]);
                    ADD_PRODUCT(7, 4, 5), WRITE(7, queried[2 * n - 1]);
                }
                if (n < blocks) {
                    Queries at = {log_sum + 32 * n, mean + 32 * n, a + 32 * n, heard + 32 * n, 32 * n};
                    if (in->rate > 0)
                        weigh<true>(score, up, weighed + (n & 1), at, genes + j, told, in, pair, j);
                    else
                        weigh<false>(score, up, weighed + (n & 1), at, genes + j, told, in, pair, j);
                }
            }
            for (int x = 0; x < 2; x++) {
                int64_t start = j + 16 * x;
                if (x == 0) WRITE(0, result); else WRITE(1, result);
                for (int r = 0; r < 16 && start + r < G; r++)
                    memcpy(d_v + (b * G + start + r) * stride + h * D, result[r], D * sizeof(float));
                if (x == 0) WRITE(2, result); else WRITE(3, result);
                for (int r = 0; r < 16 && start + r < G; r++) {
                    for (int d = 0; d < D; d++) d_k[(b * G + start + r) * stride + h * D + d] = result[r][d] / LOG2E;
                    d_g[pair * G + start + r] = _mm512_reduce_add_ps(told[16 * x + r]) / LOG2E;
                }
            }
        }
        d_c[pair] = 0;
        for (int64_t i = 0; i < G; i++) {
            for (int d = 0; d < D; d++)
                d_q[(b * G + i) * stride + h * D + d] = queried[i / 16][d][i % 16] * in->scale;
            d_g[pair * G + i] += in->c[h] * heard[i];
            d_c[pair] += g[i] * heard[i];
        }
    }
    _tile_release();
    free(key), free(value), free(other), free(query_columns), free(query_pairs), free(up_columns), free(up_pairs);
    free(key_rows), free(queried), free(genes), free(a), free(log_sum), free(mean), free(heard);
}
