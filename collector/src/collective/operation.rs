//! The operations themselves, over connections to everybody, on real numbers whose result is known.

use super::mesh::{Mesh, MeshError};

/// What `rank` starts with at `element`: whole numbers, so small that every sum of them is exact.
pub(super) fn initial(rank: usize, element: usize) -> f32 {
    ((element % 251) + rank) as f32
}

/// What every rank must end with at `element` of an all-reduce: `n · (element mod 251) + n (n − 1) / 2`.
fn sum(ranks: usize, element: usize) -> f32 {
    (ranks * (element % 251) + ranks * (ranks - 1) / 2) as f32
}

/// Elements of chunk `chunk` of `chunks`; they differ by one at most.
const fn chunk(elements: usize, chunks: usize, chunk: usize) -> std::ops::Range<usize> {
    (chunk * elements / chunks)..((chunk + 1) * elements / chunks)
}

/// Ring all-reduce in place: `n − 1` steps in which a rank sends chunk `rank − step` on and adds what comes, then
/// `n − 1` in which the sums go round. `scratch` holds a chunk.
pub(super) fn all_reduce(
    mesh: &Mesh,
    data: &mut [f32],
    scratch: &mut Vec<f32>,
    connections: usize,
) -> Result<(), MeshError> {
    let (rank, ranks) = (mesh.rank, mesh.ranks);
    let (after, before) = ((rank + 1) % ranks, (rank + ranks - 1) % ranks);
    for step in 0..2 * (ranks - 1) {
        let sent = chunk(data.len(), ranks, (rank + 2 * ranks - step) % ranks);
        let received = chunk(data.len(), ranks, (rank + 3 * ranks - 1 - step) % ranks);
        scratch.resize(received.len(), 0.0);
        let outgoing: &[u8] = bytemuck::cast_slice(&data[sent]);
        let incoming: &mut [u8] = bytemuck::cast_slice_mut(scratch);
        mesh.transfer(&[(after, outgoing)], vec![(before, incoming)], connections)?;
        let target = &mut data[received];
        if step + 1 < ranks {
            target
                .iter_mut()
                .zip(&*scratch)
                .for_each(|(own, arrived)| *own += arrived);
        } else {
            target.copy_from_slice(scratch);
        }
    }
    Ok(())
}

/// Pairwise all-to-all: in step `s` a rank sends the part of the rank `s` after it and receives from `s` before it.
pub(super) fn all_to_all(
    mesh: &Mesh,
    data: &[f32],
    result: &mut [f32],
    connections: usize,
) -> Result<(), MeshError> {
    let (rank, ranks) = (mesh.rank, mesh.ranks);
    let part = data.len() / ranks;
    result[rank * part..(rank + 1) * part].copy_from_slice(&data[rank * part..(rank + 1) * part]);
    for step in 1..ranks {
        let (to, from) = ((rank + step) % ranks, (rank + ranks - step) % ranks);
        let outgoing: &[u8] = bytemuck::cast_slice(&data[to * part..(to + 1) * part]);
        let incoming: &mut [u8] = bytemuck::cast_slice_mut(&mut result[from * part..(from + 1) * part]);
        mesh.transfer(&[(to, outgoing)], vec![(from, incoming)], connections)?;
    }
    Ok(())
}

/// One message from the first of `pair` to the second and back; the others do nothing.
pub(super) fn ping_pong(
    mesh: &Mesh,
    pair: (usize, usize),
    message: &mut [f32],
    connections: usize,
) -> Result<(), MeshError> {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(message);
    let (first, second) = pair;
    if mesh.rank == first {
        mesh.transfer(&[(second, bytes)], Vec::new(), connections)?;
        mesh.transfer(&[], vec![(second, bytes)], connections)
    } else if mesh.rank == second {
        mesh.transfer(&[], vec![(first, &mut *bytes)], connections)?;
        mesh.transfer(&[(first, bytes)], Vec::new(), connections)
    } else {
        Ok(())
    }
}

/// How many numbers of an all-reduce are not the sum.
pub(super) fn wrong_sums(ranks: usize, data: &[f32]) -> u64 {
    let differs = |(element, number): &(usize, &f32)| number.to_bits() != sum(ranks, *element).to_bits();
    data.iter().enumerate().filter(differs).count() as u64
}

/// How many numbers of an all-to-all are not the sender's: part `p` of the result is part `rank` of rank `p`.
pub(super) fn wrong_parts(rank: usize, ranks: usize, result: &[f32]) -> u64 {
    let part = result.len() / ranks;
    let expected = |at: usize| initial(at / part, rank * part + at % part);
    let differs = |(at, number): &(usize, &f32)| number.to_bits() != expected(*at).to_bits();
    let numbers = result.iter().enumerate();
    if part == 0 {
        0
    } else {
        numbers.filter(differs).count() as u64
    }
}
