//! The process of one rank: takes orders, holds the two connections of the ring, keeps its own time.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery_units::{Bytes, BytesPerSec, SimTime};

use crate::bucket::Bucket;
use crate::orders::{Order, Reply};
use crate::ring::{self, Ring};

/// Longest a neighbour may say nothing: far above the longest chunk, far below a person's patience.
const SILENCE: Duration = Duration::from_secs(60);
/// Most bytes written at once where the sender itself shapes: a small part of its burst.
const METERED_PIECE: usize = 8 * 1024;
/// Size of the message that goes round.
const TOKEN: usize = 8;

/// What a sender keeps to where the kernel does not shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    /// Payload per second.
    pub(crate) rate: BytesPerSec,
    /// Payload that may leave at once.
    pub(crate) burst: Bytes,
}

/// Takes orders until there are no more; faults are answers.
///
/// # Errors
/// When the command that gives the orders is gone.
pub(crate) fn serve(bind: SocketAddr, meter: Option<Meter>, in_namespace: bool) -> anyhow::Result<()> {
    if let Err(fault) = obey(bind, meter, in_namespace) {
        answer(&Reply::Fault(format!("{fault:#}")))?;
    }
    Ok(())
}

fn answer(reply: &Reply) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

fn obey(bind: SocketAddr, meter: Option<Meter>, in_namespace: bool) -> anyhow::Result<()> {
    if in_namespace {
        settle_tcp()?;
    }
    let listener = TcpListener::bind(bind).with_context(|| format!("cannot listen on {bind}"))?;
    answer(&Reply::Listening(listener.local_addr()?))?;
    let mut neighbours = None;
    for line in orders() {
        let order: Order = serde_json::from_str(&line).context("an order is JSON")?;
        let reply = match (order, &mut neighbours) {
            (Order::Connect { rank, ranks, next }, neighbours) => {
                *neighbours = Some(Neighbours::meet(rank, ranks, &listener, next, meter)?);
                Reply::Connected
            }
            (_, None) => anyhow::bail!("the ring is not closed yet"),
            (Order::Circulate { laps }, Some(neighbours)) => Reply::Laps(neighbours.circulate(laps)?),
            (
                Order::AllReduce {
                    elements,
                    repeats,
                    pause_micros,
                },
                Some(neighbours),
            ) => neighbours.reduce(elements, repeats, Duration::from_micros(pause_micros))?,
        };
        answer(&reply)?;
    }
    Ok(())
}

/// The lines of standard input. Their end is the end of the process, whatever it is doing: who gave orders is gone,
/// killed perhaps, and nobody waits for what is under way.
fn orders() -> mpsc::Receiver<String> {
    let (queue, orders) = mpsc::channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            // A rank with a fault takes no more orders; the end is still to be heard.
            let _refused = queue.send(line);
        }
        #[expect(
            clippy::exit,
            reason = "the other threads wait for the network, and own nothing outside"
        )]
        std::process::exit(0);
    });
    orders
}

/// Makes TCP of this namespace the plain one that every Linux has: a sender that paces itself by a model of the
/// path (bbr) or starts slowly after each pause would be measured with the link.
fn settle_tcp() -> anyhow::Result<()> {
    let set = |name: &str, value: &str| {
        let path = format!("/proc/sys/net/ipv4/{name}");
        std::fs::write(&path, value).with_context(|| format!("cannot write `{value}` to {path}"))
    };
    set("tcp_congestion_control", "cubic").or_else(|_no_cubic| set("tcp_congestion_control", "reno"))?;
    set("tcp_slow_start_after_idle", "0")
}

/// The connections of a rank.
#[derive(Debug)]
struct Neighbours {
    rank: usize,
    ranks: usize,
    from: TcpStream,
    to: mpsc::Sender<Vec<u8>>,
}

impl Neighbours {
    fn meet(
        rank: usize,
        ranks: usize,
        listener: &TcpListener,
        next: SocketAddr,
        meter: Option<Meter>,
    ) -> anyhow::Result<Self> {
        let to = TcpStream::connect_timeout(&next, SILENCE).context("cannot reach the next rank")?;
        let (from, _) = listener.accept().context("the rank before did not come")?;
        to.set_nodelay(true)?;
        to.set_write_timeout(Some(SILENCE))?;
        from.set_read_timeout(Some(SILENCE))?;
        Ok(Self {
            rank,
            ranks,
            from,
            to: sender(to, meter),
        })
    }

    fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.to.send(bytes).map_err(io::Error::other)
    }

    fn receive_token(&mut self) -> io::Result<()> {
        self.from.read_exact(&mut [0; TOKEN])
    }

    /// One lap of the small message: the first rank sends it and has it back, the others hand it on.
    fn lap(&mut self) -> io::Result<()> {
        if self.rank == 0 {
            self.send(vec![0; TOKEN])?;
            return self.receive_token();
        }
        self.receive_token()?;
        self.send(vec![0; TOKEN])
    }

    /// Nanoseconds of each of `laps`, at the first rank.
    fn circulate(&mut self, laps: usize) -> io::Result<Vec<u64>> {
        let mut nanos = Vec::with_capacity(laps);
        for _ in 0..laps {
            let begin = Instant::now();
            self.lap()?;
            nanos.push(nanos_since(begin));
        }
        if self.rank != 0 {
            nanos.clear();
        }
        Ok(nanos)
    }

    /// Reduces so often; between two, a pause and a barrier.
    fn reduce(&mut self, elements: usize, repeats: usize, pause: Duration) -> anyhow::Result<Reply> {
        let ring = Ring {
            ranks: self.ranks,
            elements,
        };
        let (mut nanos, mut wrong) = (Vec::with_capacity(repeats), 0);
        let mut data = vec![0.0; elements];
        for _ in 0..repeats {
            for (element, number) in data.iter_mut().enumerate() {
                *number = ring::initial(self.rank, element);
            }
            thread::sleep(pause);
            // After the first lap all are there, after the second all know it.
            self.lap()?;
            self.lap()?;
            let begin = Instant::now();
            let to = &self.to;
            let mut send = |bytes| to.send(bytes).map_err(io::Error::other);
            ring::all_reduce(ring, self.rank, &mut data, &mut send, &mut self.from)
                .context("a neighbour was lost in the all-reduce")?;
            nanos.push(nanos_since(begin));
            wrong += ring::wrong(ring, &data);
        }
        Ok(Reply::Reduced { nanos, wrong })
    }
}

fn nanos_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A thread that writes what it is given to `to`, in order, so that a rank can send and receive at once. It ends
/// with the connection or with whoever gives.
fn sender(mut to: TcpStream, meter: Option<Meter>) -> mpsc::Sender<Vec<u8>> {
    let (queue, messages) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        let mut metered = meter.map(|meter| (Bucket::full(meter.rate, meter.burst), Instant::now()));
        for message in messages {
            let written = match &mut metered {
                None => to.write_all(&message),
                Some((bucket, origin)) => write_metered(&mut to, &message, bucket, *origin),
            };
            // The rank hears of it: its next message finds nobody.
            if written.is_err() {
                return;
            }
        }
    });
    queue
}

fn write_metered(to: &mut TcpStream, message: &[u8], bucket: &mut Bucket, origin: Instant) -> io::Result<()> {
    for piece in message.chunks(METERED_PIECE) {
        let now = SimTime::from_picos(nanos_since(origin).saturating_mul(1000));
        let wait = bucket.take(Bytes::new(piece.len() as u64).as_f64(), now);
        if !wait.is_zero() {
            thread::sleep(Duration::from_nanos(wait.as_picos().div_ceil(1000)));
        }
        to.write_all(piece)?;
    }
    Ok(())
}
