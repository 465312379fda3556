//! Where the ranks of a communicator meet: a socket of the process that made its name. It takes every rank's calls of a
//! group and gives each its results.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::numbers::{from_bf16, to_bf16};

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AllReduce,
    AllGather,
    ReduceScatter,
    Send(usize),
    Receive(usize),
}

/// A call with the numbers that it gives.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) count: usize,
    pub(super) given: Vec<u16>,
}

/// A rank's calls of a group, or its results.
type Lists = Vec<Vec<u16>>;

impl Kind {
    /// How many numbers a call that counts so many gives.
    pub(super) const fn given(self, count: usize, ranks: usize) -> usize {
        match self {
            Self::AllReduce | Self::AllGather | Self::Send(_) => count,
            Self::ReduceScatter => ranks * count,
            Self::Receive(_) => 0,
        }
    }

    const fn code(self) -> (u32, usize) {
        match self {
            Self::AllReduce => (0, 0),
            Self::AllGather => (1, 0),
            Self::ReduceScatter => (2, 0),
            Self::Send(peer) => (3, peer),
            Self::Receive(peer) => (4, peer),
        }
    }

    fn of(code: u32, peer: usize) -> io::Result<Self> {
        Ok(match code {
            0 => Self::AllReduce,
            1 => Self::AllGather,
            2 => Self::ReduceScatter,
            3 => Self::Send(peer),
            4 => Self::Receive(peer),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

/// Opens a hub of this process; its name, which no other has.
pub(super) fn open() -> io::Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("orrery-fake-nccl-{}-{number}", std::process::id());
    // A name of no file: nothing is left behind.
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    std::thread::spawn(move || serve(&listener));
    Ok(name)
}

/// Comes to the hub of this name, and returns when all ranks have.
pub(super) fn join(name: &[u8], rank: usize, ranks: usize) -> io::Result<UnixStream> {
    let mut hub = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    put(&mut hub, rank)?;
    put(&mut hub, ranks)?;
    take(&mut hub)?;
    Ok(hub)
}

/// Results of a rank's calls once all ranks have called; none where they do not fit each other.
pub(super) fn ask(mut hub: &UnixStream, calls: &[Call]) -> io::Result<Option<Lists>> {
    put(&mut hub, calls.len())?;
    for call in calls {
        let (code, peer) = call.kind.code();
        for number in [code as usize, peer, call.count] {
            put(&mut hub, number)?;
        }
        put_list(&mut hub, &call.given)?;
    }
    let count = take(&mut hub)?;
    if count == usize::MAX {
        return Ok(None);
    }
    (0..count)
        .map(|_| take_list(&mut hub))
        .collect::<io::Result<Lists>>()
        .map(Some)
}

/// Waits for all ranks, then serves group after group until one is gone.
fn serve(listener: &UnixListener) {
    let mut ranks: Vec<Option<UnixStream>> = Vec::new();
    let mut served = move || -> io::Result<()> {
        while ranks.is_empty() || ranks.iter().any(Option::is_none) {
            let (mut stream, _) = listener.accept()?;
            let (rank, count) = (take(&mut stream)?, take(&mut stream)?);
            ranks.resize_with(count, || None);
            *ranks.get_mut(rank).ok_or(io::ErrorKind::InvalidData)? = Some(stream);
        }
        let mut ranks: Vec<UnixStream> = std::mem::take(&mut ranks).into_iter().flatten().collect();
        for rank in &mut ranks {
            put(rank, 0)?;
        }
        loop {
            let calls = ranks.iter_mut().map(calls);
            let calls = calls.collect::<io::Result<Vec<Vec<Call>>>>()?;
            let results = carry_out(&calls);
            // The rank whose process this is comes last: it may end when it has its own.
            for (at, rank) in ranks.iter_mut().enumerate().rev() {
                let Some(results) = &results else {
                    put(rank, usize::MAX)?;
                    continue;
                };
                put(rank, results[at].len())?;
                results[at].iter().try_for_each(|result| put_list(rank, result))?;
            }
        }
    };
    // A rank that is gone ends its hub, and with it every other's connection: they see that, as those of NCCL do.
    let _over = served();
}

fn calls(rank: &mut UnixStream) -> io::Result<Vec<Call>> {
    let mut calls = Vec::new();
    for _ in 0..take(rank)? {
        let (code, peer, count) = (take(rank)?, take(rank)?, take(rank)?);
        let kind = Kind::of(u32::try_from(code).unwrap_or(u32::MAX), peer)?;
        let given = take_list(rank)?;
        calls.push(Call { kind, count, given });
    }
    Ok(calls)
}

/// Every rank's results of its calls; none where the calls do not fit each other.
fn carry_out(calls: &[Vec<Call>]) -> Option<Vec<Lists>> {
    let is_message = |call: &Call| matches!(call.kind, Kind::Send(_) | Kind::Receive(_));
    if calls.iter().flatten().all(is_message) {
        return deliver(calls);
    }
    let together: Option<Vec<&Call>> = calls
        .iter()
        .map(|of_rank| of_rank.first().filter(|_| of_rank.len() == 1))
        .collect();
    meet(&together?)
}

/// Hands every message to who expects it, in order.
fn deliver(calls: &[Vec<Call>]) -> Option<Vec<Lists>> {
    let mut sent: Vec<Vec<Option<&Call>>> = calls
        .iter()
        .map(|of_rank| {
            let sends = of_rank.iter().filter(|call| matches!(call.kind, Kind::Send(_)));
            sends.map(Some).collect()
        })
        .collect();
    let results = calls.iter().enumerate().map(|(rank, of_rank)| {
        let results = of_rank.iter().map(|call| {
            let Kind::Receive(peer) = call.kind else {
                return Some(Vec::new());
            };
            let fits = |sent: &&mut Option<&Call>| {
                sent.is_some_and(|sent| sent.kind == Kind::Send(rank) && sent.count == call.count)
            };
            let place = sent.get_mut(peer)?.iter_mut().find(fits)?;
            Some(place.take()?.given.clone())
        });
        results.collect::<Option<Lists>>()
    });
    let results = results.collect::<Option<Vec<Lists>>>()?;
    sent.iter().flatten().all(Option::is_none).then_some(results)
}

/// Carries a collective out, to which every rank came.
fn meet(calls: &[&Call]) -> Option<Vec<Lists>> {
    let first = calls.first()?;
    let agree = |call: &&&Call| call.kind == first.kind && call.count == first.count;
    if !calls.iter().all(|call| agree(&call)) {
        return None;
    }
    let sum = || -> Vec<u16> {
        let at = |at: usize| calls.iter().map(|call| from_bf16(call.given[at])).sum();
        (0..first.given.len()).map(|place| to_bf16(at(place))).collect()
    };
    let all: Vec<u16> = match first.kind {
        Kind::AllGather => calls.iter().flat_map(|call| call.given.iter().copied()).collect(),
        _ => sum(),
    };
    let results = calls.iter().enumerate().map(|(rank, call)| {
        vec![match call.kind {
            Kind::ReduceScatter => all[rank * call.count..(rank + 1) * call.count].to_vec(),
            _ => all.clone(),
        }]
    });
    Some(results.collect())
}

fn put(to: &mut impl io::Write, number: usize) -> io::Result<()> {
    to.write_all(&(number as u64).to_le_bytes())
}

fn take(from: &mut impl io::Read) -> io::Result<usize> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    usize::try_from(u64::from_le_bytes(bytes)).map_err(io::Error::other)
}

fn put_list(to: &mut impl io::Write, list: &[u16]) -> io::Result<()> {
    put(to, list.len())?;
    let bytes: Vec<u8> = list.iter().flat_map(|number| number.to_le_bytes()).collect();
    to.write_all(&bytes)
}

fn take_list(from: &mut impl io::Read) -> io::Result<Vec<u16>> {
    let mut bytes = vec![0; 2 * take(from)?];
    from.read_exact(&mut bytes)?;
    Ok(bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect())
}
