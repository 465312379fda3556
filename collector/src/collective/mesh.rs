//! Connections from a rank to every other one, and moving bytes over many of them from one thread.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a connection between ranks begins with.
const MAGIC: [u8; 8] = *b"orrery/1";
/// Length of a greeting: magic, session, rank, index.
const GREETING: usize = 24;

/// Every connection of a rank.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) rank: usize,
    pub(super) ranks: usize,
    /// By rank; none to itself.
    peers: Vec<Vec<TcpStream>>,
    timeout: Duration,
}

/// Who has gone, or is silent.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeshError {
    #[error("rank {0} closed its connection")]
    Closed(usize),
    #[error("rank {peer} is not heard from: {fault}")]
    Broken { peer: usize, fault: io::Error },
    #[error("nothing moved between this rank and {0} for {1:?}")]
    Silent(String, Duration),
    #[error("{0}: {1}")]
    System(String, io::Error),
}

fn greeting(session: u64, rank: usize, index: usize) -> [u8; GREETING] {
    let mut bytes = [0; GREETING];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&session.to_le_bytes());
    bytes[16..20].copy_from_slice(&u32::try_from(rank).unwrap_or(u32::MAX).to_le_bytes());
    bytes[20..].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
    bytes
}

/// One part of a message on one connection.
struct Sending<'a> {
    peer: usize,
    stream: &'a TcpStream,
    left: &'a [u8],
}

struct Receiving<'a> {
    peer: usize,
    stream: &'a TcpStream,
    left: &'a mut [u8],
}

impl Mesh {
    /// Connects `rank` with all of `addresses`: it goes to those before it, those after it come.
    pub(super) fn meet(
        rank: usize,
        addresses: &[SocketAddr],
        listener: &TcpListener,
        session: u64,
        connections: usize,
        timeout: Duration,
    ) -> Result<Self, MeshError> {
        let ranks = addresses.len();
        let mut found: Vec<Vec<Option<TcpStream>>> = Vec::new();
        found.resize_with(ranks, || {
            std::iter::repeat_with(|| None).take(connections).collect()
        });
        for (peer, address) in addresses.iter().enumerate().take(rank) {
            for (index, place) in found[peer].iter_mut().enumerate() {
                let fault =
                    |fault| MeshError::System(format!("rank {peer} at {address} cannot be reached"), fault);
                let mut stream = TcpStream::connect_timeout(address, timeout).map_err(fault)?;
                stream.write_all(&greeting(session, rank, index)).map_err(fault)?;
                *place = Some(stream);
            }
        }
        Self::welcome(rank, &mut found, listener, session, timeout)?;
        let mut peers = Vec::new();
        for streams in found {
            let streams: Vec<TcpStream> = streams.into_iter().flatten().collect();
            for stream in &streams {
                let ready = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_nonblocking(true));
                ready
                    .map_err(|fault| MeshError::System("a connection cannot be set up".to_owned(), fault))?;
            }
            peers.push(streams);
        }
        Ok(Self {
            rank,
            ranks,
            peers,
            timeout,
        })
    }

    /// Takes the connections of later ranks; whoever else comes is sent away.
    fn welcome(
        rank: usize,
        found: &mut [Vec<Option<TcpStream>>],
        listener: &TcpListener,
        session: u64,
        timeout: Duration,
    ) -> Result<(), MeshError> {
        let system = |fault| MeshError::System("waiting for other ranks".to_owned(), fault);
        listener.set_nonblocking(true).map_err(system)?;
        let deadline = Instant::now() + timeout;
        while let Some(missing) =
            (rank + 1..found.len()).find(|&peer| found[peer].iter().any(Option::is_none))
        {
            match listener.accept() {
                Ok((stream, _)) => {
                    if let Some((peer, index)) = greeted(&stream, session, timeout) {
                        let place = found.get_mut(peer).and_then(|streams| streams.get_mut(index));
                        if let Some(place) = place.filter(|_| peer > rank) {
                            *place = Some(stream);
                        }
                    }
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        return Err(MeshError::Silent(format!("rank {missing}"), timeout));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(fault) => return Err(system(fault)),
            }
        }
        Ok(())
    }

    /// Sends and receives all of this at once; each message is shared by the first `connections` to its peer.
    pub(super) fn transfer(
        &self,
        sends: &[(usize, &[u8])],
        receives: Vec<(usize, &mut [u8])>,
        connections: usize,
    ) -> Result<(), MeshError> {
        let mut sending = Vec::new();
        for &(peer, bytes) in sends {
            let share = part(bytes.len(), connections);
            let parts = bytes.chunks(share).zip(&self.peers[peer]);
            sending.extend(parts.map(|(left, stream)| Sending { peer, stream, left }));
        }
        let mut receiving = Vec::new();
        for (peer, bytes) in receives {
            let share = part(bytes.len(), connections);
            let parts = bytes.chunks_mut(share).zip(&self.peers[peer]);
            receiving.extend(parts.map(|(left, stream)| Receiving { peer, stream, left }));
        }
        let mut last = Instant::now();
        while !(sending.is_empty() && receiving.is_empty()) {
            if push(&mut sending)? | pull(&mut receiving)? {
                last = Instant::now();
            } else if last.elapsed() >= self.timeout {
                return Err(MeshError::Silent(names(&sending, &receiving), self.timeout));
            } else {
                wait(&sending, &receiving, self.timeout.saturating_sub(last.elapsed()))?;
            }
        }
        Ok(())
    }

    /// Returns when every rank has called it: in round `r`, a byte to the rank `2^r` after, one from `2^r` before.
    pub(super) fn barrier(&self) -> Result<(), MeshError> {
        let mut distance = 1;
        while distance < self.ranks {
            let after = (self.rank + distance) % self.ranks;
            let before = (self.rank + self.ranks - distance) % self.ranks;
            let mut heard = [0];
            self.transfer(&[(after, &[1])], vec![(before, &mut heard)], 1)?;
            distance *= 2;
        }
        Ok(())
    }
}

/// Bytes of each part of a message over so many connections: whole numbers of 4 bytes, at least one.
const fn part(bytes: usize, connections: usize) -> usize {
    let share = bytes.div_ceil(connections).next_multiple_of(4);
    if share == 0 { 4 } else { share }
}

/// Who is at the other end, if it is a rank of this session.
fn greeted(stream: &TcpStream, session: u64, timeout: Duration) -> Option<(usize, usize)> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    let mut bytes = [0; GREETING];
    (&*stream).read_exact(&mut bytes).ok()?;
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let known = bytes[..8] == MAGIC && bytes[8..16] == session.to_le_bytes();
    known.then(|| (number(16), number(20)))
}

/// Writes what goes without waiting; whether anything did.
fn push(sending: &mut Vec<Sending<'_>>) -> Result<bool, MeshError> {
    let mut moved = false;
    for each in sending.iter_mut() {
        let mut stream = each.stream;
        match stream.write(each.left) {
            Ok(count) => {
                each.left = &each.left[count..];
                moved = true;
            }
            Err(fault) if is_later(&fault) => {}
            Err(fault) => return Err(broken(each.peer, fault)),
        }
    }
    sending.retain(|each| !each.left.is_empty());
    Ok(moved)
}

/// Reads what is there; whether anything was.
fn pull(receiving: &mut Vec<Receiving<'_>>) -> Result<bool, MeshError> {
    let mut moved = false;
    for each in receiving.iter_mut() {
        let mut stream = each.stream;
        match stream.read(each.left) {
            Ok(0) => return Err(MeshError::Closed(each.peer)),
            Ok(count) => {
                let left = std::mem::take(&mut each.left);
                each.left = &mut left[count..];
                moved = true;
            }
            Err(fault) if is_later(&fault) => {}
            Err(fault) => return Err(broken(each.peer, fault)),
        }
    }
    receiving.retain(|each| !each.left.is_empty());
    Ok(moved)
}

fn is_later(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn broken(peer: usize, fault: io::Error) -> MeshError {
    match fault.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => MeshError::Closed(peer),
        _ => MeshError::Broken { peer, fault },
    }
}

/// Waits until a connection is ready, at most `longest`.
fn wait(sending: &[Sending<'_>], receiving: &[Receiving<'_>], longest: Duration) -> Result<(), MeshError> {
    let out = sending
        .iter()
        .map(|each| PollFd::new(each.stream, PollFlags::OUT));
    let into = receiving
        .iter()
        .map(|each| PollFd::new(each.stream, PollFlags::IN));
    let mut all: Vec<PollFd<'_>> = out.chain(into).collect();
    let longest = Timespec::try_from(longest).unwrap_or(Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    });
    match poll(&mut all, Some(&longest)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(fault) => Err(MeshError::System(
            "waiting for the network".to_owned(),
            fault.into(),
        )),
    }
}

/// `rank 2` or `ranks 1, 2`: who is waited for.
fn names(sending: &[Sending<'_>], receiving: &[Receiving<'_>]) -> String {
    let ranks = sending
        .iter()
        .map(|each| each.peer)
        .chain(receiving.iter().map(|each| each.peer));
    super::report::ranks(ranks)
}
