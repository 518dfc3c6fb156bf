// Attention conditioned on expression, on a CPU: scores, softmax, dropout and their gradients in one pass over tiles.
//
// score_ij = scale q_i . k_j + c g_i g_j. No matrix of genes x genes is stored: the backward pass makes the weights anew,
// from the logarithm of each row's sum, and dropout draws its mask anew from a hash of the pair.
// D is the width of a head, W = D + 1 with the column of expression; G genes, and P pairs of sample and head.
// Vectors hold 16 floats; compilers split them where registers are narrower.

#include "fused.h"

#define LANES 16
#define W (D + 1)
#define DP ((D + LANES - 1) / LANES * LANES)  // width of a padded row
#define ROWS 8                                // queries at once
#define STEP (2 * LANES)                      // keys at once
#define TILE 64                               // keys whose gradients stay in the nearest cache

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(4)));

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec x) { *(vec *)p = x; }
static inline vec larger(vec a, vec b) { return a > b ? a : b; }
static inline float total(vec x) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += x[i];
    return sum;
}

// exp to 2 units in the last place: 2^n times a polynomial on half a binade around 1 (Cephes).
static inline vec exponential(vec x) {
    x = larger(x, vec{} - 87.0f);
    x = x > 0 ? vec{} : x;  // weights never exceed 1; keys beyond the last gene may
    vec shifted = x * 1.44269504f + 12582912.0f;  // the low bits hold n
    vec n = shifted - 12582912.0f;
    vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

// 1 / (1 - rate) where a pair is kept, 0 where it is dropped.
static inline vec kept(uint32_t seed, uint32_t pair, uint32_t bound, float inverse) {
    uvec x;
    for (uint32_t i = 0; i < LANES; i++) x[i] = i * SPREAD;
    x = x + pair * SPREAD ^ seed;
    x = (x ^ x >> 16) * FIRST;
    x = (x ^ x >> 15) * SECOND;
    return (x >= bound) ? vec{} + inverse : vec{};
}

static float *floats(int64_t n) { return (float *)room(n * sizeof(float)); }

// Keys of one pair, their columns in rows: (W, padded), zero where there is no gene.
static void transpose(const float *x, const float *g, int64_t genes, int64_t stride, int64_t padded, int width, float *out) {
    memset(out, 0, width * padded * sizeof(float));
    for (int64_t j = 0; j < genes; j++) {
        for (int d = 0; d < D; d++) out[d * padded + j] = x[j * stride + d];
        if (width > D) out[D * padded + j] = g[j];
    }
}

// Queries i, i + 1, .. of one pair, scaled, and their expression times c; rows beyond the last gene are zero.
static void queries(const Inputs *in, const float *q, const float *g, float c, int64_t i, float out[ROWS][W]) {
    for (int r = 0; r < ROWS; r++)
        for (int d = 0; d < W; d++)
            out[r][d] = i + r >= in->genes ? 0 : d < D ? q[(i + r) * in->q_row + d] * in->scale : c * g[i + r];
}

static inline void scores(const float *kt, int64_t padded, float q[ROWS][W], vec s[ROWS][2]) {
    for (int r = 0; r < ROWS; r++) s[r][0] = s[r][1] = vec{};
    for (int d = 0; d < W; d++) {
        vec k0 = load(kt + d * padded), k1 = load(kt + d * padded + LANES);
        for (int r = 0; r < ROWS; r++) {
            s[r][0] += k0 * q[r][d];
            s[r][1] += k1 * q[r][d];
        }
    }
}

extern "C" int ready() { return 1; }

// Pairs first .. last - 1: out (B, G, H D) and the logarithm of the sums of exponentials, lse (P, G).
extern "C" void forward(const Inputs *in, float *out, float *lse, int64_t first, int64_t last) {
    int64_t G = in->genes, H = in->heads, stride = H * D, padded = (G + STEP - 1) / STEP * STEP;
    float *kt = floats(W * padded), *values = floats(padded * DP), *weights = floats(ROWS * padded);
    uint32_t bound = in->rate * 4294967296.0;
    for (int64_t pair = first; pair < last; pair++) {
        int64_t b = pair / H, h = pair % H;
        const float *q = in->q + b * in->q_batch + h * D, *v = in->v + b * in->v_batch + h * D, *g = in->g + b * G;
        transpose(in->k + b * in->k_batch + h * D, g, G, in->k_row, padded, W, kt);
        memset(values, 0, padded * DP * sizeof(float));
        for (int64_t j = 0; j < G; j++) memcpy(values + j * DP, v + j * in->v_row, D * sizeof(float));
        for (int64_t i = 0; i < G; i += ROWS) {
            float query[ROWS][W];
            vec s[ROWS][2], most[ROWS], sum[ROWS], head[2][ROWS][DP / LANES];
            queries(in, q, g, in->c[h], i, query);
            for (int r = 0; r < ROWS; r++) most[r] = vec{} - 1e30f;
            for (int64_t j = 0; j < padded; j += STEP) {
                scores(kt + j, padded, query, s);
                if (j + STEP > G)
                    for (int r = 0; r < ROWS; r++)
                        for (int x = G - j; x < STEP; x++) s[r][x / LANES][x % LANES] = -1e30f;
                for (int r = 0; r < ROWS; r++) {
                    store(weights + r * padded + j, s[r][0]);
                    store(weights + r * padded + j + LANES, s[r][1]);
                    most[r] = larger(most[r], larger(s[r][0], s[r][1]));
                }
            }
            float top[ROWS];
            for (int r = 0; r < ROWS; r++) {
                top[r] = most[r][0];
                for (int x = 1; x < LANES; x++) top[r] = fmaxf(top[r], most[r][x]);
                sum[r] = vec{};
            }
            for (int r = 0; r < ROWS; r++)
                for (int64_t j = 0; j < padded; j += LANES) {
                    vec p = exponential(load(weights + r * padded + j) - top[r]);
                    sum[r] += p;
                    if (bound) p *= kept(in->seed[pair], (i + r) * G + j, bound, 1 / (1 - in->rate));
                    store(weights + r * padded + j, p);
                }
            memset(head, 0, sizeof head);
            for (int64_t j = 0; j < padded; j += 2)
                for (int half = 0; half < 2; half++)
                    for (int x = 0; x < DP / LANES; x++) {
                        vec value = load(values + (j + half) * DP + x * LANES);
                        for (int r = 0; r < ROWS; r++) head[half][r][x] += value * weights[r * padded + j + half];
                    }
            for (int r = 0; r < ROWS && i + r < G; r++) {
                float norm = total(sum[r]);
                lse[pair * G + i + r] = top[r] + logf(norm);
                for (int d = 0; d < D; d++)
                    out[(b * G + i + r) * stride + h * D + d] =
                        (head[0][r][d / LANES][d % LANES] + head[1][r][d / LANES][d % LANES]) / norm;
            }
        }
    }
    free(kt), free(values), free(weights);
}

// Gradients of q, k and v (B, G, H D), of expression by pair (P, G) and of c by pair (P), from that of out (B, G, H D).
extern "C" void backward(const Inputs *in, const float *out, const float *lse, const float *d_out, float *d_q, float *d_k,
              float *d_v, float *d_g, float *d_c, int64_t first, int64_t last) {
    int64_t G = in->genes, H = in->heads, stride = H * D, padded = (G + TILE - 1) / TILE * TILE;
    float *kt = floats(W * padded), *vt = floats(D * padded), *keys = floats(padded * DP), *queried = floats(G * (DP + 1));
    float *d_kt = floats(W * TILE), *d_vt = floats(D * TILE), *d_scores = floats(ROWS * TILE), *inner = floats(G);
    uint32_t bound = in->rate * 4294967296.0;
    float inverse = 1 / (1 - in->rate);
    for (int64_t pair = first; pair < last; pair++) {
        int64_t b = pair / H, h = pair % H;
        const float *q = in->q + b * in->q_batch + h * D, *k = in->k + b * in->k_batch + h * D, *g = in->g + b * G;
        const float *grad = d_out + b * G * stride + h * D, *head = out + b * G * stride + h * D;
        transpose(k, g, G, in->k_row, padded, W, kt);
        transpose(in->v + b * in->v_batch + h * D, g, G, in->v_row, padded, D, vt);
        memset(keys, 0, padded * DP * sizeof(float));
        for (int64_t j = 0; j < G; j++) memcpy(keys + j * DP, k + j * in->k_row, D * sizeof(float));
        memset(queried, 0, G * (DP + 1) * sizeof(float));  // gradients of queries, and of their expression
        for (int64_t i = 0; i < G; i++) {
            inner[i] = 0;
            for (int d = 0; d < D; d++) inner[i] += grad[i * stride + d] * head[i * stride + d];
        }
        for (int64_t tile = 0; tile < padded; tile += TILE) {
            memset(d_kt, 0, W * TILE * sizeof(float)), memset(d_vt, 0, D * TILE * sizeof(float));
            for (int64_t i = 0; i < G; i += ROWS) {
                float query[ROWS][W], up[ROWS][D], log_sum[ROWS], mean[ROWS];
                queries(in, q, g, in->c[h], i, query);
                for (int r = 0; r < ROWS; r++) {
                    int there = i + r < G;
                    log_sum[r] = there ? lse[pair * G + i + r] : 0, mean[r] = there ? inner[i + r] : 0;
                    for (int d = 0; d < D; d++) up[r][d] = there ? grad[(i + r) * stride + d] : 0;
                }
                for (int64_t j = 0; j < TILE; j += STEP) {
                    vec p[ROWS][2], s[ROWS][2], drop[ROWS][2];
                    scores(kt + tile + j, padded, query, p);
                    for (int r = 0; r < ROWS; r++)
                        for (int x = 0; x < 2; x++) {
                            p[r][x] = exponential(p[r][x] - log_sum[r]);
                            s[r][x] = vec{};
                        }
                    for (int d = 0; d < D; d++) {
                        vec v0 = load(vt + d * padded + tile + j), v1 = load(vt + d * padded + tile + j + LANES);
                        for (int r = 0; r < ROWS; r++) {
                            s[r][0] += v0 * up[r][d];
                            s[r][1] += v1 * up[r][d];
                        }
                    }
                    if (bound)
                        for (int r = 0; r < ROWS; r++)
                            for (int x = 0; x < 2; x++) {
                                uint32_t at = (i + r) * G + tile + j + x * LANES;
                                drop[r][x] = kept(in->seed[pair], at, bound, inverse);
                                s[r][x] = p[r][x] * (s[r][x] * drop[r][x] - mean[r]);
                                p[r][x] *= drop[r][x];
                            }
                    else
                        for (int r = 0; r < ROWS; r++)
                            for (int x = 0; x < 2; x++) s[r][x] = p[r][x] * (s[r][x] - mean[r]);
                    for (int r = 0; r < ROWS; r++) {
                        store(d_scores + r * TILE + j, s[r][0]);
                        store(d_scores + r * TILE + j + LANES, s[r][1]);
                    }
                    for (int d = 0; d < W; d++) {
                        vec a = load(d_kt + d * TILE + j), b = load(d_kt + d * TILE + j + LANES);
                        for (int r = 0; r < ROWS; r++) a += s[r][0] * query[r][d], b += s[r][1] * query[r][d];
                        store(d_kt + d * TILE + j, a), store(d_kt + d * TILE + j + LANES, b);
                    }
                    for (int d = 0; d < D; d++) {
                        vec a = load(d_vt + d * TILE + j), b = load(d_vt + d * TILE + j + LANES);
                        for (int r = 0; r < ROWS; r++) a += p[r][0] * up[r][d], b += p[r][1] * up[r][d];
                        store(d_vt + d * TILE + j, a), store(d_vt + d * TILE + j + LANES, b);
                    }
                }
                vec sum[2][ROWS][DP / LANES], of_g[ROWS];
                memset(sum, 0, sizeof sum), memset(of_g, 0, sizeof of_g);
                for (int64_t j = 0; j < TILE; j += 2)
                    for (int half = 0; half < 2; half++)
                        for (int x = 0; x < DP / LANES; x++) {
                            vec key = load(keys + (tile + j + half) * DP + x * LANES);
                            for (int r = 0; r < ROWS; r++) sum[half][r][x] += key * d_scores[r * TILE + j + half];
                        }
                for (int64_t j = 0; j < TILE; j += LANES)
                    for (int r = 0; r < ROWS; r++) of_g[r] += load(d_scores + r * TILE + j) * load(kt + D * padded + tile + j);
                for (int r = 0; r < ROWS && i + r < G; r++) {
                    float *row = queried + (i + r) * (DP + 1);
                    for (int x = 0; x < DP / LANES; x++)
                        store(row + x * LANES, load(row + x * LANES) + sum[0][r][x] + sum[1][r][x]);
                    row[DP] += total(of_g[r]);
                }
            }
            for (int64_t j = 0; j < TILE && tile + j < G; j++) {
                int64_t at = (b * G + tile + j) * stride + h * D;
                for (int d = 0; d < D; d++) d_k[at + d] = d_kt[d * TILE + j], d_v[at + d] = d_vt[d * TILE + j];
                d_g[pair * G + tile + j] = d_kt[D * TILE + j];
            }
        }
        d_c[pair] = 0;
        for (int64_t i = 0; i < G; i++) {
            float *row = queried + i * (DP + 1);
            for (int d = 0; d < D; d++) d_q[(b * G + i) * stride + h * D + d] = row[d] * in->scale;
            d_g[pair * G + i] += in->c[h] * row[DP];
            d_c[pair] += g[i] * row[DP];
        }
    }
    free(kt), free(vt), free(keys), free(queried), free(d_kt), free(d_vt), free(d_scores), free(inner);
}
