/* The inner loops of the ranking, compiled: scores to ranks, the nearest columns, and sums over ranks.
 *
 * Every function here has a twin in NumPy that gives the same bits (counting.py, neighbors.py, ranks.py), which is used
 * where no compiler was found at installation and which the tests compare with. The functions take buffers, check
 * nothing but their sizes (kernel.py is the only caller), and release the interpreter's lock.
 *
 * Counting. A relevant item's rank is its place among the relevant ones plus the number of others that score at least
 * as high. So only the relevant scores are sorted (R of them, not N), and each other score is looked up among them. The
 * look-up table is a monotone map from score to bucket with some buckets for each different relevant score; the few
 * that share a bucket are told apart by comparing. Equal relevant scores are one entry of the table: a collapsed model,
 * all of whose scores are a handful of floats, must not cost more than a healthy one. With few relevant items, comparing
 * all scores with each of them, many at a time, is faster still.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_PROCESSOR
#endif

enum { FEW = 24, CHUNK = 2048, BUCKETS_EACH = 4, MOST_BUCKETS = 1 << 22, GROUPS = 512 };

/* ---- sorting and looking up the relevant scores -------------------------------------------------------------- */

/* Sort floats, none of them NaN, ascending. Whole passes of 11 bits over keys that order like the floats. */
static void sort_floats(float *values, int64_t n, uint32_t *keys, uint32_t *spare) {
    if (n <= FEW) {
        for (int64_t i = 1; i < n; i++) {
            float value = values[i];
            int64_t j = i;
            for (; j > 0 && values[j - 1] > value; j--) values[j] = values[j - 1];
            values[j] = value;
        }
        return;
    }
    uint32_t counts[3][2048];
    memset(counts, 0, sizeof counts);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        float value = values[i] + 0.0f; /* -0 equals 0 */
        memcpy(&bits, &value, 4);
        bits ^= (uint32_t)(-(int32_t)(bits >> 31)) | 0x80000000u;
        keys[i] = bits;
        counts[0][bits & 2047]++;
        counts[1][(bits >> 11) & 2047]++;
        counts[2][bits >> 22]++;
    }
    for (int pass = 0; pass < 3; pass++) {
        int shift = 11 * pass;
        uint32_t sum = 0;
        for (int digit = 0; digit < 2048; digit++) {
            uint32_t count = counts[pass][digit];
            counts[pass][digit] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++) spare[counts[pass][(keys[i] >> shift) & 2047]++] = keys[i];
        uint32_t *swap = keys;
        keys = spare;
        spare = swap;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = keys[i];
        bits ^= (bits >> 31) ? 0x80000000u : 0xFFFFFFFFu;
        memcpy(&values[i], &bits, 4);
    }
}

typedef struct {
    float *values;      /* the relevant scores, ascending; then each different one once, and +inf */
    int32_t *copies;    /* how many relevant items have each different score */
    uint32_t *keys;     /* room for sorting */
    uint32_t *spare;
    int32_t *first;     /* bucket -> the first different score in it or after it */
    int32_t *reached;   /* how many others lie between different scores m - 1 and m; one more than scores */
    int32_t *level;     /* how many others equal each different score */
    int32_t *bucket;    /* of CHUNK others */
} Table;

static void free_table(Table *table) {
    free(table->values), free(table->copies), free(table->keys), free(table->spare);
    free(table->first), free(table->reached), free(table->level), free(table->bucket);
}

static int make_table(Table *table, int64_t room) {
    memset(table, 0, sizeof *table);
    size_t n = (size_t)room + 4;
    table->values = malloc(n * sizeof(float));
    table->copies = malloc(n * sizeof(int32_t));
    table->keys = malloc(n * sizeof(uint32_t));
    table->spare = malloc(n * sizeof(uint32_t));
    table->first = malloc((size_t)((BUCKETS_EACH * room < MOST_BUCKETS ? BUCKETS_EACH * room : MOST_BUCKETS) + 2) * sizeof(int32_t));
    table->reached = malloc(n * sizeof(int32_t));
    table->level = malloc(n * sizeof(int32_t));
    table->bucket = malloc(CHUNK * sizeof(int32_t));
    return table->values && table->copies && table->keys && table->spare && table->first && table->reached &&
           table->level && table->bucket;
}

/* The bucket of a score: subtracting, multiplying by a positive number and cutting off all keep the order of floats. */
EACH_PROCESSOR
static void find_buckets(const float *scores, int64_t n, float low, float scale, float last, int32_t *bucket) {
    for (int64_t i = 0; i < n; i++) {
        float place = (scores[i] - low) * scale;
        place = place > 0.0f ? place : 0.0f;
        place = place < last ? place : last;
        bucket[i] = (int32_t)place;
    }
}

/* Copy the scores that are at least `low`, in their order, and return how many they are. */
EACH_PROCESSOR
static int64_t keep_from(const float *scores, int64_t n, float low, float *kept) {
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        kept[found] = scores[i];
        found += scores[i] >= low;
    }
    return found;
}

/* Count the others from `scores` into the table. Those below every relevant score change no rank: they are passed over. */
static void look_up(Table *table, const float *scores, int64_t n, float low, float scale, float last) {
    const float *values = table->values;
    const int32_t *first = table->first;
    int32_t *reached = table->reached, *level = table->level;
    float kept[CHUNK + 1];
    for (int64_t begin = 0; begin < n; begin += CHUNK) {
        int64_t count = keep_from(scores + begin, n - begin < CHUNK ? n - begin : CHUNK, values[0], kept);
        find_buckets(kept, count, low, scale, last, table->bucket);
        for (int64_t i = 0; i < count; i++) {
            int64_t place = first[table->bucket[i]];
            float score = kept[i];
            place += score >= values[place]; /* the entry after the last is +inf */
            if (score >= values[place]) { /* a crowded bucket: bisect what is left of it */
                int64_t under = place, over = first[table->bucket[i] + 1];
                while (over - under > 1) {
                    int64_t middle = under + (over - under) / 2;
                    if (score >= values[middle]) under = middle;
                    else over = middle;
                }
                place = over;
            }
            reached[place]++;
            if (score == values[place - 1]) level[place - 1]++; /* place > 0: nothing kept is below them all */
        }
    }
}

/* ---- one row --------------------------------------------------------------------------------------------------- */

EACH_PROCESSOR
static void count_few(const float *scores, int64_t n, const float *relevant, int64_t many, int32_t *above,
                      int32_t *level) {
    for (int64_t begin = 0; begin < n; begin += CHUNK) {
        int64_t count = n - begin < CHUNK ? n - begin : CHUNK;
        const float *some = scores + begin;
        for (int64_t r = 0; r < many; r++) {
            float one = relevant[r];
            int32_t higher = 0, least = 0;
            for (int64_t i = 0; i < count; i++) {
                higher += some[i] > one;
                least += some[i] >= one;
            }
            above[r] += higher;
            level[r] += least - higher;
        }
    }
}

/* Ranks of one row, ascending, from the others' places in the table: from the highest relevant score down. */
static void write_few(const Table *table, int64_t many, int64_t *worst, int64_t *best) {
    for (int64_t r = 0; r < many; r++) {
        int64_t from = many - 1 - r;
        best[r] = r + 1 + table->reached[from];
        worst[r] = best[r] + table->level[from];
    }
}

static void write_many(const Table *table, int64_t different, int64_t *worst, int64_t *best) {
    int64_t above = 0, place = 0;
    for (int64_t m = different - 1; m >= 0; m--) {
        above += table->reached[m + 1] - table->level[m];
        for (int32_t copy = 0; copy < table->copies[m]; copy++) {
            place++;
            *best++ = place + above;
            *worst++ = place + above + table->level[m];
        }
        above += table->level[m];
    }
}

static void count_row(Table *table, const float *scores, int64_t n, int64_t begin, int64_t end, int64_t many,
                      int64_t *worst, int64_t *best) {
    float *values = table->values;
    int64_t found = 0;
    for (int64_t i = begin; i < end && found < many; i++) {
        values[found] = scores[i];
        found += scores[i] > -INFINITY;
    }
    sort_floats(values, many, table->keys, table->spare);
    if (many <= FEW) {
        memset(table->reached, 0, (size_t)many * sizeof(int32_t));
        memset(table->level, 0, (size_t)many * sizeof(int32_t));
        count_few(scores, begin, values, many, table->reached, table->level);
        count_few(scores + end, n - end, values, many, table->reached, table->level);
        write_few(table, many, worst, best);
        return;
    }
    int64_t different = 0;
    for (int64_t i = 0; i < many; i++) {
        if (different && values[different - 1] == values[i]) {
            table->copies[different - 1]++;
        } else {
            values[different] = values[i];
            table->copies[different++] = 1;
        }
    }
    values[different] = values[different + 1] = values[different + 2] = INFINITY;
    memset(table->reached, 0, ((size_t)different + 1) * sizeof(int32_t));
    memset(table->level, 0, ((size_t)different + 1) * sizeof(int32_t));

    int64_t buckets = BUCKETS_EACH * different < MOST_BUCKETS ? BUCKETS_EACH * different : MOST_BUCKETS;
    float low = values[0], scale = (float)buckets / (values[different - 1] - low);
    if (!(scale > 0.0f && scale < INFINITY)) { /* one score alone, or a range that floats cannot divide */
        buckets = 1;
        scale = 0.0f;
        low = 0.0f;
    }
    float last = (float)(buckets - 1);
    int32_t *first = table->first;
    memset(first, 0, ((size_t)buckets + 1) * sizeof(int32_t));
    for (int64_t begun = 0; begun < different; begun += CHUNK) {
        int64_t count = different - begun < CHUNK ? different - begun : CHUNK;
        find_buckets(values + begun, count, low, scale, last, table->bucket);
        for (int64_t i = 0; i < count; i++) first[table->bucket[i]]++;
    }
    int32_t before = 0;
    for (int64_t bucket = 0; bucket <= buckets; bucket++) {
        int32_t here = first[bucket];
        first[bucket] = before;
        before += here;
    }
    look_up(table, scores, begin, low, scale, last);
    look_up(table, scores + end, n - end, low, scale, last);
    write_many(table, different, worst, best);
}

/* ---- the nearest columns --------------------------------------------------------------------------------------- */

typedef struct {
    float score;
    int32_t relevant, column;
} Item;

/* Best first; equal scores against the query: not relevant first, then the lower column. */
static int compare_items(const void *one, const void *other) {
    const Item *a = one, *b = other;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->relevant != b->relevant) return a->relevant - b->relevant;
    return a->column < b->column ? -1 : a->column > b->column;
}

/* The highest score of every 512th column. Neighbours go apart, or one class could hide in one maximum. */
EACH_PROCESSOR
static void group_maxima(const float *scores, int64_t deep, float *maxima) {
    memcpy(maxima, scores, GROUPS * sizeof(float));
    for (int64_t d = 1; d < deep; d++)
        for (int64_t g = 0; g < GROUPS; g++) {
            float score = scores[d * GROUPS + g];
            maxima[g] = score > maxima[g] ? score : maxima[g];
        }
}

EACH_PROCESSOR
static int any_from(const float *scores, int64_t n, float bound) {
    int any = 0;
    for (int64_t i = 0; i < n; i++) any |= scores[i] >= bound;
    return any;
}

/* `items` has room for `room` >= k of them; when it is full, the k best stay and the bound rises to the last of these. */
static void nearest_row(const float *scores, int64_t n, int64_t begin, int64_t end, int64_t k, Item *items, int64_t room,
                        int32_t *columns, float *best) {
    Item bar = {-INFINITY, 1, INT32_MAX};
    if (k <= GROUPS / 4 && n >= 2 * GROUPS) { /* the k best of the groups' maxima belong to k different columns */
        float maxima[GROUPS];
        uint32_t keys[GROUPS], spare[GROUPS];
        group_maxima(scores, n / GROUPS, maxima);
        sort_floats(maxima, GROUPS, keys, spare);
        bar.score = maxima[GROUPS - k];
    }
    int64_t found = 0;
    for (int64_t from = 0; from < n; from += 64) {
        int64_t to = from + 64 < n ? from + 64 : n;
        if (!any_from(scores + from, to - from, bar.score)) continue;
        for (int64_t i = from; i < to; i++) {
            if (!(scores[i] >= bar.score) || scores[i] == -INFINITY) continue;
            Item item = {scores[i], i >= begin && i < end, (int32_t)i};
            if (compare_items(&item, &bar) > 0) continue;
            if (found == room) {
                qsort(items, (size_t)found, sizeof(Item), compare_items);
                found = k;
                bar = items[k - 1];
                if (compare_items(&item, &bar) > 0) continue;
            }
            items[found++] = item;
        }
    }
    qsort(items, (size_t)found, sizeof(Item), compare_items);
    for (int64_t i = 0; i < k; i++) {
        columns[i] = i < found ? items[i].column : -1;
        best[i] = i < found ? items[i].score : NAN;
    }
}

/* ---- sums over ranks ------------------------------------------------------------------------------------------- */

/* Of one query's R ranks, each sum in their order: p / rank, rank, p / rank of ranks up to R, and how many those are. */
static void sum_ranks(const int64_t *ranks, int64_t many, double *sums) {
    double precision = 0.0, top = 0.0;
    int64_t total = 0, p = 0;
    for (; p < many && ranks[p] <= many; p++) {
        precision += (double)(p + 1) / (double)ranks[p];
        total += ranks[p];
    }
    top = precision;
    sums[3] = (double)p;
    for (; p < many; p++) {
        precision += (double)(p + 1) / (double)ranks[p];
        total += ranks[p];
    }
    sums[0] = precision;
    sums[1] = (double)total;
    sums[2] = top;
}

/* ---- the module ------------------------------------------------------------------------------------------------ */

typedef struct {
    Py_buffer view;
    int held;
} Held;

static int hold(Held *held, PyObject *object, int writable, Py_ssize_t size, const char *what) {
    int flags = PyBUF_STRIDES | (writable ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &held->view, flags) != 0) return 0;
    held->held = 1;
    if (held->view.itemsize != size) {
        PyErr_Format(PyExc_ValueError, "%s has items of %zd bytes, not %zd", what, held->view.itemsize, size);
        return 0;
    }
    return 1;
}

static void let_go(Held *held, int count) {
    for (int i = 0; i < count; i++)
        if (held[i].held) PyBuffer_Release(&held[i].view);
}

/* Hold the common arguments: scores float32 (rows, N) with contiguous rows, start and stop int64 (rows,). */
static int hold_block(Held *held, PyObject **objects) {
    if (!hold(&held[0], objects[0], 0, 4, "scores") || !hold(&held[1], objects[1], 0, 8, "start") ||
        !hold(&held[2], objects[2], 0, 8, "stop"))
        return 0;
    Py_buffer *scores = &held[0].view;
    if (scores->ndim != 2 || (scores->shape[1] > 1 && scores->strides[1] != 4)) {
        PyErr_SetString(PyExc_ValueError, "scores must have two dimensions and contiguous rows");
        return 0;
    }
    if (held[1].view.len != 8 * scores->shape[0] || held[2].view.len != 8 * scores->shape[0]) {
        PyErr_SetString(PyExc_ValueError, "start and stop must have a number for each row of scores");
        return 0;
    }
    return 1;
}

static const float *row_of(const Held *scores, int64_t row) {
    return (const float *)((const char *)scores->view.buf + row * scores->view.strides[0]);
}

static PyObject *count(PyObject *self, PyObject *arguments) {
    PyObject *objects[6];
    Held held[6] = {0};
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "OOOOOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4],
                          &objects[5]))
        return NULL;
    if (!hold_block(held, objects) || !hold(&held[3], objects[3], 0, 8, "offsets") ||
        !hold(&held[4], objects[4], 1, 8, "worst") || !hold(&held[5], objects[5], 1, 8, "best"))
        goto done;
    int64_t rows = held[0].view.shape[0], n = held[0].view.shape[1], most = 0;
    const int64_t *start = held[1].view.buf, *stop = held[2].view.buf, *offsets = held[3].view.buf;
    int64_t *worst = held[4].view.buf, *best = held[5].view.buf;
    if (held[3].view.len != 8 * (rows + 1) || held[4].view.len != 8 * offsets[rows] ||
        held[5].view.len != 8 * offsets[rows]) {
        PyErr_SetString(PyExc_ValueError, "offsets, worst and best do not fit each other");
        goto done;
    }
    for (int64_t row = 0; row < rows; row++) {
        int64_t many = offsets[row + 1] - offsets[row];
        if (many < 0 || start[row] < 0 || stop[row] > n || start[row] > stop[row] || many > stop[row] - start[row]) {
            PyErr_Format(PyExc_ValueError, "row %lld asks for columns that are not there", (long long)row);
            goto done;
        }
        most = many > most ? many : most;
    }
    Table table;
    int made;
    Py_BEGIN_ALLOW_THREADS;
    made = make_table(&table, most);
    for (int64_t row = 0; made && row < rows; row++) {
        int64_t many = offsets[row + 1] - offsets[row];
        if (many)
            count_row(&table, row_of(&held[0], row), n, start[row], stop[row], many, worst + offsets[row],
                      best + offsets[row]);
    }
    free_table(&table);
    Py_END_ALLOW_THREADS;
    result = made ? Py_NewRef(Py_None) : PyErr_NoMemory();
done:
    let_go(held, 6);
    return result;
}

static PyObject *nearest(PyObject *self, PyObject *arguments) {
    PyObject *objects[5];
    Held held[5] = {0};
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "OOOOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4]))
        return NULL;
    if (!hold_block(held, objects) || !hold(&held[3], objects[3], 1, 4, "columns") ||
        !hold(&held[4], objects[4], 1, 4, "best"))
        goto done;
    int64_t rows = held[0].view.shape[0], n = held[0].view.shape[1];
    int64_t k = rows ? held[3].view.len / 4 / rows : 0;
    const int64_t *start = held[1].view.buf, *stop = held[2].view.buf;
    int32_t *columns = held[3].view.buf;
    float *best = held[4].view.buf;
    if (held[3].view.len != 4 * rows * k || held[4].view.len != 4 * rows * k || k > n || n > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "columns and best must have one shape (rows, k) with k <= N < 2^31");
        goto done;
    }
    int64_t room = 2 * k + 64 < n ? 2 * k + 64 : n;
    Item *items;
    Py_BEGIN_ALLOW_THREADS;
    items = malloc(((size_t)room + 1) * sizeof(Item));
    for (int64_t row = 0; items && k && row < rows; row++)
        nearest_row(row_of(&held[0], row), n, start[row], stop[row], k, items, room, columns + row * k, best + row * k);
    free(items);
    Py_END_ALLOW_THREADS;
    result = items ? Py_NewRef(Py_None) : PyErr_NoMemory();
done:
    let_go(held, 5);
    return result;
}

static PyObject *sums(PyObject *self, PyObject *arguments) {
    PyObject *objects[3];
    Held held[3] = {0};
    PyObject *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "OOO", &objects[0], &objects[1], &objects[2])) return NULL;
    if (!hold(&held[0], objects[0], 0, 8, "ranks") || !hold(&held[1], objects[1], 0, 8, "offsets") ||
        !hold(&held[2], objects[2], 1, 8, "sums"))
        goto done;
    int64_t queries = held[1].view.len / 8 - 1;
    const int64_t *ranks = held[0].view.buf, *offsets = held[1].view.buf;
    double *out = held[2].view.buf;
    if (queries < 0 || held[0].view.len != 8 * offsets[queries] || held[2].view.len != 32 * queries) {
        PyErr_SetString(PyExc_ValueError, "ranks, offsets and sums do not fit each other");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS;
    for (int64_t query = 0; query < queries; query++)
        sum_ranks(ranks + offsets[query], offsets[query + 1] - offsets[query], out + 4 * query);
    Py_END_ALLOW_THREADS;
    result = Py_NewRef(Py_None);
done:
    let_go(held, 3);
    return result;
}

static PyMethodDef functions[] = {
    {"count", count, METH_VARARGS, "count(scores, start, stop, offsets, worst, best): fill the ranks of a block."},
    {"nearest", nearest, METH_VARARGS, "nearest(scores, start, stop, columns, best): fill the k best of each row."},
    {"sums", sums, METH_VARARGS, "sums(ranks, offsets, sums): fill the four sums over each query's ranks."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&definition); }
