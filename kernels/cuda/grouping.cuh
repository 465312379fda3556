// Which rows, which tile and which part of shared memory: plain integer functions, without a word of CUDA in them.
//
// Tests compile this file for the CPU and hold it against an obvious model.
#pragma once

// Rows of one expert. Contiguous: expert_rows has experts + 1 entries, where each begins and where the last ends.
// Masked (max_rows > 0): every expert has max_rows places, and expert_rows says how many of them hold a row.
struct RowRange {
    int first;
    int end;
};

__device__ __forceinline__ RowRange rows_of_expert(const int *expert_rows, int max_rows, int expert) {
    RowRange range;
    if (max_rows > 0) {
        range.first = expert * max_rows;
        range.end = range.first + expert_rows[expert];
    } else {
        range.first = expert_rows[expert];
        range.end = expert_rows[expert + 1];
    }
    return range;
}

// A tile of the result: rows first_row to end_row - 1 of `expert`, columns from first_column.
struct Tile {
    int expert;
    int first_row;
    int end_row;
    int first_column;
};

// Walks the tiles of all experts, `stride` at a time. Within an expert, tiles come in bands of BAND row tiles, and rows
// vary fastest: blocks that run together share columns of the weights, and few rows of activations.
template <int ROWS, int COLUMNS, int BAND>
struct TileWalk {
    const int *expert_rows;
    int max_rows;
    int experts;
    int column_tiles;
    int stride;
    int index;   // of the next tile, counted from the first tile of `expert`
    int expert;

    __device__ __forceinline__ void start(const int *rows, int max, int count, int columns, int first, int step) {
        expert_rows = rows;
        max_rows = max;
        experts = count;
        column_tiles = (columns + COLUMNS - 1) / COLUMNS;
        stride = step;
        index = first;
        expert = 0;
    }

    // The next tile, or false at the end.
    __device__ __forceinline__ bool next(Tile &tile) {
        for (; expert < experts; ++expert) {
            RowRange range = rows_of_expert(expert_rows, max_rows, expert);
            int row_tiles = (range.end - range.first + ROWS - 1) / ROWS;
            if (index < row_tiles * column_tiles) {
                int band = index / (BAND * column_tiles);
                int within = index - band * BAND * column_tiles;
                int high = row_tiles - band * BAND < BAND ? row_tiles - band * BAND : BAND;
                tile.expert = expert;
                tile.first_row = range.first + (band * BAND + within % high) * ROWS;
                tile.end_row = range.end < tile.first_row + ROWS ? range.end : tile.first_row + ROWS;
                tile.first_column = within / high * COLUMNS;
                index += stride;
                return true;
            }
            index -= row_tiles * column_tiles;
        }
        return false;
    }
};

// Where byte `byte` of row `row` of a tile with rows of 128 bytes lies: 16-byte pieces are exchanged by the row
// modulo 8, as bulk copies with 128-byte swizzling do and tensor cores expect.
__device__ __forceinline__ int swizzled(int row, int byte) { return row * 128 + (byte ^ (row & 7) << 4); }

// Describes such a tile to the tensor cores of Hopper (PTX manual, matrix descriptor): the address in units of 16 bytes,
// 1,024 bytes between groups of 8 rows, 128-byte swizzling (code 1 in bits 62 and 63).
__device__ __forceinline__ unsigned long long hopper_descriptor(unsigned int address) {
    return (unsigned long long)(address >> 4 & 0x3fffu) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

// The same for Blackwell: version 1 in bit 46, 128-byte swizzling is code 2 in bits 61 to 63.
__device__ __forceinline__ unsigned long long blackwell_descriptor(unsigned int address) {
    return (unsigned long long)(address >> 4 & 0x3fffu) | 1ull << 16 | 64ull << 32 | 1ull << 46 | 2ull << 61;
}
