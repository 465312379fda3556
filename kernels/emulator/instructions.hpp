// What the instructions of cuda/instructions.cuh do, after the PTX manual, one thread at a time.
//
// Where the manual leaves time open, this takes the moment that is worst for a careless kernel: bulk copies write at
// once, and products of warpgroups read their operands and write their sums only when they are waited for.
#pragma once

#define DYNAMIC_SHARED(name) unsigned char *name = emulated::self().block->shared

// What the driver would encode: a matrix, and boxes of it that are copied with 128-byte swizzling.
struct alignas(64) TensorMap {
    const unsigned char *base;
    unsigned long long columns, rows;
    unsigned long long row_bytes;
    unsigned int box_columns, box_rows;
    unsigned int element_bytes;
    unsigned char rest[84];
};
static_assert(sizeof(TensorMap) == 128, "as the driver's");

inline unsigned int shared_address(const void *pointer) {
    emulated::Block &block = *emulated::self().block;
    auto offset = static_cast<const unsigned char *>(pointer) - block.shared;
    if (offset < 0 || static_cast<std::size_t>(offset) > block.shared_bytes) emulated::fault("not in shared memory");
    return emulated::SHARED_BEGIN + static_cast<unsigned int>(offset);
}
inline unsigned char *at_shared(unsigned int address) {
    emulated::Block &block = *emulated::self().block;
    if (address < emulated::SHARED_BEGIN || address - emulated::SHARED_BEGIN >= block.shared_bytes)
        emulated::fault("an address beyond shared memory");
    return block.shared + (address - emulated::SHARED_BEGIN);
}

// ---- Ampere ----

inline void copy_async_16(void *to, const void *from, bool valid) {
    shared_address(static_cast<unsigned char *>(to) + 15);
    if (valid) std::memcpy(to, from, 16);
    else std::memset(to, 0, 16);
}
inline void copy_async_commit() {}
template <int PENDING>
inline void copy_async_wait() {}

inline void load_matrices(unsigned int (&parts)[4], const void *row) {
    const void *rows[emulated::WARP_LANES];
    emulated::exchange(row, rows);
    unsigned int lane = emulated::lane();
    for (unsigned int matrix = 0; matrix < 4; ++matrix) {
        auto bytes = static_cast<const unsigned char *>(rows[matrix * 8 + lane / 4]) + lane % 4 * 4;
        shared_address(bytes + 3);
        std::memcpy(&parts[matrix], bytes, 4);
    }
}

struct WarpOperands {
    unsigned int left[4];
    unsigned int right[2];
};

// One number of a row of 32 bytes.
inline float number_at(const unsigned char *bytes, int index, bool is_fp8) {
    if (is_fp8) return e4m3_to_float(bytes[index]);
    bf16 value;
    std::memcpy(&value, bytes + 2 * index, 2);
    return bf16_to_float(value);
}

// Fragments of mma.m16n8k16 and m16n8k32: register r of lane l holds bytes 4 (l mod 4) to + 3 of row l / 4; registers 1
// and 3 are 8 rows below, 2 and 3 are 16 bytes further. Of the right operand, register 1 is 16 bytes further.
inline void multiply_fragments(float (&sums)[4], const unsigned int (&left)[4], unsigned int low, unsigned int high,
                               bool is_fp8) {
    WarpOperands mine = {{left[0], left[1], left[2], left[3]}, {low, high}}, all[emulated::WARP_LANES];
    emulated::exchange(mine, all);
    unsigned char rows[16][32], columns[8][32];
    for (int lane = 0; lane < 32; ++lane) {
        for (int part = 0; part < 4; ++part)
            std::memcpy(rows[lane / 4 + part % 2 * 8] + lane % 4 * 4 + part / 2 * 16, &all[lane].left[part], 4);
        for (int part = 0; part < 2; ++part)
            std::memcpy(columns[lane / 4] + lane % 4 * 4 + part * 16, &all[lane].right[part], 4);
    }
    int lane = static_cast<int>(emulated::lane());
    for (int part = 0; part < 4; ++part) {
        int row = lane / 4 + part / 2 * 8, column = lane % 4 * 2 + part % 2;
        for (int i = 0; i < (is_fp8 ? 32 : 16); ++i)
            sums[part] += number_at(rows[row], i, is_fp8) * number_at(columns[column], i, is_fp8);
    }
}
inline void multiply_bf16(float (&sums)[4], const unsigned int (&left)[4], unsigned int low, unsigned int high) {
    multiply_fragments(sums, left, low, high, false);
}
inline void multiply_fp8(float (&sums)[4], const unsigned int (&left)[4], unsigned int low, unsigned int high) {
    multiply_fragments(sums, left, low, high, true);
}
inline unsigned short e4m3_pair(float low, float high) {
    return static_cast<unsigned short>(float_to_e4m3(low) | float_to_e4m3(high) << 8);
}

// ---- Other devices, the host, the clock ----

inline unsigned int load_acquire_system(const unsigned int *at) { return *at; }
inline void store_release_system(unsigned int *at, unsigned int value) {
    *at = value;
    ++emulated::machine.progress;
    emulated::yield();
}
inline unsigned long long nanoseconds() { return ++emulated::machine.clock; }
inline unsigned int unit_index() { return emulated::self().block->index.x; }
inline void relax() { emulated::yield(); }

// ---- Hopper: barriers that count bytes ----

struct CountingBarrier {
    short pending;
    unsigned short count : 15;
    unsigned short phase : 1;
    int bytes;
};
static_assert(sizeof(CountingBarrier) == 8, "as the device's");

inline CountingBarrier &barrier_at(unsigned long long *barrier) {
    shared_address(barrier);
    return *reinterpret_cast<CountingBarrier *>(barrier);
}
inline void barrier_settle(CountingBarrier &barrier) {
    if (barrier.pending < 0) emulated::fault("more arrivals than a barrier expects");
    if (barrier.pending > 0 || barrier.bytes != 0) return;
    barrier.phase ^= 1;
    barrier.pending = static_cast<short>(barrier.count);
    ++emulated::machine.progress;
}
inline void barrier_init(unsigned long long *barrier, unsigned int arrivals) {
    CountingBarrier &own = barrier_at(barrier);
    own.pending = static_cast<short>(arrivals);
    own.count = static_cast<unsigned short>(arrivals & 0x7fffu);
    own.phase = 0;
    own.bytes = 0;
}
inline void barrier_init_fence() {}
inline void barrier_arrive(unsigned long long *barrier) {
    CountingBarrier &own = barrier_at(barrier);
    --own.pending;
    barrier_settle(own);
}
inline void barrier_arrive_expect(unsigned long long *barrier, unsigned int bytes) {
    CountingBarrier &own = barrier_at(barrier);
    own.bytes += static_cast<int>(bytes);
    --own.pending;
    barrier_settle(own);
}
inline void barrier_wait(unsigned long long *barrier, unsigned int parity) {
    while (barrier_at(barrier).phase == parity) emulated::wait_for_change(barrier_at(barrier));
}

// Address bits 4 to 6 are changed by bits 7 to 9.
inline unsigned int swizzled_address(unsigned int address) { return address ^ (address >> 7 & 7u) << 4; }

inline void tensor_load(void *to, const TensorMap *map, int x, int y, unsigned long long *barrier) {
    unsigned int begin = shared_address(to), row_bytes = map->box_columns * map->element_bytes;
    if (begin % 1024 != 0) emulated::fault("a swizzled box does not begin on 1,024 bytes");
    if (row_bytes != 128) emulated::fault("a row of a swizzled box is not 128 bytes");
    for (unsigned int line = 0; line < map->box_rows; ++line)
        for (unsigned int byte = 0; byte < row_bytes; ++byte) {
            unsigned long long row = static_cast<unsigned long long>(y) + line;
            unsigned long long column = static_cast<unsigned long long>(x) + byte / map->element_bytes;
            bool inside = row < map->rows && column < map->columns;
            unsigned long long at = row * map->row_bytes + column * map->element_bytes + byte % map->element_bytes;
            *at_shared(swizzled_address(begin + line * row_bytes + byte)) = inside ? map->base[at] : 0;
        }
    CountingBarrier &own = barrier_at(barrier);
    own.bytes -= static_cast<int>(row_bytes * map->box_rows);
    barrier_settle(own);
}

// ---- Hopper: products of warpgroups ----

template <int REGISTERS>
inline void registers_more() {}
template <int REGISTERS>
inline void registers_fewer() {}
inline void warpgroup_fence() {}
inline void hold(float (&)[64]) {}

// Number `index` of row `row` of the tile that a matrix descriptor describes.
inline float described(std::uint64_t descriptor, unsigned int row, int index, bool is_fp8) {
    if (descriptor >> 62 != 1) emulated::fault("a descriptor that is not of 128-byte swizzling");
    unsigned int begin = static_cast<unsigned int>(descriptor & 0x3fffu) << 4;
    unsigned int stride = static_cast<unsigned int>(descriptor >> 32 & 0x3fffu) << 4;
    unsigned int address = begin + row / 8 * stride + row % 8 * 128;
    if (is_fp8) return e4m3_to_float(*at_shared(swizzled_address(address + static_cast<unsigned int>(index))));
    bf16 value;
    std::memcpy(&value, at_shared(swizzled_address(address + 2 * static_cast<unsigned int>(index))), 2);
    return bf16_to_float(value);
}

// Sums of wgmma.m64n128: number i of thread t belongs to row 16 (t / 32) + (t mod 32) / 4 + 8 (i / 2 mod 2) and column
// 8 (i / 4) + 2 (t mod 4) + i mod 2.
inline void carry_out(const emulated::Product &product) {
    unsigned int thread = emulated::self().number % 128;
    int depth = product.is_fp8 ? 32 : 16;
    for (int half = 0; half < 2; ++half) {
        unsigned int row = thread / 32 * 16 + thread % 32 / 4 + static_cast<unsigned int>(half) * 8;
        float left[32];
        for (int k = 0; k < depth; ++k) left[k] = described(product.left, row, k, product.is_fp8);
        for (int i = half * 2; i < 64; i += i % 2 ? 3 : 1) {
            unsigned int column = static_cast<unsigned int>(i / 4) * 8 + thread % 4 * 2 + static_cast<unsigned int>(i % 2);
            float sum = product.accumulate ? product.sums[i] : 0.0f;
            for (int k = 0; k < depth; ++k) sum += left[k] * described(product.right, column, k, product.is_fp8);
            product.sums[i] = sum;
        }
    }
}
inline void warpgroup_multiply_bf16(float (&sums)[64], unsigned long long left, unsigned long long right,
                                    int accumulate) {
    emulated::self().started.push_back({sums, left, right, accumulate != 0, false});
}
inline void warpgroup_multiply_fp8(float (&sums)[64], unsigned long long left, unsigned long long right,
                                   int accumulate) {
    emulated::self().started.push_back({sums, left, right, accumulate != 0, true});
}
inline void warpgroup_commit() {
    emulated::self().committed.push_back(std::move(emulated::self().started));
    emulated::self().started.clear();
}
template <int PENDING>
inline void warpgroup_wait() {
    emulated::yield();  // others may get on before anything is read
    auto &committed = emulated::self().committed;
    while (committed.size() > PENDING) {
        for (const emulated::Product &product : committed.front()) carry_out(product);
        committed.pop_front();
    }
    // The lanes of a warp go on together; its neighbours in the warpgroup are not waited for.
    emulated::meet(emulated::own_warp().meeting, emulated::own_warp().lanes);
}
