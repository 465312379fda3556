//! Who is connected now. When there is no place left, whoever has waited longest for a request gives his up:
//! connections that say nothing cost nobody a place who has something to ask.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::limits::{Limits, network_of};

/// Who is connected now.
#[derive(Debug)]
pub(crate) struct Clients {
    most: usize,
    most_per_client: usize,
    most_streams_per_client: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_id: u64,
    open: BTreeMap<u64, Open>,
    streams: BTreeMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Open {
    client: IpAddr,
    num_answers: usize,
    idle_since: Instant,
    /// Dropped to let the connection go.
    _keep: oneshot::Sender<()>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    clients: Arc<Clients>,
}

/// An answer that is being given; while there is one, the connection keeps its place.
#[derive(Debug)]
pub(crate) struct Answer(Arc<Place>);

/// A stream's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    client: IpAddr,
    clients: Arc<Clients>,
}

impl Clients {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            most: limits.connections,
            most_per_client: limits.connections_per_client,
            most_streams_per_client: limits.streams_per_client,
            inner: Mutex::default(),
        }
    }

    /// A place for a connection of `client`, and what ends when it has to give it up; none when everybody else is
    /// being answered.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        now: Instant,
    ) -> Option<(Place, oneshot::Receiver<()>)> {
        let client = network_of(client);
        let mut inner = self.lock();
        let of_client = inner.open.values().filter(|open| open.client == client).count();
        if of_client >= self.most_per_client && !inner.let_go(|open| open.client == client) {
            return None;
        }
        if inner.open.len() >= self.most && !inner.let_go(|_| true) {
            return None;
        }
        let id = inner.next_id;
        inner.next_id += 1;
        let (keep, given_up) = oneshot::channel();
        let open = Open {
            client,
            num_answers: 0,
            idle_since: now,
            _keep: keep,
        };
        inner.open.insert(id, open);
        let clients = self.clone();
        Some((Place { id, clients }, given_up))
    }

    /// A place for a stream to `client`, if it has one left.
    pub(crate) fn open_stream(self: &Arc<Self>, client: IpAddr) -> Option<StreamPlace> {
        let client = network_of(client);
        let mut inner = self.lock();
        let num_streams = inner.streams.entry(client).or_default();
        if *num_streams >= self.most_streams_per_client {
            return None;
        }
        *num_streams += 1;
        let clients = self.clone();
        Some(StreamPlace { client, clients })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Lets the connection go that waits longest among those that `may` go; whether there was one.
    fn let_go(&mut self, may: impl Fn(&Open) -> bool) -> bool {
        let waiting = self
            .open
            .iter()
            .filter(|(_, open)| open.num_answers == 0 && may(open));
        let longest = waiting.min_by_key(|(_, open)| open.idle_since).map(|(&id, _)| id);
        longest.is_some_and(|id| self.open.remove(&id).is_some())
    }
}

impl Place {
    /// Says that a request is being answered, for as long as the answer lives.
    pub(crate) fn answer(self: &Arc<Self>) -> Answer {
        self.with_open(|open| open.num_answers += 1);
        Answer(self.clone())
    }

    fn with_open(&self, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.clients.lock().open.get_mut(&self.id) {
            change(open);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.lock().open.remove(&self.id);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.with_open(|open| {
            open.num_answers -= 1;
            open.idle_since = Instant::now();
        });
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut inner = self.clients.lock();
        if let Some(num_streams) = inner.streams.get_mut(&self.client) {
            *num_streams -= 1;
            if *num_streams == 0 {
                inner.streams.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn clients(most: usize, most_per_client: usize) -> Arc<Clients> {
        Arc::new(Clients::new(&Limits {
            connections: most,
            connections_per_client: most_per_client,
            streams_per_client: 2,
            ..Limits::default()
        }))
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is_let_go(given_up: &mut oneshot::Receiver<()>) -> bool {
        given_up.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn who_waits_longest_gives_up_a_place_and_who_is_answered_does_not() {
        let clients = clients(3, 3);
        let start = Instant::now();
        let mut open: Vec<_> = (0..3)
            .map(|number| {
                let at = start + Duration::from_secs(number);
                let (place, given_up) = clients.admit(address(1), at).unwrap();
                (Arc::new(place), given_up)
            })
            .collect();
        let answer = open[0].0.answer();
        let (place, _given_up) = clients.admit(address(2), start).unwrap();
        let gone: Vec<bool> = open.iter_mut().map(|(_, given_up)| is_let_go(given_up)).collect();
        assert_eq!(gone, [false, true, false]);
        // A connection that was let go may end late.
        let late = open.remove(1);
        drop(late);
        drop(place);
        let third = open[1].0.answer();
        let (_fourth, _given_up) = clients.admit(address(3), start).unwrap();
        drop((answer, third));
        assert_eq!(clients.lock().open.len(), 3);
    }

    #[test]
    fn there_is_no_place_while_all_are_answered() {
        let clients = clients(1, 1);
        let (place, _given_up) = clients.admit(address(1), Instant::now()).unwrap();
        let place = Arc::new(place);
        let answer = place.answer();
        assert!(clients.admit(address(2), Instant::now()).is_none());
        drop((answer, place));
        assert!(clients.admit(address(2), Instant::now()).is_some());
    }

    #[test]
    fn one_client_pushes_out_its_own_connections_only() {
        let clients = clients(10, 2);
        let now = Instant::now();
        let (_place, mut other) = clients.admit(address(1), now).unwrap();
        let mut open: Vec<_> = (0..20).map(|_| clients.admit(address(2), now).unwrap()).collect();
        assert!(!is_let_go(&mut other));
        let kept = open
            .iter_mut()
            .filter_map(|(_, given_up)| (!is_let_go(given_up)).then_some(()));
        assert_eq!(kept.count(), 2);
    }

    #[test]
    fn a_client_has_so_many_streams() {
        let clients = clients(1, 1);
        let streams = [(); 2].map(|()| clients.open_stream(address(1)).unwrap());
        assert!(clients.open_stream(address(1)).is_none());
        assert!(clients.open_stream(address(2)).is_some());
        drop(streams);
        assert!(clients.open_stream(address(1)).is_some());
        assert!(clients.lock().streams.is_empty(), "who has none is forgotten");
    }
}
