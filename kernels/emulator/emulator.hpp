// Kernels on the CPU: the words of CUDA C++ in plain C++, and a scheduler that runs every thread of a block.
//
// Threads are fibers of one thread of the system, taken in an order drawn from a seed, and change hands only where a
// kernel waits: so a run is repeated by its seed. It checks results and waiting, not speed. What a kernel does wrong in
// waiting shows as a wrong result or as a fault that names it; then the process ends, for the kernel's state is lost.
#pragma once

// A jump to another stack is no mistake here; what checks for it is left out, for this file comes first.
#undef _FORTIFY_SOURCE

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#define ORRERY_EMULATED
#define __device__
#define __forceinline__ inline
#define __global__
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// One block runs at a time wherever a kernel has shared variables of its own.
#define __shared__ static
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    unsigned int x, y, z, w;
};
inline uint4 make_uint4(unsigned int x, unsigned int y, unsigned int z, unsigned int w) { return {x, y, z, w}; }

template <class To, class From>
inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
inline float __uint_as_float(unsigned int bits) { return same_bits<float>(bits); }
inline float __int_as_float(int bits) { return same_bits<float>(bits); }
inline unsigned int __float_as_uint(float value) { return same_bits<unsigned int>(value); }

namespace emulated {

struct Dim {
    unsigned int x, y, z;
};

// What the caller asks for. `grids` launches run together where `together` is set, as kernels of several devices do;
// otherwise one block runs after the other.
struct Launch {
    Dim grid;
    Dim block;
    unsigned int dynamic_bytes;
    unsigned int seed;
    unsigned int grids;
    unsigned int together;
};

[[noreturn]] inline void fault(const char *what) {
    std::fprintf(stderr, "emulated kernel: %s\n", what);
    std::abort();
}

constexpr std::size_t STACK_BYTES = 64 * 1024;
constexpr unsigned int WARP_LANES = 32;
// Where shared memory begins in its own address space: not at zero, as on devices.
constexpr unsigned int SHARED_BEGIN = 1024;
// Rounds over all threads without anybody getting on, after which they wait for each other.
constexpr unsigned int PATIENCE = 20000;

// A meeting of all threads of a block, or of a warp.
struct Meeting {
    unsigned int arrived = 0;
    unsigned int generation = 0;
};

struct Warp {
    Meeting meeting;
    unsigned int lanes = 0;
    alignas(16) unsigned char slots[WARP_LANES][64];
};

struct Block {
    Dim index, extent, grid;
    unsigned int alive;
    Meeting meeting;
    std::vector<Warp> warps;
    unsigned char *shared;
    std::size_t shared_bytes;
    std::function<void()> body;
};

// A product of warpgroups that has been started and not yet been waited for.
struct Product {
    float *sums;
    std::uint64_t left, right;
    bool accumulate, is_fp8;
};

using Stack = std::unique_ptr<unsigned char[]>;

struct Fiber {
    // Where it begins, and from then on where it waits.
    ucontext_t beginning;
    jmp_buf waiting;
    bool begun = false;
    Stack stack;
    Block *block;
    Dim thread;
    unsigned int number;
    bool over = false;
    // What this thread waits for to change: its place, and what it held. It is not woken before.
    const void *watched = nullptr;
    unsigned char held[8];
    std::size_t held_bytes = 0;
    std::vector<Product> started;
    std::deque<std::vector<Product>> committed;
};

struct Machine {
    jmp_buf scheduler;
    Fiber *running = nullptr;
    // Of threads that have ended: what they left there is what the next ones find.
    std::vector<Stack> stacks;
    std::uint64_t progress = 0;
    std::uint64_t clock = 0;
};
inline Machine machine;

inline Fiber &self() { return *machine.running; }
// Jumps keep the mask of signals, which switching contexts asks the system for every time.
__attribute__((noinline)) inline void yield() {
    if (_setjmp(self().waiting) == 0) _longjmp(machine.scheduler, 1);
}

// Runs `fiber` until it yields. It has a frame of its own, in which nothing changes between both returns of the jump.
__attribute__((noinline)) inline void resume(Fiber &fiber) {
    machine.running = &fiber;
    if (_setjmp(machine.scheduler) != 0) return;
    if (fiber.begun) _longjmp(fiber.waiting, 1);
    fiber.begun = true;
    setcontext(&fiber.beginning);
}

inline Stack stack() {
    if (machine.stacks.empty()) return Stack(new unsigned char[STACK_BYTES]);
    Stack last = std::move(machine.stacks.back());
    machine.stacks.pop_back();
    return last;
}

// Returns once `value` holds something else.
template <class Value>
inline void wait_for_change(const Value &value) {
    static_assert(sizeof value <= 8, "a word");
    Fiber &fiber = self();
    fiber.watched = &value;
    fiber.held_bytes = sizeof value;
    std::memcpy(fiber.held, &value, sizeof value);
    yield();
    fiber.watched = nullptr;
}

// Waits until `wanted` have come.
inline void meet(Meeting &meeting, const unsigned int &wanted) {
    unsigned int generation = meeting.generation;
    if (++meeting.arrived >= wanted) {
        meeting.arrived = 0;
        ++meeting.generation;
        ++machine.progress;
        return;
    }
    while (meeting.generation == generation) wait_for_change(meeting.generation);
}

inline Warp &own_warp() { return self().block->warps[self().number / WARP_LANES]; }
inline unsigned int lane() { return self().number % WARP_LANES; }

// Every lane gives `mine` and sees what all gave.
template <class Value>
inline void exchange(const Value &mine, Value (&all)[WARP_LANES]) {
    static_assert(sizeof(Value) <= 64, "a slot holds 64 bytes");
    Warp &warp = own_warp();
    std::memcpy(warp.slots[lane()], &mine, sizeof mine);
    meet(warp.meeting, warp.lanes);
    for (unsigned int other = 0; other < WARP_LANES; ++other) std::memcpy(&all[other], warp.slots[other], sizeof mine);
    meet(warp.meeting, warp.lanes);
}

inline void begin() {
    Fiber &fiber = self();
    fiber.block->body();
    if (!fiber.started.empty()) fault("a thread ends with products that were never committed");
    if (!fiber.committed.empty()) fault("a thread ends with products that were never waited for");
    fiber.over = true;
    ++machine.progress;
    Block &block = *fiber.block;
    --block.alive;
    --own_warp().lanes;
    if (block.alive > 0 && block.meeting.arrived >= block.alive) {
        block.meeting.arrived = 0;
        ++block.meeting.generation;
    }
    yield();
}

inline void run(std::vector<Block *> blocks, unsigned int seed) {
    std::vector<std::unique_ptr<Fiber>> fibers;
    for (Block *block : blocks) {
        unsigned int threads = block->extent.x * block->extent.y * block->extent.z;
        block->alive = threads;
        block->warps = std::vector<Warp>((threads + WARP_LANES - 1) / WARP_LANES);
        for (unsigned int number = 0; number < threads; ++number) {
            block->warps[number / WARP_LANES].lanes++;
            auto fiber = std::make_unique<Fiber>();
            fiber->stack = stack();
            fiber->block = block;
            fiber->number = number;
            fiber->thread = {number % block->extent.x, number / block->extent.x % block->extent.y,
                             number / block->extent.x / block->extent.y};
            getcontext(&fiber->beginning);
            fiber->beginning.uc_stack.ss_sp = fiber->stack.get();
            fiber->beginning.uc_stack.ss_size = STACK_BYTES;
            fiber->beginning.uc_link = nullptr;
            makecontext(&fiber->beginning, begin, 0);
            fibers.push_back(std::move(fiber));
        }
    }
    std::uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1, seen = machine.progress;
    unsigned int idle = 0;
    while (!fibers.empty()) {
        for (std::size_t last = fibers.size() - 1; last > 0; --last) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            std::swap(fibers[last], fibers[(state >> 33) % (last + 1)]);
        }
        bool any_over = false;
        for (auto &fiber : fibers) {
            if (fiber->watched && std::memcmp(fiber->watched, fiber->held, fiber->held_bytes) == 0) continue;
            resume(*fiber);
            any_over |= fiber->over;
        }
        // The order of those that are left stays as it was drawn.
        if (any_over) {
            std::size_t left = 0;
            for (auto &fiber : fibers) {
                if (fiber->over)
                    machine.stacks.push_back(std::move(fiber->stack));
                else
                    std::swap(fibers[left++], fiber);
            }
            fibers.resize(left);
        }
        idle = machine.progress == seen ? idle + 1 : 0;
        seen = machine.progress;
        if (idle > PATIENCE) fault("all threads wait for each other");
    }
    machine.running = nullptr;
}

template <class... Arguments, std::size_t... At>
inline void call(void (*kernel)(Arguments...), void **arguments, std::index_sequence<At...>) {
    kernel(*static_cast<Arguments *>(arguments[At])...);
}

// Bytes of each parameter of `kernel` into `sizes`, if there is such a place; returns how many there are.
template <class... Arguments>
inline unsigned int sizes(void (*)(Arguments...), unsigned int *sizes) {
    if (sizes) ((*sizes++ = sizeof(Arguments)), ...);
    return sizeof...(Arguments);
}

// Runs `kernel` as `launch` says; arguments[g] are those of launch g, one pointer each, as drivers take them.
template <class... Arguments>
inline void launch(void (*kernel)(Arguments...), const Launch &launch, void ***arguments) {
    std::vector<std::unique_ptr<Block>> all;
    std::vector<unsigned char *> memory;
    std::size_t bytes = (launch.dynamic_bytes + 1023) / 1024 * 1024;
    for (unsigned int grid = 0; grid < launch.grids; ++grid)
        for (unsigned int z = 0; z < launch.grid.z; ++z)
            for (unsigned int y = 0; y < launch.grid.y; ++y)
                for (unsigned int x = 0; x < launch.grid.x; ++x) {
                    auto block = std::make_unique<Block>();
                    block->index = {x, y, z};
                    block->extent = launch.block;
                    block->grid = launch.grid;
                    block->shared_bytes = launch.dynamic_bytes;
                    block->shared = static_cast<unsigned char *>(std::aligned_alloc(1024, bytes ? bytes : 1024));
                    // What nobody wrote is not zero.
                    std::memset(block->shared, 0xa5, bytes ? bytes : 1024);
                    memory.push_back(block->shared);
                    void **own = arguments[grid];
                    block->body = [=] { call(kernel, own, std::index_sequence_for<Arguments...>{}); };
                    all.push_back(std::move(block));
                }
    if (launch.together) {
        std::vector<Block *> blocks;
        for (auto &block : all) blocks.push_back(block.get());
        run(blocks, launch.seed);
    } else {
        for (auto &block : all) run({block.get()}, launch.seed);
    }
    for (unsigned char *each : memory) std::free(each);
}

}  // namespace emulated

#define threadIdx (emulated::self().thread)
#define blockIdx (emulated::self().block->index)
#define blockDim (emulated::self().block->extent)
#define gridDim (emulated::self().block->grid)

inline void __syncthreads() {
    emulated::Block &block = *emulated::self().block;
    emulated::meet(block.meeting, block.alive);
}

template <class Value>
inline Value __shfl_xor_sync(unsigned int, Value value, int distance) {
    Value all[emulated::WARP_LANES];
    emulated::exchange(value, all);
    return all[emulated::lane() ^ static_cast<unsigned int>(distance)];
}

template <class Value>
inline Value atomicAdd(Value *at, Value value) {
    Value before = *at;
    *at = before + value;
    return before;
}
inline unsigned int atomicXor(unsigned int *at, unsigned int value) {
    unsigned int before = *at;
    *at = before ^ value;
    return before;
}
inline long long clock64() { return static_cast<long long>(++emulated::machine.clock); }
