/* Quantiser of the JPEG encoder (virtual_codec/codecs/_trellis.py) for the blocks of a whole batch.

   One source: compiled by NVRTC with ON_DEVICE defined, each function is a CUDA kernel with a thread for each block (or
   sequence of blocks); compiled by a C compiler, it is a loop.

   A sequence is a component of a picture: `length` blocks of 64 coefficients in zig-zag order, MCU by MCU. Sequences of a
   picture follow one another, and `per_picture` is the number of its blocks or sequences, whichever a function counts.
   Tables [pictures, 64] and costs [pictures, 256] are those of the picture. */

#ifdef ON_DEVICE
#define FUNCTION __device__ static
#define ADD_ONE(place) atomicAdd(place, 1)
#define LEADING_ZEROS(value) __clz(value)
#else
#include <math.h>
#define FUNCTION static
#define ADD_ONE(place) (*(place) += 1)
#define LEADING_ZEROS(value) __builtin_clz(value)
#endif

typedef long long Index;

#define INFINITE 3.0e38f
#define ZERO_RUN 0xF0 /* symbol of 16 zeros */
#define HIGHEST_AC 1023
#define LOWEST_DC (-1024)
#define HIGHEST_DC 1023

FUNCTION int clamped(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

/* Size category of a level: the number of bits of its magnitude. */
FUNCTION int bit_size(int level) {
  int magnitude = level < 0 ? -level : level;
  return magnitude ? 32 - LEADING_ZEROS(magnitude) : 0;
}

/* Nearest levels of a block, and the index of its last nonzero AC level. */
FUNCTION void round_block(const float* block, const float* table, short* levels, int* last) {
  int end = 0;
  levels[0] = (short)clamped((int)rintf(block[0] / table[0]), LOWEST_DC, HIGHEST_DC);
  for (int k = 1; k < 64; k++) {
    int level = (int)(fabsf(block[k]) / table[k] + 0.5f);
    if (level > HIGHEST_AC) level = HIGHEST_AC;
    levels[k] = (short)(block[k] > 0 ? level : -level);
    if (level) end = k;
  }
  *last = end;
}

/* AC levels of least weighted squared error plus cost. A coefficient may keep its nearest level, take the largest level of
   the next smaller size, or become zero. `cost` is a symbol's with its magnitude bits, in squared error. */
FUNCTION void quantise_ac_block(const float* block, const float* table, float weight, const float* cost, short* levels,
                                int* last) {
  unsigned char position[64], size_of[64], came_from[64], choice[64];
  short level_of[2][64];
  float error_of[2][64], dropped_error[64], best[64];
  float dearest = 0;
  for (int symbol = 0; symbol < 256; symbol++) dearest = fmaxf(dearest, cost[symbol]);
  const float never_dropped = 2 * dearest; /* an error above it is worth any symbol */
  int count = 0;
  for (int k = 1; k < 64; k++) {
    const float value = fabsf(block[k]);
    const float scaled = value / table[k] + 0.5f;
    levels[k] = 0;
    if (scaled < 1.0f) continue;
    const int level = scaled < HIGHEST_AC ? (int)scaled : HIGHEST_AC;
    const int size = bit_size(level), smaller = (1 << (size - 1)) - 1;
    const float error = value - level * table[k], smaller_error = value - smaller * table[k];
    count++;
    position[count] = (unsigned char)k;
    size_of[count] = (unsigned char)size;
    level_of[0][count] = (short)level;
    level_of[1][count] = (short)smaller;
    error_of[0][count] = weight * error * error;
    error_of[1][count] = weight * smaller_error * smaller_error;
    dropped_error[count] = weight * value * value;
  }
  *last = 0;
  if (!count) return;
  position[0] = came_from[0] = choice[0] = 0;
  dropped_error[0] = best[0] = 0;
  for (int i = 1; i <= count; i++) {
    const int size = size_of[i];
    float least = INFINITE, dropped = 0;
    int origin = 0, pick = 0;
    for (int j = i - 1; j >= 0; j--) {
      const int run = position[i] - position[j] - 1, symbol = ((run & 15) << 4) | size;
      const float path = best[j] + dropped + (run >> 4) * cost[ZERO_RUN];
      const float kept = path + cost[symbol] + error_of[0][i];
      if (kept < least) least = kept, origin = j, pick = 0;
      if (size > 1) {
        const float lowered = path + cost[symbol - 1] + error_of[1][i];
        if (lowered < least) least = lowered, origin = j, pick = 1;
      }
      dropped += dropped_error[j];
      if (dropped_error[j] > never_dropped) break;
    }
    best[i] = least;
    came_from[i] = (unsigned char)origin;
    choice[i] = (unsigned char)pick;
  }
  float least = INFINITE, dropped = 0;
  int end = 0;
  for (int i = count; i >= 0; i--) {
    const float total = best[i] + dropped + (position[i] < 63 ? cost[0] : 0);
    if (total < least) least = total, end = i;
    dropped += dropped_error[i];
    if (dropped_error[i] > never_dropped) break;
  }
  *last = position[end];
  for (; end; end = came_from[end]) {
    const int k = position[end], level = level_of[choice[end]][end];
    levels[k] = (short)(block[k] > 0 ? level : -level);
  }
}

/* DC levels of a sequence: each block takes its nearest level or one beside it. `came_from` [length, 3] is scratch. */
FUNCTION void quantise_dc_sequence(Index length, const float* blocks, float step, const float* weights, const float* cost,
                                   unsigned char* came_from, short* levels) {
  float before[3] = {0, 0, 0}, after[3];
  int previous = 0;
  for (Index n = 0; n < length; n++) {
    const float value = blocks[n * 64];
    const int centre = clamped((int)rintf(value / step), LOWEST_DC + 1, HIGHEST_DC - 1);
    for (int i = 0; i < 3; i++) {
      const int level = centre + i - 1;
      const float error = value - level * step;
      float least = n ? INFINITE : cost[bit_size(level)];
      for (int j = 0; n && j < 3; j++) {
        const float total = before[j] + cost[bit_size(level - (previous + j - 1))];
        if (total < least) least = total, came_from[n * 3 + i] = (unsigned char)j;
      }
      after[i] = least + weights[n] * error * error;
    }
    for (int i = 0; i < 3; i++) before[i] = after[i];
    previous = centre;
    levels[n * 64] = (short)centre;
  }
  int i = before[1] < before[0] ? 1 : 0;
  if (before[2] < before[i]) i = 2;
  for (Index n = length - 1; n >= 0; n--) {
    levels[n * 64] = (short)(levels[n * 64] + i - 1);
    i = n ? came_from[n * 3 + i] : i;
  }
}

/* Counts of the symbols of a block, added to `ac` [256] and `dc` [256]; `previous` is the DC level before it. */
FUNCTION void count_block(const short* levels, int previous, int last, int* ac, int* dc) {
  int run = 0;
  ADD_ONE(dc + bit_size(levels[0] - previous));
  for (int k = 1; k <= last; k++) {
    if (!levels[k]) {
      run++;
      continue;
    }
    for (; run > 15; run -= 16) ADD_ONE(ac + ZERO_RUN);
    ADD_ONE(ac + ((run << 4) | bit_size(levels[k])));
    run = 0;
  }
  if (last < 63) ADD_ONE(ac);
}

#ifdef ON_DEVICE
#define ENTRY extern "C" __global__ void
#define EACH(i, count)                                                  \
  const Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; \
  if (i < count)
#else
#define ENTRY void
#define EACH(i, count) for (Index i = 0; i < count; i++)
#endif

ENTRY round_blocks(Index count, Index per_picture, const float* blocks, const float* tables, short* levels, int* last) {
  EACH(i, count) round_block(blocks + i * 64, tables + i / per_picture * 64, levels + i * 64, last + i);
}

ENTRY quantise_ac(Index count, Index per_picture, const float* blocks, const float* tables, const float* weights,
                  const float* costs, short* levels, int* last) {
  EACH(i, count) {
    const Index picture = i / per_picture;
    quantise_ac_block(blocks + i * 64, tables + picture * 64, weights[i], costs + picture * 256, levels + i * 64, last + i);
  }
}

ENTRY quantise_dc(Index count, Index length, Index per_picture, const float* blocks, const float* tables,
                  const float* weights, const float* costs, unsigned char* came_from, short* levels) {
  EACH(i, count) {
    const Index picture = i / per_picture;
    quantise_dc_sequence(length, blocks + i * length * 64, tables[picture * 64], weights + i * length, costs + picture * 256,
                         came_from + i * length * 3, levels + i * length * 64);
  }
}

ENTRY count_symbols(Index count, Index length, Index per_picture, const short* levels, const int* last, int* ac, int* dc) {
  EACH(i, count) {
    const Index picture = i / per_picture;
    const int previous = i % length ? levels[(i - 1) * 64] : 0;
    count_block(levels + i * 64, previous, last[i], ac + picture * 256, dc + picture * 256);
  }
}
