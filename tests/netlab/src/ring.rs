//! The ring all-reduce: who sends which chunk when, and the exchange itself over any two streams.
//!
//! `n` ranks hold a vector each, cut into `n` chunks. In the first `n − 1` steps (reduce-scatter) every rank
//! sends one chunk to the next rank and adds what comes from the one before; then rank `r` holds the sum of
//! chunk `r + 1`. In the last `n − 1` (all-gather) the sums go round. A rank starts a step once it has what the
//! step before brought.

use std::io::{self, Read};
use std::ops::Range;

/// Bytes of one number.
const NUMBER: usize = size_of::<f32>();
/// Most numbers taken from the stream at once: what has arrived is added while the rest is on its way.
const PIECE: usize = 16 * 1024;

/// A ring of ranks and what they reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Number of ranks, at least two.
    pub(crate) ranks: usize,
    /// Length of the vector of every rank.
    pub(crate) elements: usize,
}

impl Ring {
    /// Number of steps: `2 (n − 1)`.
    pub(crate) const fn steps(self) -> usize {
        2 * (self.ranks - 1)
    }

    /// The rank that `rank` sends to.
    pub(crate) const fn after(self, rank: usize) -> usize {
        (rank + 1) % self.ranks
    }

    /// The chunk that `rank` sends at `step`: `(rank − step) mod n`. The all-gather begins with the chunk that
    /// the reduce-scatter completed, `rank + 1`, which is what the same formula gives at step `n − 1`.
    pub(crate) const fn sent(self, rank: usize, step: usize) -> usize {
        (rank + 2 * self.ranks - step) % self.ranks
    }

    /// The chunk that `rank` receives at `step`: what the rank before it sends.
    pub(crate) const fn received(self, rank: usize, step: usize) -> usize {
        self.sent(rank + self.ranks - 1, step)
    }

    /// Whether what `step` brings is added to what is there, and does not replace it.
    pub(crate) const fn reduces(self, step: usize) -> bool {
        step + 1 < self.ranks
    }

    /// The elements of `chunk`; chunks differ by one element at most.
    pub(crate) const fn chunk(self, chunk: usize) -> Range<usize> {
        (chunk * self.elements / self.ranks)..((chunk + 1) * self.elements / self.ranks)
    }

    /// Bytes that `rank` sends at `step`.
    pub(crate) fn bytes(self, rank: usize, step: usize) -> u64 {
        let chunk = self.chunk(self.sent(rank, step));
        (chunk.len() * NUMBER) as u64
    }
}

/// Takes part in the all-reduce of `ring` as `rank`: what goes to the next rank is given to `send`, what the one
/// before sends is read from `from`. `data` ends as the sum over all ranks.
///
/// # Errors
/// When a stream fails.
pub(crate) fn all_reduce(
    ring: Ring,
    rank: usize,
    data: &mut [f32],
    send: &mut impl FnMut(Vec<u8>) -> io::Result<()>,
    from: &mut impl Read,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE * NUMBER];
    for step in 0..ring.steps() {
        send(encoded(&data[ring.chunk(ring.sent(rank, step))]))?;
        let target = &mut data[ring.chunk(ring.received(rank, step))];
        for numbers in target.chunks_mut(PIECE) {
            let bytes = &mut piece[..numbers.len() * NUMBER];
            from.read_exact(bytes)?;
            absorb(numbers, bytes, ring.reduces(step));
        }
    }
    Ok(())
}

fn encoded(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn absorb(numbers: &mut [f32], bytes: &[u8], add: bool) {
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<NUMBER>().0) {
        let arrived = f32::from_le_bytes(*bytes);
        *number = if add { *number + arrived } else { arrived };
    }
}

/// What `rank` starts with at `element`: whole numbers, so small that every sum of them is exact.
pub(crate) fn initial(rank: usize, element: usize) -> f32 {
    (element % 251 + rank) as f32
}

/// What every rank must end with at `element`: `n · (element mod 251) + n (n − 1) / 2`.
pub(crate) fn sum(ring: Ring, element: usize) -> f32 {
    (ring.ranks * (element % 251) + ring.ranks * (ring.ranks - 1) / 2) as f32
}

/// How many elements of `data` are not the sum.
pub(crate) fn wrong(ring: Ring, data: &[f32]) -> usize {
    let differs = |(element, number): (usize, &f32)| number.to_bits() != sum(ring, element).to_bits();
    data.iter().enumerate().filter(|&pair| differs(pair)).count()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// The slow twin: the schedule alone, all ranks in one place, a step at a time.
    fn in_one_place(ring: Ring) -> Vec<Vec<f32>> {
        let start = |rank| {
            (0..ring.elements)
                .map(move |element| initial(rank, element))
                .collect()
        };
        let mut data: Vec<Vec<f32>> = (0..ring.ranks).map(start).collect();
        for step in 0..ring.steps() {
            let before = data.clone();
            for rank in 0..ring.ranks {
                let to = ring.after(rank);
                assert_eq!(
                    ring.sent(rank, step),
                    ring.received(to, step),
                    "both mean one chunk"
                );
                for element in ring.chunk(ring.sent(rank, step)) {
                    let arrived = before[rank][element];
                    let kept = if ring.reduces(step) {
                        before[to][element]
                    } else {
                        0.0
                    };
                    data[to][element] = kept + arrived;
                }
            }
        }
        data
    }

    /// The real exchange: a thread per rank, TCP over loopback.
    fn over_loopback(ring: Ring) -> Vec<Vec<f32>> {
        let listeners: Vec<TcpListener> = (0..ring.ranks)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        thread::scope(|scope| {
            let ranks: Vec<_> = listeners
                .into_iter()
                .enumerate()
                .map(|(rank, listener)| {
                    let next = addresses[ring.after(rank)];
                    scope.spawn(move || take_part(ring, rank, &listener, next))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    fn take_part(ring: Ring, rank: usize, listener: &TcpListener, next: std::net::SocketAddr) -> Vec<f32> {
        use std::io::Write as _;
        let mut to = TcpStream::connect(next).unwrap();
        let (mut from, _) = listener.accept().unwrap();
        let (queue, orders) = mpsc::channel::<Vec<u8>>();
        let sender = thread::spawn(move || orders.iter().for_each(|bytes| to.write_all(&bytes).unwrap()));
        let mut data: Vec<f32> = (0..ring.elements).map(|element| initial(rank, element)).collect();
        let mut send = |bytes| queue.send(bytes).map_err(io::Error::other);
        all_reduce(ring, rank, &mut data, &mut send, &mut from).unwrap();
        drop(queue);
        sender.join().unwrap();
        data
    }

    #[test]
    fn every_rank_ends_with_the_sum_and_as_the_twin_does() {
        for (ranks, elements) in [(2, 1), (2, 7), (3, 10), (4, 65_536), (5, 40_001)] {
            let ring = Ring { ranks, elements };
            let (real, twin) = (over_loopback(ring), in_one_place(ring));
            assert_eq!(real, twin, "{ring:?}");
            for data in &real {
                assert_eq!(wrong(ring, data), 0, "{ring:?}");
            }
        }
    }

    #[test]
    fn a_wrong_sum_is_counted() {
        let ring = Ring {
            ranks: 4,
            elements: 300,
        };
        let mut data: Vec<f32> = (0..300).map(|element| sum(ring, element)).collect();
        assert_eq!(data[251].to_bits(), 6f32.to_bits(), "0 + 1 + 2 + 3");
        data[17] += 1.0;
        assert_eq!(wrong(ring, &data), 1);
    }

    #[test]
    fn chunks_cover_the_vector_once() {
        let ring = Ring {
            ranks: 4,
            elements: 10,
        };
        let lengths: Vec<usize> = (0..4).map(|chunk| ring.chunk(chunk).len()).collect();
        assert_eq!(lengths, [2, 3, 2, 3]);
        assert_eq!(ring.steps(), 6);
        let sent: u64 = (0..6).map(|step| ring.bytes(0, step)).sum();
        assert_eq!(sent, 4 * (2 + 3 + 2 + 3 + 3 + 2), "chunks 0 3 2 1 0 3");
    }
}
