// Instruments: a gate that holds a stream, a clock, an empty kernel, a flush of the cache, and a kernel that moves
// memory beside another one.
#include "instructions.cuh"
#include "vectors.cuh"

// Holds its stream until the host writes `released`, or until `limit` nanoseconds have gone by: a host that died does
// not hold the device. Launch: one thread.
extern "C" __global__ void probe_gate(const volatile int *released, unsigned long long limit) {
    unsigned long long begin = nanoseconds();
    while (*released == 0 && nanoseconds() - begin < limit) relax();
}

// Cycles and nanoseconds of each execution unit, two words each: twice, around something, they give its clock. Launch:
// one warp per block, twice as many blocks as units.
extern "C" __global__ void probe_clock(unsigned long long *readings) {
    if (threadIdx.x != 0) return;
    unsigned long long *mine = readings + 2 * unit_index();
    mine[0] = clock64();
    mine[1] = nanoseconds();
}

// What a launch costs.
extern "C" __global__ void probe_empty(int nothing) {}

// Fills memory, twice the second-level cache of it, with numbers that no compression shortens.
extern "C" __global__ void probe_flush(unsigned int *words, long long count, unsigned int seed) {
    for (long long word = (long long)blockIdx.x * blockDim.x + threadIdx.x; word < count;
         word += (long long)gridDim.x * blockDim.x) {
        unsigned int bits = (unsigned int)word * 2654435761u + seed;
        bits = (bits ^ bits >> 16) * 0x85ebca6bu;
        words[word] = bits ^ bits >> 13;
    }
}

// Moves memory until `stopped`, or until `limit` nanoseconds have gone by: copies the first half of `pieces` to the
// second, over and over. moved[block] is how many pieces this block has copied. Launch: as many blocks as shall be
// busy, 512 threads.
extern "C" __global__ void probe_mover(uint4 *pieces, long long count, const volatile int *stopped,
                                       unsigned long long limit, unsigned long long *moved) {
    __shared__ int over;
    long long half = count / 2;
    unsigned long long begin = nanoseconds(), rounds = 0;
    long long mine = 0;
    for (long long piece = (long long)blockIdx.x * blockDim.x + threadIdx.x; piece < half;
         piece += (long long)gridDim.x * blockDim.x)
        ++mine;
    for (;;) {
        if (threadIdx.x == 0) over = *stopped != 0 || nanoseconds() - begin >= limit;
        __syncthreads();
        if (over) break;
        for (long long piece = (long long)blockIdx.x * blockDim.x + threadIdx.x; piece < half;
             piece += (long long)gridDim.x * blockDim.x)
            pieces[half + piece] = pieces[piece];
        ++rounds;
        __syncthreads();
    }
    atomicAdd(moved + blockIdx.x, rounds * (unsigned long long)mine);
}
