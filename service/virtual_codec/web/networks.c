// Layers of the post-processing networks in WebAssembly SIMD128, and their weights. Feature maps: see kernels.h.
//
// Convolutions of 3x3 use Winograd's minimal filtering F(4x4, 3x3): Lavin and Gray, "Fast algorithms for
// convolutional neural networks", arXiv 1509.09308. It takes 2.25 multiplications a sample instead of 9.

#include "kernels.h"

#define GROUP 12  // output tiles of 4x4 at a time: their transforms and the weights stay in the cache
#define ROWS 4    // tiles a register block

static f4 relu(f4 x) { return (f4)((x > 0) & (__typeof__(x > 0))x); }
static int ceil8(int n) { return (n + 7) & ~7; }

static float half_to_float(unsigned h) {
  unsigned sign = (h & 0x8000u) << 16, rest = h & 0x7fffu;
  union { unsigned i; float f; } u;
  if (rest < 0x400) {  // subnormal: a multiple of 2 ** -24
    u.f = rest * 5.9604644775390625e-8f;
    u.i |= sign;
  } else {
    u.i = sign | ((rest << 13) + 0x38000000u);
  }
  return u.f;
}

HOT void some_halves(const u8 *low, const u8 *high, float *out, int count) {
  for (int i = 0; i < count; i++) out[i] = half_to_float(low[i] | high[i] << 8);
}

// Half-precision weights as floats: `low` and `high` hold the bytes of each.
EXPORT(halves) void halves(const u8 *low, const u8 *high, float *out, int count) {
  for (int i = 0; i < count; i += 64) some_halves(low + i, high + i, out + i, least(64, count - i));
}

HOT void scaled(const signed char *in, const float *scale, float *out, int count) {
  for (int i = 0; i < count; i++) out[i] = in[i] * scale[i];
}

// Weights of 8 bits as floats: those of a kernel [taps][cin][cout] share a scale for each output channel.
EXPORT(bytes) void bytes(const signed char *in, const float *scale, float *out, int count, int cout) {
  for (int i = 0; i < count; i += cout) scaled(in + i, scale, out + i, cout);
}

// One column of the transform's matrix G from three values.
static void spread(f4 a, f4 b, f4 c, f4 out[6]) {
  f4 even = (a + c) * (-1 / 6.f), odd = b * (1 / 6.f);
  f4 low = a * (1 / 24.f) + c * (1 / 6.f), middle = b * (1 / 12.f);
  out[0] = a * 0.25f;
  out[1] = even - odd;
  out[2] = even + odd;
  out[3] = low + middle;
  out[4] = low - middle;
  out[5] = c;
}

// Transforms of the kernels of four output channels and all of the `cin` inputs: a row of nine taps, `tap` floats apart.
HOT void pack_four(const float *w, f4 scale, float *u, int cin, int tap, int cout, int step) {
  for (int i = 0; i < cin; i++, w += cout, u += 8) {
    f4 half[3][6];
    for (int c = 0; c < 3; c++)
      spread(load(w + c * tap) * scale, load(w + (3 + c) * tap) * scale, load(w + (6 + c) * tap) * scale, half[c]);
    for (int r = 0; r < 6; r++) {
      f4 row[6];
      spread(half[0][r], half[1][r], half[2][r], row);
      for (int c = 0; c < 6; c++) store(u + (r * 6 + c) * step, row[c]);
    }
  }
}

// Winograd transform of 3x3 weights: [9][cin][cout], times `scale` [cout], to [36][cout / 8][cin][8].
EXPORT(pack) void pack(const float *w, const float *scale, float *u, int cin, int cout) {
  int wide = ceil8(cout);
  for (int o = 0; o < wide; o += 4) {
    f4 factor = o >= cout ? splat(0) : scale ? load(scale + o) : splat(1);
    pack_four(w + least(o, cout - 4), factor, u + o / 8 * cin * 8 + o % 8, cin, cin * cout, cout, wide * cin);
  }
}

static void zero(float *p, int count) {
  for (int i = 0; i < count; i++) p[i] = 0;
}

// Zeros around a map of h x w samples; every kernel writes all samples of its result.
EXPORT(clear) void clear(float *x, int h, int w, int channels) {
  int row = STRIDE(w) * channels, rows = PADDED(h) + 2, end = (w + 1) * channels;
  zero(x, row);
  for (int r = 1; r <= h; r++) zero(x + r * row, channels), zero(x + r * row + end, row - end);
  zero(x + (h + 1) * row, (rows - h - 1) * row);
}

HOT void transform_input(const float *x, int stride, int cin, float *v, int step) {
  for (int c = 0; c < cin; c += 4) {
    f4 t[6][6];
    for (int j = 0; j < 6; j++) {
      const float *p = x + j * cin + c;
      f4 d0 = load(p), d1 = load(p + stride), d2 = load(p + 2 * stride), d3 = load(p + 3 * stride),
         d4 = load(p + 4 * stride), d5 = load(p + 5 * stride);
      f4 a = d4 - 4 * d2, b = d3 - 4 * d1, e = d4 - d2, g = 2 * (d3 - d1);
      t[0][j] = 4 * d0 - 5 * d2 + d4;
      t[1][j] = a + b;
      t[2][j] = a - b;
      t[3][j] = e + g;
      t[4][j] = e - g;
      t[5][j] = 4 * d1 - 5 * d3 + d5;
    }
    for (int i = 0; i < 6; i++) {
      f4 *d = t[i];
      f4 a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], e = d[4] - d[2], g = 2 * (d[3] - d[1]);
      float *out = v + i * 6 * step + c;
      store(out, 4 * d[0] - 5 * d[2] + d[4]);
      store(out + step, a + b);
      store(out + 2 * step, a - b);
      store(out + 3 * step, e + g);
      store(out + 4 * step, e - g);
      store(out + 5 * step, 4 * d[1] - 5 * d[3] + d[5]);
    }
  }
}

// mode 0: set; 1: set, negative values to zero; 2: add.
HOT void transform_output(const float *m, int step, const float *bias, float *y, int stride, int rows, int columns,
                             int cout, int mode) {
  for (int c = 0; c < cout; c += 4) {
    f4 t[4][6];
    for (int j = 0; j < 6; j++) {
      const float *p = m + j * step + c;
      f4 m0 = load(p), m1 = load(p + 6 * step), m2 = load(p + 12 * step), m3 = load(p + 18 * step),
         m4 = load(p + 24 * step), m5 = load(p + 30 * step);
      f4 a = m1 + m2, b = m1 - m2, e = m3 + m4, g = m3 - m4;
      t[0][j] = m0 + a + e;
      t[1][j] = b + 2 * g;
      t[2][j] = a + 4 * e;
      t[3][j] = b + 8 * g + m5;
    }
    f4 add = bias ? load(bias + c) : splat(0);
    for (int i = 0; i < rows; i++) {
      f4 *d = t[i];
      f4 a = d[1] + d[2], b = d[1] - d[2], e = d[3] + d[4], g = d[3] - d[4];
      f4 out[4] = {d[0] + a + e + add, b + 2 * g + add, a + 4 * e + add, b + 8 * g + d[5] + add};
      for (int j = 0; j < columns; j++) {
        float *p = y + i * stride + j * cout + c;
        store(p, mode == 1 ? relu(out[j]) : mode == 2 ? load(p) + out[j] : out[j]);
      }
    }
  }
}

// [tiles][cin] by [cout / 8][cin][8] to [tiles][wide]; `tiles` is a multiple of ROWS.
HOT void multiply(const float *v, const float *u, float *m, int tiles, int cin, int wide) {
  for (int t = 0; t < tiles; t += ROWS) {
    const float *a = v + t * cin;
    for (int o = 0; o < wide; o += 8) {
      const float *b = u + o * cin;
      f4 s00 = {0}, s01 = {0}, s10 = {0}, s11 = {0}, s20 = {0}, s21 = {0}, s30 = {0}, s31 = {0};
      for (int i = 0; i < cin; i++) {
        f4 b0 = load(b + 8 * i), b1 = load(b + 8 * i + 4);
        f4 a0 = splat(a[i]), a1 = splat(a[cin + i]), a2 = splat(a[2 * cin + i]), a3 = splat(a[3 * cin + i]);
        s00 += a0 * b0; s01 += a0 * b1;
        s10 += a1 * b0; s11 += a1 * b1;
        s20 += a2 * b0; s21 += a2 * b1;
        s30 += a3 * b0; s31 += a3 * b1;
      }
      float *out = m + t * wide + o;
      store(out, s00); store(out + 4, s01);
      store(out + wide, s10); store(out + wide + 4, s11);
      store(out + 2 * wide, s20); store(out + 2 * wide + 4, s21);
      store(out + 3 * wide, s30); store(out + 3 * wide + 4, s31);
    }
  }
}

// Floats that `conv` needs besides its maps.
EXPORT(scratch) int scratch(int cin, int cout) { return 36 * GROUP * (cin + ceil8(cout)); }

// 3x3 convolution with weights of `pack`, of a map of h x w samples into another: see `transform_output` for `mode`.
EXPORT(conv) void conv(const float *x, float *y, const float *u, const float *bias, int h, int w, int cin, int cout,
                       int mode, float *work) {
  int across = (w + 3) / 4, count = across * ((h + 3) / 4), wide = ceil8(cout);
  int in_row = STRIDE(w) * cin, out_row = STRIDE(w) * cout;
  float *v = work, *m = work + 36 * GROUP * cin;
  for (int start = 0; start < count; start += GROUP) {
    int tiles = least(GROUP, count - start), padded = (tiles + ROWS - 1) / ROWS * ROWS;
    for (int t = 0; t < tiles; t++) {
      int row = (start + t) / across * 4, column = (start + t) % across * 4;
      transform_input(x + row * in_row + column * cin, in_row, cin, v + t * cin, GROUP * cin);
    }
    for (int k = 0; k < 36; k++)
      multiply(v + k * GROUP * cin, u + k * wide * cin, m + k * GROUP * wide, padded, cin, wide);
    for (int t = 0; t < tiles; t++) {
      int row = (start + t) / across * 4, column = (start + t) % across * 4;
      transform_output(m + t * wide, GROUP * wide, bias, y + (row + 1) * out_row + (column + 1) * cout, out_row,
                       least(4, h - row), least(4, w - column), cout, mode);
    }
  }
}

// Adds the product of ROWS vectors of `cin` values with weights [cin][cout] to sums: 8 columns of the result.
static inline __attribute__((always_inline)) void add_products(f4 s[ROWS][2], const float *const a[ROWS],
                                                               const float *b, int cin, int cout) {
  for (int i = 0; i < cin; i++, b += cout) {
    f4 b0 = load(b), b1 = load(b + 4);
    for (int r = 0; r < ROWS; r++) {
      f4 x = splat(a[r][i]);
      s[r][0] += x * b0;
      s[r][1] += x * b1;
    }
  }
}

HOT void shrink_samples(const float *in, int in_row, float *out, const float *k, const float *bias, int cin, int cout,
                        int count) {
  for (int o = 0; o < cout; o += 8) {
    f4 s[ROWS][2];
    for (int r = 0; r < ROWS; r++) s[r][0] = load(bias + o), s[r][1] = load(bias + o + 4);
    for (int tap = 0; tap < 4; tap++) {
      const float *a[ROWS];
      for (int r = 0; r < ROWS; r++) a[r] = in + tap / 2 * in_row + (2 * least(r, count - 1) + tap % 2) * cin;
      add_products(s, a, k + tap * cin * cout + o, cin, cout);
    }
    for (int r = 0; r < count; r++) store(out + r * cout + o, s[r][0]), store(out + r * cout + o + 4, s[r][1]);
  }
}

// 2x2 convolution with stride 2: a map of h x w (even) samples to one of h / 2 x w / 2. Weights [4][cin][cout], `cout`
// a multiple of 8 here and in `grow`.
EXPORT(shrink) void shrink(const float *x, float *y, const float *k, const float *bias, int h, int w, int cin,
                           int cout) {
  for (int r = 0; r < h / 2; r++)
    for (int c = 0; c < w / 2; c += ROWS)
      shrink_samples(x + ((2 * r + 1) * STRIDE(w) + 2 * c + 1) * cin, STRIDE(w) * cin,
                     y + ((r + 1) * STRIDE(w / 2) + c + 1) * cout, k, bias, cin, cout, least(ROWS, w / 2 - c));
}

HOT void grow_samples(const float *in, float *out, const float *k, const float *bias, int cin, int cout, int count) {
  const float *a[ROWS];
  for (int r = 0; r < ROWS; r++) a[r] = in + least(r, count - 1) * cin;
  for (int o = 0; o < cout; o += 8) {
    f4 s[ROWS][2];
    for (int r = 0; r < ROWS; r++) s[r][0] = load(bias + o), s[r][1] = load(bias + o + 4);
    add_products(s, a, k + o, cin, cout);
    for (int r = 0; r < count; r++) {
      float *p = out + 2 * r * cout + o;
      store(p, load(p) + s[r][0]);
      store(p + 4, load(p + 4) + s[r][1]);
    }
  }
}

// 1x1 convolution and pixel shuffle: adds a map of h x w samples to one of 2h x 2w. Weights [4][cin][cout].
EXPORT(grow) void grow(const float *x, float *y, const float *k, const float *bias, int h, int w, int cin, int cout) {
  for (int r = 0; r < 2 * h; r++)
    for (int c = 0; c < w; c += ROWS)
      for (int odd = 0; odd < 2; odd++) {
        int tap = r % 2 * 2 + odd;
        grow_samples(x + ((r / 2 + 1) * STRIDE(w) + c + 1) * cin,
                     y + ((r + 1) * STRIDE(2 * w) + 2 * c + odd + 1) * cout, k + tap * cin * cout, bias + tap * cout, cin,
                     cout, least(ROWS, w - c));
      }
}
