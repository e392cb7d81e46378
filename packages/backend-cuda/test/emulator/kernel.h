// What a kernel's CUDA C++ needs to run on the CPU: threads one after the other, and for those that wait for each other
// a stack each, on which all run in turn from barrier to barrier.
#include <ucontext.h>

// Declared here, since <math.h> takes the compiler longer than a kernel does.
#define ORTH_UNARY(name) extern "C" float name(float);
ORTH_UNARY(fabsf) ORTH_UNARY(acosf) ORTH_UNARY(acoshf) ORTH_UNARY(asinf) ORTH_UNARY(asinhf) ORTH_UNARY(atanf)
ORTH_UNARY(atanhf) ORTH_UNARY(ceilf) ORTH_UNARY(cosf) ORTH_UNARY(coshf) ORTH_UNARY(erff) ORTH_UNARY(expf)
ORTH_UNARY(expm1f) ORTH_UNARY(floorf) ORTH_UNARY(logf) ORTH_UNARY(log1pf) ORTH_UNARY(rintf) ORTH_UNARY(sqrtf)
ORTH_UNARY(sinf) ORTH_UNARY(sinhf) ORTH_UNARY(tanf) ORTH_UNARY(tanhf)
#define ORTH_BINARY(name) extern "C" float name(float, float);
ORTH_BINARY(powf) ORTH_BINARY(fmodf) ORTH_BINARY(atan2f) ORTH_BINARY(hypotf) ORTH_BINARY(fmaxf)
extern "C" double pow(double, double), sin(double), cos(double);
extern "C" int abs(int);
static const double ORTH_PI = 3.14159265358979323846;

struct OrthDim {
  unsigned x, y, z;
};
static OrthDim threadIdx, blockIdx, blockDim, gridDim;
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static

static inline float __int_as_float(int x) {
  float y;
  __builtin_memcpy(&y, &x, 4);
  return y;
}
static inline int __float_as_int(float x) {
  int y;
  __builtin_memcpy(&y, &x, 4);
  return y;
}
static inline int atomicAdd(int* place, int value) {
  const int before = *place;
  *place += value;
  return before;
}
static inline void sincospif(float x, float* sine, float* cosine) {
  *sine = (float)sin(ORTH_PI * (double)x);
  *cosine = (float)cos(ORTH_PI * (double)x);
}

enum { ORTH_MOST_THREADS = 1024, ORTH_STACK = 65536 };
static ucontext_t orth_scheduler, orth_fibers[ORTH_MOST_THREADS];
static bool orth_done[ORTH_MOST_THREADS];
static char orth_stacks[ORTH_MOST_THREADS][ORTH_STACK];
static unsigned orth_current;
static void (*orth_body)(void**);
static void** orth_parameters;

static void __syncthreads() { swapcontext(&orth_fibers[orth_current], &orth_scheduler); }
static void orth_fiber() {
  orth_body(orth_parameters);
  orth_done[orth_current] = true;
}

template <int... I>
struct OrthSequence {};
template <class... A, int... I>
static void orth_apply(void (*kernel)(A...), void** p, OrthSequence<I...>) {
  kernel(*(A*)p[I]...);
}
template <class... A>
static void orth_call(void (*kernel)(A...), void** p) {
  orth_apply(kernel, p, OrthSequence<__integer_pack(sizeof...(A))...>());
}

// Returns false when some threads wait at a barrier that others never reach.
static bool orth_run(void (*body)(void**), void** p, unsigned blocks, unsigned threads, bool together) {
  gridDim = {blocks, 1, 1};
  blockDim = {threads, 1, 1};
  orth_body = body;
  orth_parameters = p;
  for (unsigned b = 0; b < blocks; b++) {
    blockIdx = {b, 0, 0};
    if (!together) {
      for (unsigned t = 0; t < threads; t++) {
        threadIdx = {t, 0, 0};
        body(p);
      }
      continue;
    }
    for (unsigned t = 0; t < threads; t++) {
      orth_done[t] = false;
      getcontext(&orth_fibers[t]);
      orth_fibers[t].uc_stack.ss_sp = orth_stacks[t];
      orth_fibers[t].uc_stack.ss_size = ORTH_STACK;
      orth_fibers[t].uc_link = &orth_scheduler;
      makecontext(&orth_fibers[t], orth_fiber, 0);
    }
    for (unsigned left = threads; left > 0;) {
      const unsigned before = left;
      for (unsigned t = 0; t < threads; t++) {
        if (orth_done[t]) continue;
        orth_current = t;
        threadIdx = {t, 0, 0};
        swapcontext(&orth_scheduler, &orth_fibers[t]);
        if (orth_done[t]) left--;
      }
      if (left != before && left != 0) return false;
    }
  }
  return true;
}
