// Kernels of the post-processing networks in WebAssembly SIMD128. Compiled to kernels.wasm by `make web`.
//
// Feature maps are float planes [rows][columns][channels] with a border of zeros: a map of h x w samples has
// 4 * ceil(h / 4) + 2 rows and 4 * ceil(w / 4) + 2 columns, and its sample (0, 0) lies at row 1, column 1. What lies
// outside of h x w stays zero, as the zero padding of a convolution wants it. Channels are multiples of 4.
//
// Convolutions of 3x3 use Winograd's minimal filtering F(4x4, 3x3): Lavin and Gray, "Fast algorithms for
// convolutional neural networks", arXiv 1509.09308. It takes 2.25 multiplications a sample instead of 9.

typedef float f4 __attribute__((vector_size(16), aligned(4)));
typedef unsigned char u8;

#define EXPORT(name) __attribute__((export_name(#name), visibility("default")))
#define GROUP 12  // output tiles of 4x4 at a time: their transforms and the weights stay in the cache
#define ROWS 4    // tiles a register block
#define PADDED(n) (((n) + 3) / 4 * 4)
#define STRIDE(w) (PADDED(w) + 2)

static f4 splat(float x) { return (f4){x, x, x, x}; }
static f4 load(const float *p) { return *(const f4 *)p; }
static void store(float *p, f4 x) { *(f4 *)p = x; }
static f4 relu(f4 x) { return (f4)((x > 0) & (__typeof__(x > 0))x); }
static int ceil8(int n) { return (n + 7) & ~7; }
static int least(int a, int b) { return a < b ? a : b; }
static int clamp(int x, int last) { return x < 0 ? 0 : x > last ? last : x; }

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

// Half-precision weights as floats: `low` and `high` hold the bytes of each.
EXPORT(halves) void halves(const u8 *low, const u8 *high, float *out, int count) {
  for (int i = 0; i < count; i++) out[i] = half_to_float(low[i] | high[i] << 8);
}

// Weights of 8 bits as floats: those of a kernel [taps][cin][cout] share a scale for each output channel.
EXPORT(bytes) void bytes(const signed char *in, const float *scale, float *out, int count, int cout) {
  for (int i = 0; i < count; i++) out[i] = in[i] * scale[i % cout];
}

// Winograd transform of 3x3 weights: [9][cin][cout], times `scale` [cout], to [36][cout / 8][cin][8].
EXPORT(pack) void pack(const float *w, const float *scale, float *u, int cin, int cout) {
  static const float G[6][3] = {{1 / 4.f, 0, 0},           {-1 / 6.f, -1 / 6.f, -1 / 6.f}, {-1 / 6.f, 1 / 6.f, -1 / 6.f},
                                {1 / 24.f, 1 / 12.f, 1 / 6.f}, {1 / 24.f, -1 / 12.f, 1 / 6.f}, {0, 0, 1}};
  int wide = ceil8(cout);
  for (int i = 0; i < cin; i++)
    for (int o = 0; o < wide; o++) {
      float half[6][3];
      float factor = o >= cout ? 0 : scale ? scale[o] : 1;
      for (int r = 0; r < 6; r++)
        for (int c = 0; c < 3; c++) {
          float sum = 0;
          for (int k = 0; k < 3; k++) sum += G[r][k] * (o < cout ? w[((k * 3 + c) * cin + i) * cout + o] : 0);
          half[r][c] = sum * factor;
        }
      for (int r = 0; r < 6; r++)
        for (int c = 0; c < 6; c++) {
          float sum = half[r][0] * G[c][0] + half[r][1] * G[c][1] + half[r][2] * G[c][2];
          u[(((r * 6 + c) * (wide / 8) + o / 8) * cin + i) * 8 + o % 8] = sum;
        }
    }
}

static void transform_input(const float *x, int stride, int cin, float *v, int step) {
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
static void transform_output(const float *m, int step, const float *bias, float *y, int stride, int rows, int columns,
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
static void multiply(const float *v, const float *u, float *m, int tiles, int cin, int wide) {
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

// 2x2 convolution with stride 2: a map of h x w (even) samples to one of h / 2 x w / 2. Weights [4][cin][cout], `cout`
// a multiple of 8 here and in `grow`.
EXPORT(shrink) void shrink(const float *x, float *y, const float *k, const float *bias, int h, int w, int cin,
                           int cout) {
  for (int r = 0; r < h / 2; r++)
    for (int c = 0; c < w / 2; c++) {
      float *out = y + ((r + 1) * STRIDE(w / 2) + c + 1) * cout;
      for (int o = 0; o < cout; o += 8) {
        f4 s0 = load(bias + o), s1 = load(bias + o + 4);
        for (int tap = 0; tap < 4; tap++) {
          const float *in = x + ((2 * r + tap / 2 + 1) * STRIDE(w) + 2 * c + tap % 2 + 1) * cin;
          const float *b = k + tap * cin * cout + o;
          for (int i = 0; i < cin; i++, b += cout) {
            f4 a = splat(in[i]);
            s0 += a * load(b);
            s1 += a * load(b + 4);
          }
        }
        store(out + o, s0);
        store(out + o + 4, s1);
      }
    }
}

// 1x1 convolution and pixel shuffle: adds a map of h x w samples to one of 2h x 2w. Weights [4][cin][cout].
EXPORT(grow) void grow(const float *x, float *y, const float *k, const float *bias, int h, int w, int cin, int cout) {
  for (int r = 0; r < 2 * h; r++)
    for (int c = 0; c < 2 * w; c++) {
      int tap = r % 2 * 2 + c % 2;
      const float *in = x + ((r / 2 + 1) * STRIDE(w) + c / 2 + 1) * cin;
      float *out = y + ((r + 1) * STRIDE(2 * w) + c + 1) * cout;
      for (int o = 0; o < cout; o += 8) {
        const float *b = k + tap * cin * cout + o;
        f4 s0 = load(bias + tap * cout + o), s1 = load(bias + tap * cout + o + 4);
        for (int i = 0; i < cin; i++, b += cout) {
          f4 a = splat(in[i]);
          s0 += a * load(b);
          s1 += a * load(b + 4);
        }
        store(out + o, load(out + o) + s0);
        store(out + o + 4, load(out + o + 4) + s1);
      }
    }
}

// Network input of h x w samples: RGBA pixels from `window`, less a half. With `unit` 2 the pixels are unshuffled two
// by two: 12 channels in PyTorch's order; with 1 there are 3, and a fourth of zero. Pixels outside of the window's
// `rows` and `columns` repeat its edge.
EXPORT(input) void input(const u8 *window, int rows, int columns, float *y, int h, int w, int unit) {
  int channels = unit == 2 ? 12 : 4;
  for (int r = 0; r < h; r++)
    for (int c = 0; c < w; c++) {
      float *out = y + ((r + 1) * STRIDE(w) + c + 1) * channels;
      for (int i = 0; i < unit; i++)
        for (int j = 0; j < unit; j++) {
          const u8 *p = window + 4 * (least(r * unit + i, rows - 1) * columns + least(c * unit + j, columns - 1));
          for (int b = 0; b < 3; b++) out[(b * unit + i) * unit + j] = p[b] / 255.f - 0.5f;
        }
    }
}

static u8 level(float x) {
  float rounded = __builtin_rintf(x);
  return rounded < 0 ? 0 : rounded > 255 ? 255 : (u8)rounded;
}

// One row of PyTorch's bicubic enlargement by 2 (a = -0.75, edges repeated): weights of the taps from -2 or -1.
static const float CUBIC[2][4] = {{-0.03515625f, 0.26171875f, 0.87890625f, -0.10546875f},
                                  {-0.10546875f, 0.87890625f, 0.26171875f, -0.03515625f}};

static float enlarged(const u8 *window, int rows, int columns, int row, int column, int b) {
  float sum = 0;
  for (int i = 0; i < 4; i++) {
    const u8 *line = window + 4 * columns * clamp(row / 2 - 2 + row % 2 + i, rows - 1);
    float across = 0;
    for (int j = 0; j < 4; j++)
      across += CUBIC[column % 2][j] * line[4 * clamp(column / 2 - 2 + column % 2 + j, columns - 1) + b];
    sum += CUBIC[row % 2][i] * across;
  }
  return sum;
}

// RGBA pixels of the result: the plain filter of `window`, and the residual map of w columns, shuffled two by two.
// `top`, `left`, `height`, `width`: the part of the result that is kept. With `grey` all channels are their mean.
EXPORT(output) void output(const u8 *window, int rows, int columns, const float *residual, int w, int unit, int top,
                           int left, int height, int width, int grey, u8 *out) {
  for (int r = top; r < top + height; r++)
    for (int c = left; c < left + width; c++, out += 4) {
      const float *add = residual + ((r / 2 + 1) * STRIDE(w) + c / 2 + 1) * 12 + r % 2 * 2 + c % 2;
      int sum = 0;
      for (int b = 0; b < 3; b++) {
        float plain = unit == 2 ? window[4 * (r * columns + c) + b] : enlarged(window, rows, columns, r, c, b);
        sum += out[b] = level(plain + 255 * add[4 * b]);
      }
      if (grey) out[0] = out[1] = out[2] = (u8)((2 * sum + 3) / 6);
      out[3] = 255;
    }
}

// Pillow's bicubic enlargement by 2 (a = -0.5, taps outside left out and the rest normalised), 8 bits between the
// passes: the frozen plain filter of stream version 1. `mid` holds the rows after the first pass: 4 * rows * width
// bytes.
static int taps(int place, int length, int *weights, int *count) {
  float centre = (place + 0.5f) / 2;
  int low = (int)(centre - 2 + 0.5f), high = (int)(centre + 2 + 0.5f);
  if (centre - 2 + 0.5f < 0) low = 0;
  if (high > length) high = length;
  double sum = 0, exact[5];
  for (int i = low; i < high; i++) {
    double x = i - centre + 0.5;
    if (x < 0) x = -x;
    exact[i - low] = x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    sum += exact[i - low];
  }
  for (int i = 0; i < high - low; i++) {
    double scaled = exact[i] / sum * (1 << 22);
    weights[i] = (int)(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  }
  *count = high - low;
  return low;
}

static u8 clipped(int sum) { return sum < 0 ? 0 : (sum >> 22) > 255 ? 255 : (u8)(sum >> 22); }

EXPORT(plain) void plain(const u8 *window, int rows, int columns, u8 *mid, int top, int left, int height, int width,
                         u8 *out) {
  int weights[5], count;
  for (int c = 0; c < width; c++) {
    int low = taps(left + c, columns, weights, &count);
    for (int r = 0; r < rows; r++)
      for (int b = 0; b < 3; b++) {
        int sum = 1 << 21;
        for (int i = 0; i < count; i++) sum += weights[i] * window[4 * (r * columns + low + i) + b];
        mid[4 * (r * width + c) + b] = clipped(sum);
      }
  }
  for (int r = 0; r < height; r++) {
    int low = taps(top + r, rows, weights, &count);
    for (int c = 0; c < width; c++, out += 4) {
      for (int b = 0; b < 3; b++) {
        int sum = 1 << 21;
        for (int i = 0; i < count; i++) sum += weights[i] * mid[4 * ((low + i) * width + c) + b];
        out[b] = clipped(sum);
      }
      out[3] = 255;
    }
  }
}
