// Pixels to the input of a network, and its output to pixels; the plain filter of streams.

#include "kernels.h"

typedef u8 rgba __attribute__((vector_size(4), aligned(1)));

static int clamp(int x, int last) { return x < 0 ? 0 : x > last ? last : x; }

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
      if (unit == 1) out[3] = 0;
    }
}

static f4 pixel(const u8 *p) { return __builtin_convertvector(*(const rgba *)p, f4); }

// One pixel of the result: the plain filter's, and a residual of three channels, each four floats from the next.
static void put(u8 *out, f4 plain, const float *residual, int grey) {
  f4 sum = plain + 255 * (f4){residual[0], residual[4], residual[8], 0};
  f4 bound = __builtin_wasm_min_f32x4(__builtin_wasm_max_f32x4(sum, splat(0)), splat(255));
  rgba levels = __builtin_convertvector(__builtin_elementwise_roundeven(bound), rgba);
  if (grey) {
    u8 mean = (u8)((2 * (levels[0] + levels[1] + levels[2]) + 3) / 6);
    levels = (rgba){mean, mean, mean, 0};
  }
  levels[3] = 255;
  *(rgba *)out = levels;
}

HOT void output_row(const u8 *line, const float *residual, int left, int width, int grey, u8 *out) {
  for (int c = left; c < left + width; c++, out += 4)
    put(out, pixel(line + 4 * c), residual + (c / 2 + 1) * 12 + c % 2, grey);
}

// One row of PyTorch's bicubic enlargement by 2 (a = -0.75, edges repeated): weights of the taps from -2 or -1.
static const float CUBIC[2][4] = {{-0.03515625f, 0.26171875f, 0.87890625f, -0.10546875f},
                                  {-0.10546875f, 0.87890625f, 0.26171875f, -0.03515625f}};

static f4 mixed(const u8 *const lines[4], const float *weights, int column) {
  return weights[0] * pixel(lines[0] + 4 * column) + weights[1] * pixel(lines[1] + 4 * column) +
         weights[2] * pixel(lines[2] + 4 * column) + weights[3] * pixel(lines[3] + 4 * column);
}

// `left` is even.
HOT void enlarged_row(const u8 *const lines[4], const float *weights, int columns, const float *residual, int left,
                      int width, int grey, u8 *out) {
  int last = columns - 1, c = left / 2;
  f4 near[5];
  for (int i = 1; i < 5; i++) near[i] = mixed(lines, weights, clamp(c - 3 + i, last));
  for (; 2 * c < left + width; c++, out += 8) {
    for (int i = 0; i < 4; i++) near[i] = near[i + 1];
    near[4] = mixed(lines, weights, clamp(c + 2, last));
    for (int odd = 0; odd < 2 && 2 * c + odd < left + width; odd++) {
      f4 *from = near + odd;
      const float *k = CUBIC[odd];
      put(out + 4 * odd, k[0] * from[0] + k[1] * from[1] + k[2] * from[2] + k[3] * from[3],
          residual + (c + 1) * 12 + odd, grey);
    }
  }
}

// RGBA pixels of the result: the plain filter of `window`, and the residual map of w columns, shuffled two by two.
// `top`, `left`, `height`, `width`: the part of the result that is kept. With `grey` all channels are their mean.
EXPORT(output) void output(const u8 *window, int rows, int columns, const float *residual, int w, int unit, int top,
                           int left, int height, int width, int grey, u8 *out) {
  for (int r = top; r < top + height; r++, out += 4 * width) {
    const float *add = residual + (r / 2 + 1) * STRIDE(w) * 12 + r % 2 * 2;
    const u8 *lines[4];
    if (unit == 2) {
      output_row(window + 4 * r * columns, add, left, width, grey, out);
      continue;
    }
    for (int i = 0; i < 4; i++) lines[i] = window + 4 * columns * clamp(r / 2 - 2 + r % 2 + i, rows - 1);
    enlarged_row(lines, CUBIC[r % 2], columns, add, left, width, grey, out);
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
