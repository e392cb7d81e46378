// NVIDIA's three libraries, as far as @orth/backend-cuda calls them, on the CPU: device memory is the heap, NVRTC is the
// C++ compiler, cuBLAS is a loop. Signatures are those of cuda.h, which checks them where it is installed. Any function
// can be told to fail, and all of them count their calls.
#if __has_include(<cuda.h>)
#include <cuda.h>
#endif
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#ifndef CUDA_VERSION
typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef void *CUcontext, *CUmodule, *CUfunction, *CUstream, *CUevent;
#endif

#define API extern "C" __attribute__((visibility("default")))
#define RESULT(code) static_cast<CUresult>(code)

namespace {

std::string text(const char* variable) {
  const char* value = getenv(variable);
  return value ? value : "";
}

struct Failure {
  int code, skip;
  bool forever;
};
struct {
  int driver = 13000, nvrtcMajor = 13, nvrtcMinor = 0, cublas = 130000, devices = 1, major = 8, minor = 0;
  std::vector<int> architectures{75, 80, 86, 90};
  size_t total = size_t(8) << 30, used = 0;
  int busy = 0;
  bool lost = false;
  // Of a process that does not know of the emulator, from its environment.
  std::string folder = text("ORTH_EMULATOR_FOLDER"), compiler = text("ORTH_EMULATOR_COMPILER"), header = text("ORTH_EMULATOR_HEADER");
  std::string launched, lastOptions;
  std::map<std::string, Failure> failures;
  std::map<std::string, int> calls;
  std::map<void*, size_t> blocks;
  std::set<void*> events;
} state;

// Counts a call; not 0 where it is to fail.
int enter(const char* name) {
  state.calls[name]++;
  auto found = state.failures.find(name);
  if (found == state.failures.end()) return 0;
  if (found->second.skip-- > 0) return 0;
  const int code = found->second.code;
  state.lost = state.lost || code == 700 || code == 719;
  if (!found->second.forever) state.failures.erase(found);
  return code;
}

// Whether a range lies in one block of device memory.
bool valid(const void* from, size_t bytes) {
  auto next = state.blocks.upper_bound(const_cast<void*>(from));
  if (next == state.blocks.begin()) return false;
  auto block = std::prev(next);
  return static_cast<const char*>(from) + bytes <= static_cast<char*>(block->first) + block->second;
}

struct Program {
  std::string source, log, image;
};
struct Kernel {
  bool (*run)(void**, unsigned, unsigned);
  std::string name;
};

}  // namespace

#define ENTER()                        \
  do {                                 \
    const int failure = enter(__func__); \
    if (failure) return RESULT(failure); \
  } while (0)

// Controls.

API void emulator_setup(const char* folder, const char* compiler, const char* header) {
  state.folder = folder;
  state.compiler = compiler;
  state.header = header;
}
API void emulator_reset() {
  state.failures.clear();
  state.calls.clear();
  state.launched.clear();
  state.driver = state.cublas = 13000;
  state.cublas = 130000;
  state.devices = 1;
  state.major = 8;
  state.minor = 0;
  state.architectures = {75, 80, 86, 90};
  state.total = size_t(8) << 30;
  state.busy = 0;
}
API void emulator_fail(const char* name, int code, int skip, int forever) {
  state.failures[name] = {code, skip, forever != 0};
}
API void emulator_set(const char* name, int value) {
  const std::string key = name;
  if (key == "driver") state.driver = value;
  if (key == "devices") state.devices = value;
  if (key == "capability") {
    state.major = value / 10;
    state.minor = value % 10;
  }
  if (key == "newestArchitecture") {
    while (!state.architectures.empty() && state.architectures.back() > value) state.architectures.pop_back();
  }
  if (key == "oldestArchitecture") state.architectures = {value};
  if (key == "mebibytes") state.total = size_t(value) << 20;
  if (key == "busy") state.busy = value;
}
API int emulator_calls(const char* name) { return state.calls[name]; }
API const char* emulator_launched() { return state.launched.c_str(); }
API const char* emulator_options() { return state.lastOptions.c_str(); }
API uint64_t emulator_used() { return state.used; }

// libcuda.

API CUresult cuInit(unsigned int) { ENTER(); return RESULT(0); }
API CUresult cuDriverGetVersion(int* version) { ENTER(); *version = state.driver; return RESULT(0); }
API CUresult cuDeviceGetCount(int* count) { ENTER(); *count = state.devices; return RESULT(0); }
API CUresult cuDeviceGet(CUdevice* device, int ordinal) { ENTER(); *device = ordinal; return RESULT(0); }
API CUresult cuDeviceGetName(char* name, int length, CUdevice) {
  ENTER();
  snprintf(name, length, "Emulated GPU");
  return RESULT(0);
}
#if CUDA_VERSION
API CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
#else
API CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice) {
#endif
  ENTER();
  const int which = static_cast<int>(attribute);
  *value = which == 75 ? state.major : which == 76 ? state.minor : which == 16 ? 4 : 0;
  return RESULT(0);
}
API CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { ENTER(); *bytes = state.total; return RESULT(0); }
API CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  ENTER();
  *context = reinterpret_cast<CUcontext>(0x1000);
  return RESULT(0);
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) {
  ENTER();
  // A context that an error has ended takes its memory with it; else whoever took memory is to give it back.
  if (state.lost) {
    for (auto& block : state.blocks) free(block.first);
    state.blocks.clear();
    state.used = 0;
    state.lost = false;
  }
  return RESULT(0);
}
API CUresult cuCtxSetCurrent(CUcontext context) {
  ENTER();
  return RESULT(context == reinterpret_cast<CUcontext>(0x1000) ? 0 : 201);
}
API CUresult cuCtxSynchronize() { ENTER(); return RESULT(0); }
API CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER();
  *free = state.total - state.used;
  *total = state.total;
  return RESULT(0);
}
API CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  ENTER();
  if (bytes == 0) return RESULT(1);
  if (state.used + bytes > state.total) return RESULT(2);
  void* block = aligned_alloc(512, (bytes + 511) / 512 * 512);
  if (!block) return RESULT(2);
  memset(block, 0xff, bytes);
  state.blocks[block] = bytes;
  state.used += bytes;
  *address = reinterpret_cast<CUdeviceptr>(block);
  return RESULT(0);
}
API CUresult cuMemFree_v2(CUdeviceptr address) {
  ENTER();
  auto found = state.blocks.find(reinterpret_cast<void*>(address));
  if (found == state.blocks.end()) return RESULT(1);
  state.used -= found->second;
  free(found->first);
  state.blocks.erase(found);
  return RESULT(0);
}
API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream) {
  ENTER();
  if (!valid(reinterpret_cast<void*>(to), bytes)) return RESULT(1);
  memcpy(reinterpret_cast<void*>(to), from, bytes);
  return RESULT(0);
}
API CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  ENTER();
  if (!valid(reinterpret_cast<void*>(from), bytes)) return RESULT(1);
  memcpy(to, reinterpret_cast<void*>(from), bytes);
  return RESULT(0);
}
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
  ENTER();
  if (!valid(reinterpret_cast<void*>(to), bytes) || !valid(reinterpret_cast<void*>(from), bytes)) return RESULT(1);
  memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  return RESULT(0);
}
API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream) {
  ENTER();
  if (!valid(reinterpret_cast<void*>(to), count)) return RESULT(1);
  memset(reinterpret_cast<void*>(to), value, count);
  return RESULT(0);
}
API CUresult cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t count, CUstream) {
  ENTER();
  if (!valid(reinterpret_cast<void*>(to), 4 * count)) return RESULT(1);
  for (size_t i = 0; i < count; i++) reinterpret_cast<unsigned*>(to)[i] = value;
  return RESULT(0);
}
API CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  ENTER();
  void* library = dlopen(static_cast<const char*>(image), RTLD_NOW | RTLD_LOCAL);
  if (!library) return RESULT(200);
  *module = static_cast<CUmodule>(library);
  return RESULT(0);
}
API CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  ENTER();
  void* symbol = dlsym(module, (std::string("orth_run_") + name).c_str());
  if (!symbol) return RESULT(500);
  *function = reinterpret_cast<CUfunction>(
      new Kernel{reinterpret_cast<bool (*)(void**, unsigned, unsigned)>(symbol), name});
  return RESULT(0);
}
API CUresult cuModuleUnload(CUmodule) { ENTER(); return RESULT(0); }
API CUresult cuLaunchKernel(CUfunction function, unsigned int gridX, unsigned int gridY, unsigned int gridZ,
                            unsigned int blockX, unsigned int blockY, unsigned int blockZ, unsigned int shared,
                            CUstream, void** parameters, void** extra) {
  ENTER();
  if (gridY * gridZ * blockY * blockZ != 1 || shared != 0 || extra || gridX == 0 || blockX == 0 || blockX > 1024) {
    return RESULT(1);
  }
  auto* kernel = reinterpret_cast<Kernel*>(function);
  state.launched += kernel->name + "\n";
  return RESULT(kernel->run(parameters, gridX, blockX) ? 0 : 719);
}
API CUresult cuEventCreate(CUevent* event, unsigned int) {
  ENTER();
  void* made = malloc(1);
  state.events.insert(made);
  *event = static_cast<CUevent>(made);
  return RESULT(0);
}
API CUresult cuEventRecord(CUevent event, CUstream) {
  ENTER();
  return RESULT(state.events.count(event) ? 0 : 400);
}
API CUresult cuEventQuery(CUevent event) {
  ENTER();
  if (!state.events.count(event)) return RESULT(400);
  return RESULT(state.busy-- > 0 ? 600 : 0);
}
API CUresult cuEventDestroy_v2(CUevent event) {
  ENTER();
  if (!state.events.erase(event)) return RESULT(400);
  free(event);
  return RESULT(0);
}
API CUresult cuGetErrorName(CUresult code, const char** text) {
  static const std::map<int, const char*> names{
      {1, "CUDA_ERROR_INVALID_VALUE"},     {2, "CUDA_ERROR_OUT_OF_MEMORY"},
      {100, "CUDA_ERROR_NO_DEVICE"},       {200, "CUDA_ERROR_INVALID_IMAGE"},
      {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"},
      {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {719, "CUDA_ERROR_LAUNCH_FAILED"}};
  auto found = names.find(static_cast<int>(code));
  *text = found == names.end() ? nullptr : found->second;
  return RESULT(found == names.end() ? 1 : 0);
}
API CUresult cuGetErrorString(CUresult code, const char** text) {
  static const std::map<int, const char*> words{
      {1, "invalid argument"}, {2, "out of memory"}, {100, "no CUDA-capable device is detected"},
      {200, "device kernel image is invalid"},
      {222, "the provided PTX was compiled with an unsupported toolchain."},
      {700, "an illegal memory access was encountered"},
      {701, "too many resources requested for launch"}, {719, "unspecified launch failure"}};
  auto found = words.find(static_cast<int>(code));
  *text = found == words.end() ? nullptr : found->second;
  return RESULT(found == words.end() ? 1 : 0);
}

// NVRTC.

API const char* nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }
API int nvrtcVersion(int* major, int* minor) {
  ENTER();
  *major = state.nvrtcMajor;
  *minor = state.nvrtcMinor;
  return 0;
}
API int nvrtcGetNumSupportedArchs(int* count) { ENTER(); *count = state.architectures.size(); return 0; }
API int nvrtcGetSupportedArchs(int* list) {
  ENTER();
  for (size_t i = 0; i < state.architectures.size(); i++) list[i] = state.architectures[i];
  return 0;
}
API int nvrtcCreateProgram(void** program, const char* source, const char*, int headers, const char* const*,
                           const char* const*) {
  ENTER();
  if (headers != 0) return 1;
  *program = new Program{source, "", ""};
  return 0;
}
API int nvrtcDestroyProgram(void** program) {
  ENTER();
  delete static_cast<Program*>(*program);
  *program = nullptr;
  return 0;
}
API int nvrtcCompileProgram(void* handle, int count, const char* const* options) {
  ENTER();
  auto* program = static_cast<Program*>(handle);
  state.lastOptions.clear();
  for (int i = 0; i < count; i++) state.lastOptions += std::string(options[i]) + "\n";
  std::ostringstream text;
  text << "#include \"" << state.header << "\"\n" << program->source;
  const bool together = program->source.find("__syncthreads") != std::string::npos;
  const std::regex kernels("extern \"C\" __global__ void (\\w+)\\(");
  for (std::sregex_iterator at(program->source.begin(), program->source.end(), kernels), end; at != end; ++at) {
    const std::string name = (*at)[1];
    text << "\nextern \"C\" bool orth_run_" << name << "(void** p, unsigned blocks, unsigned threads) { return orth_run(+[](void** q) { orth_call(" << name
         << ", q); }, p, blocks, threads, " << (together ? "true" : "false") << "); }\n";
  }
  const std::string code = text.str();
  std::ostringstream stem;
  stem << state.folder << "/" << std::hex << std::hash<std::string>()(code);
  program->image = stem.str() + ".so";
  if (access(program->image.c_str(), R_OK) == 0) return 0;
  const std::string own = stem.str() + "-" + std::to_string(getpid());
  std::ofstream(own + ".cpp") << code;
  const std::string command = state.compiler + " -O1 -std=c++17 -shared -fPIC -ffp-contract=off -fno-math-errno -w -o '" + own +
                              ".so' '" + own + ".cpp' > '" + own + ".log' 2>&1";
  const int status = system(command.c_str());
  std::ifstream log(own + ".log");
  program->log.assign(std::istreambuf_iterator<char>(log), std::istreambuf_iterator<char>());
  unlink((own + ".cpp").c_str());
  unlink((own + ".log").c_str());
  if (status != 0) return 6;
  rename((own + ".so").c_str(), program->image.c_str());
  return 0;
}
API int nvrtcGetProgramLogSize(void* program, size_t* size) {
  ENTER();
  *size = static_cast<Program*>(program)->log.size() + 1;
  return 0;
}
API int nvrtcGetProgramLog(void* program, char* log) {
  ENTER();
  strcpy(log, static_cast<Program*>(program)->log.c_str());
  return 0;
}
API int nvrtcGetCUBINSize(void* program, size_t* size) {
  ENTER();
  *size = static_cast<Program*>(program)->image.size() + 1;
  return 0;
}
API int nvrtcGetCUBIN(void* program, char* image) {
  ENTER();
  strcpy(image, static_cast<Program*>(program)->image.c_str());
  return 0;
}
API int nvrtcGetPTXSize(void* program, size_t* size) {
  ENTER();
  *size = static_cast<Program*>(program)->image.size() + 1;
  return 0;
}
API int nvrtcGetPTX(void* program, char* image) {
  ENTER();
  strcpy(image, static_cast<Program*>(program)->image.c_str());
  return 0;
}

// cuBLAS.

namespace {

void* const HANDLE = reinterpret_cast<void*>(0x2000);

float fromBits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
uint32_t toBits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}
float roundTo(float x, int dropped) {
  if (x != x || isinf(x)) return x;
  const uint32_t bits = toBits(x), half = (1u << (dropped - 1)) - 1;
  return fromBits((bits + half + (bits >> dropped & 1)) >> dropped << dropped);
}

struct Matrix {
  void* data;
  int type;
  float get(size_t i) const {
    if (type == 0) return static_cast<float*>(data)[i];
    return fromBits(uint32_t(static_cast<uint16_t*>(data)[i]) << 16);
  }
  void set(size_t i, float x) const {
    if (type == 0) static_cast<float*>(data)[i] = x;
    else static_cast<uint16_t*>(data)[i] = toBits(x != x ? x : roundTo(x, 16)) >> 16;
  }
  Matrix at(long long elements) const { return {static_cast<char*>(data) + elements * (type == 0 ? 4 : 2), type}; }
  bool holds(size_t rows, size_t columns, size_t leading) const {
    return valid(data, ((columns - 1) * leading + rows) * (type == 0 ? 4 : 2));
  }
};

int gemm(int ta, int tb, int m, int n, int k, float alpha, Matrix a, int lda, Matrix b, int ldb, float beta, Matrix c,
         int ldc, int compute) {
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m) return 7;
  if (!a.holds(ta ? k : m, ta ? m : k, lda) || !b.holds(tb ? n : k, tb ? k : n, ldb) || !c.holds(m, n, ldc)) return 7;
  const bool tf32 = compute == 77;
  std::vector<float> left(size_t(k) * m), column(m);
  for (int l = 0; l < k; l++) {
    for (int i = 0; i < m; i++) {
      const float x = a.get(ta ? l + size_t(i) * lda : i + size_t(l) * lda);
      left[size_t(l) * m + i] = tf32 ? roundTo(x, 13) : x;
    }
  }
  for (int j = 0; j < n; j++) {
    for (int i = 0; i < m; i++) column[i] = 0;
    for (int l = 0; l < k; l++) {
      const float y = b.get(tb ? j + size_t(l) * ldb : l + size_t(j) * ldb), x = tf32 ? roundTo(y, 13) : y;
      const float* row = &left[size_t(l) * m];
      for (int i = 0; i < m; i++) column[i] += row[i] * x;
    }
    for (int i = 0; i < m; i++) {
      const size_t at = i + size_t(j) * ldc;
      c.set(at, alpha * column[i] + (beta == 0 ? 0 : beta * c.get(at)));
    }
  }
  return 0;
}

bool known(int type, int compute) { return (type == 0 || type == 14) && (compute == 68 || (compute == 77 && type == 0)); }

}  // namespace

API const char* cublasGetStatusName(int status) {
  return status == 3 ? "CUBLAS_STATUS_ALLOC_FAILED" : status == 7 ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_EXECUTION_FAILED";
}
API const char* cublasGetStatusString(int status) {
  return status == 3 ? "the resource allocation failed" : status == 7 ? "an unsupported value or parameter was passed to the function" : "the GPU program failed to execute";
}
API int cublasCreate_v2(void** handle) { ENTER(); *handle = HANDLE; return 0; }
API int cublasDestroy_v2(void* handle) { ENTER(); return handle == HANDLE ? 0 : 1; }
API int cublasGetVersion_v2(void* handle, int* version) {
  ENTER();
  *version = state.cublas;
  return handle == HANDLE ? 0 : 1;
}
API int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int aType,
                     int lda, const void* b, int bType, int ldb, const void* beta, void* c, int cType, int ldc,
                     int compute, int algorithm) {
  ENTER();
  if (handle != HANDLE || aType != bType || aType != cType || !known(aType, compute) || algorithm != -1) return 7;
  return gemm(ta, tb, m, n, k, *static_cast<const float*>(alpha), {const_cast<void*>(a), aType}, lda,
              {const_cast<void*>(b), bType}, ldb, *static_cast<const float*>(beta), {c, cType}, ldc, compute);
}
API int cublasGemmStridedBatchedEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a,
                                   int aType, int lda, long long strideA, const void* b, int bType, int ldb,
                                   long long strideB, const void* beta, void* c, int cType, int ldc, long long strideC,
                                   int count, int compute, int algorithm) {
  ENTER();
  if (handle != HANDLE || aType != bType || aType != cType || !known(aType, compute) || algorithm != -1) return 7;
  for (int i = 0; i < count; i++) {
    const Matrix A{const_cast<void*>(a), aType}, B{const_cast<void*>(b), bType}, C{c, cType};
    const int status = gemm(ta, tb, m, n, k, *static_cast<const float*>(alpha), A.at(i * strideA), lda, B.at(i * strideB),
                            ldb, *static_cast<const float*>(beta), C.at(i * strideC), ldc, compute);
    if (status) return status;
  }
  return 0;
}
