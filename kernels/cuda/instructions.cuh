// Every instruction that C++ has no word for, each behind one function.
//
// With ORRERY_EMULATED the same names come from emulator/instructions.hpp, which says in plain C++ what each does; so
// kernels run on the CPU, in tests, from the same source. No kernel holds inline assembly of its own.
#pragma once
#include "moe.cuh"

#ifdef ORRERY_EMULATED
#include "instructions.hpp"
#else

// Shared memory whose size the launch decides, aligned for 128-byte swizzling.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

// A tensor map as the driver encodes it: opaque, 128 bytes, 64-byte aligned.
struct __align__(64) TensorMap {
    unsigned long long opaque[16];
};

__device__ __forceinline__ unsigned int shared_address(const void *pointer) {
    return (unsigned int)__cvta_generic_to_shared(pointer);
}

// ---- Ampere: asynchronous copies, fragments and tensor cores of a warp ----

// Copies 16 bytes into shared memory; zeros where `valid` is false, and then `from` is not read.
__device__ __forceinline__ void copy_async_16(void *to, const void *from, bool valid) {
    int size = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(size)
                 : "memory");
}
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING>
__device__ __forceinline__ void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four 8 x 16-byte matrices: lanes 8 i to 8 i + 7 point at the rows of matrix i; a lane gets 4 bytes of each, from row
// lane / 4, at byte 4 (lane mod 4).
__device__ __forceinline__ void load_matrices(unsigned int (&parts)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// sums (16 x 8) += left (16 x 32 bytes, by rows) * right (8 x 32 bytes, by columns): 16 bfloats deep.
__device__ __forceinline__ void multiply_bf16(float (&sums)[4], const unsigned int (&left)[4], unsigned int low,
                                              unsigned int high) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high));
}

#if __CUDA_ARCH__ >= 890
// The same with 32 numbers of 8 bits.
__device__ __forceinline__ void multiply_fp8(float (&sums)[4], const unsigned int (&left)[4], unsigned int low,
                                             unsigned int high) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(low), "r"(high));
}

// Two floats to e4m3, nearest even, saturating; `low` in the lower byte.
__device__ __forceinline__ unsigned short e4m3_pair(float low, float high) {
    unsigned short pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
}
#else
__device__ __forceinline__ unsigned short e4m3_pair(float low, float high) {
    return (unsigned short)(float_to_e4m3(low) | (unsigned short)float_to_e4m3(high) << 8);
}
#endif

// ---- Other devices, the host, the clock ----

__device__ __forceinline__ unsigned int load_acquire_system(const unsigned int *at) {
    unsigned int value;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(at) : "memory");
    return value;
}
__device__ __forceinline__ void store_release_system(unsigned int *at, unsigned int value) {
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(at), "r"(value) : "memory");
}
__device__ __forceinline__ unsigned long long nanoseconds() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}
__device__ __forceinline__ unsigned int unit_index() {
    unsigned int index;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(index));
    return index;
}
__device__ __forceinline__ void relax() { __nanosleep(100); }

#if __CUDA_ARCH__ >= 900
// ---- Hopper and after: barriers that count bytes, bulk copies of tensors ----

__device__ __forceinline__ void barrier_init(unsigned long long *barrier, unsigned int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// Makes initialised barriers visible to bulk copies.
__device__ __forceinline__ void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(unsigned long long *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void barrier_arrive_expect(unsigned long long *barrier, unsigned int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
// Waits until the phase of this parity is complete.
__device__ __forceinline__ void barrier_wait(unsigned long long *barrier, unsigned int parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1, 0x989680;\n"
        "@done bra finished;\nbra again;\nfinished:\n}\n" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
}
// Copies the box of `map` at (x, y), x counting along rows, into shared memory; its bytes complete on `barrier`.
__device__ __forceinline__ void tensor_load(void *to, const TensorMap *map, int x, int y,
                                            unsigned long long *barrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
            shared_address(to)),
        "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier))
        : "memory");
}
#endif

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// ---- Hopper alone: tensor cores of four warps ----

template <int REGISTERS>
__device__ __forceinline__ void registers_more() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
template <int REGISTERS>
__device__ __forceinline__ void registers_fewer() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}
__device__ __forceinline__ void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int PENDING>
__device__ __forceinline__ void warpgroup_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}
// Ties sums to this place: what reads them stays behind it, what writes them before it. A wait names no registers.
__device__ __forceinline__ void hold(float (&sums)[64]) {
#pragma unroll
    for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}
// sums (64 x 128) (+)= left (64 x 32 bytes) * right (128 x 32 bytes), both descriptors of 128-byte swizzled tiles.
__device__ __forceinline__ void warpgroup_multiply_bf16(float (&sums)[64], unsigned long long left, unsigned long long right,
                                       int accumulate) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, add, 1, 1, 0, 0;\n}\n"
        :
          "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]),
          "+f"(sums[6]), "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]),
          "+f"(sums[12]), "+f"(sums[13]), "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]),
          "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]),
          "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), "+f"(sums[28]), "+f"(sums[29]),
          "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), "+f"(sums[35]),
          "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]),
          "+f"(sums[42]), "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]),
          "+f"(sums[48]), "+f"(sums[49]), "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]),
          "+f"(sums[54]), "+f"(sums[55]), "+f"(sums[56]), "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]),
          "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), "+f"(sums[63])
        : "l"(left), "l"(right), "r"(accumulate));
}
// The same with 32 numbers of 8 bits.
__device__ __forceinline__ void warpgroup_multiply_fp8(float (&sums)[64], unsigned long long left, unsigned long long right,
                                       int accumulate) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, add, 1, 1;\n}\n"
        :
          "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]),
          "+f"(sums[6]), "+f"(sums[7]), "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]),
          "+f"(sums[12]), "+f"(sums[13]), "+f"(sums[14]), "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]),
          "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), "+f"(sums[21]), "+f"(sums[22]), "+f"(sums[23]),
          "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), "+f"(sums[28]), "+f"(sums[29]),
          "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), "+f"(sums[35]),
          "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]),
          "+f"(sums[42]), "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]),
          "+f"(sums[48]), "+f"(sums[49]), "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]),
          "+f"(sums[54]), "+f"(sums[55]), "+f"(sums[56]), "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]),
          "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), "+f"(sums[63])
        : "l"(left), "l"(right), "r"(accumulate));
}
#endif

#ifdef __CUDA_ARCH_FEAT_SM100_ALL
// ---- Blackwell alone: tensor memory and the tensor core that one thread drives ----

// Reserves `COLUMNS` columns of tensor memory; one whole warp. The address is written to shared memory.
template <int COLUMNS>
__device__ __forceinline__ void tensor_memory_reserve(unsigned int *address) {
    asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(shared_address(address)),
                 "n"(COLUMNS)
                 : "memory");
    asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;");
}
template <int COLUMNS>
__device__ __forceinline__ void tensor_memory_release(unsigned int address) {
    asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(address), "n"(COLUMNS));
}
__device__ __forceinline__ void tensor_fence_before() {
    asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
__device__ __forceinline__ void tensor_fence_after() { asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory"); }
// Sums in tensor memory (+)= left * right; one thread. `shape` is the instruction descriptor.
__device__ __forceinline__ void tensor_multiply_bf16(unsigned int sums, unsigned long long left,
                                                     unsigned long long right, unsigned int shape, int accumulate) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %4, 0;\n"
        "tcgen05.mma.cta_group::1.kind::f16 [%0], %1, %2, %3, add;\n}\n" ::"r"(sums),
        "l"(left), "l"(right), "r"(shape), "r"(accumulate)
        : "memory");
}
__device__ __forceinline__ void tensor_multiply_fp8(unsigned int sums, unsigned long long left,
                                                    unsigned long long right, unsigned int shape, int accumulate) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %4, 0;\n"
        "tcgen05.mma.cta_group::1.kind::f8f6f4 [%0], %1, %2, %3, add;\n}\n" ::"r"(sums),
        "l"(left), "l"(right), "r"(shape), "r"(accumulate)
        : "memory");
}
// Arrives on `barrier` when every product issued before by this thread is done.
__device__ __forceinline__ void tensor_commit(unsigned long long *barrier) {
    asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(
                     shared_address(barrier))
                 : "memory");
}
// 32 lanes x 8 columns of sums: a lane gets its row.
__device__ __forceinline__ void tensor_memory_load(float (&values)[8], unsigned int address) {
    unsigned int bits[8];
    asm volatile("tcgen05.ld.sync.aligned.32x32b.x8.b32 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8];"
                 : "=r"(bits[0]), "=r"(bits[1]), "=r"(bits[2]), "=r"(bits[3]), "=r"(bits[4]), "=r"(bits[5]),
                   "=r"(bits[6]), "=r"(bits[7])
                 : "r"(address));
    asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
    for (int i = 0; i < 8; ++i) values[i] = __uint_as_float(bits[i]);
}
#endif
#endif
