// What all kernels share. Compiled to kernels.wasm by `make web`.
//
// Feature maps are float planes [rows][columns][channels] with a border of zeros: a map of h x w samples has
// 4 * ceil(h / 4) + 2 rows and 4 * ceil(w / 4) + 2 columns, and its sample (0, 0) lies at row 1, column 1. What lies
// outside of h x w stays zero, as the zero padding of a convolution wants it. Channels are multiples of 4.

#pragma once

typedef float f4 __attribute__((vector_size(16), aligned(4)));
typedef unsigned char u8;

#define EXPORT(name) __attribute__((export_name(#name), visibility("default")))
// Browsers run code that compiles fast at first, and change to better code when a function is called: hot loops are
// functions of their own, called often.
#define HOT static __attribute__((noinline))
#define PADDED(n) (((n) + 3) / 4 * 4)
#define STRIDE(w) (PADDED(w) + 2)

static inline f4 splat(float x) { return (f4){x, x, x, x}; }
static inline f4 load(const float *p) { return *(const f4 *)p; }
static inline void store(float *p, f4 x) { *(f4 *)p = x; }
static inline int least(int a, int b) { return a < b ? a : b; }
