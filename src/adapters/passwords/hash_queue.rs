//! The queue of passwords to be hashed, when many wait: one of each client's in turn, and of a client's log-ins before
//! registrations, one of each account's in turn.
//!
//! So whoever sends thousands waits for themselves, and everybody else for one of theirs. Behind a proxy that names no
//! clients all are one client; then the accounts still come in turn, and whoever has one comes before who wants one.

use std::collections::VecDeque;

use crate::adapters::client_address::ClientNetwork;

/// What is hashed for whom.
#[derive(Debug, Clone)]
pub struct HashRequest {
    /// Where it comes from.
    pub from: ClientNetwork,
    /// The folded name of the account.
    pub account: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a hash is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An account that is there.
    LogIn,
    /// An account to be.
    Registration,
}

impl Purpose {
    /// A request for it, for the account of a folded name.
    pub fn by(self, account: &str, from: ClientNetwork) -> HashRequest {
        HashRequest { from, account: account.to_owned(), purpose: self }
    }
}

/// Those who wait, a bounded number of them.
#[derive(Debug)]
pub struct HashQueue<T> {
    clients: RoundRobin<ClientNetwork, OfOneClient<T>>,
    capacity: usize,
}

impl<T> HashQueue<T> {
    /// At most `capacity` wait.
    pub fn new(capacity: usize) -> Self {
        Self { clients: RoundRobin::default(), capacity }
    }

    /// Has one more wait. If they are too many, gives back the last of whoever has most waiting, which may be this one.
    pub fn push(&mut self, request: &HashRequest, item: T) -> Option<T> {
        self.clients.push(request, item);
        (self.clients.len() > self.capacity).then(|| self.clients.pop_last()).flatten()
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.clients.pop()
    }
}

/// What is served from the front, and cut at the end.
trait Line: Default {
    type Item;
    fn push(&mut self, request: &HashRequest, item: Self::Item);
    fn pop(&mut self) -> Option<Self::Item>;
    fn pop_last(&mut self) -> Option<Self::Item>;
    fn len(&self) -> usize;
}

impl<T> Line for VecDeque<T> {
    type Item = T;

    fn push(&mut self, _: &HashRequest, item: T) {
        self.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn pop_last(&mut self) -> Option<T> {
        self.pop_back()
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// By what a request is put in a line.
trait Key {
    fn is_of(&self, request: &HashRequest) -> bool;
    fn of(request: &HashRequest) -> Self;
}

impl Key for ClientNetwork {
    fn is_of(&self, request: &HashRequest) -> bool {
        *self == request.from
    }

    fn of(request: &HashRequest) -> Self {
        request.from
    }
}

impl Key for String {
    fn is_of(&self, request: &HashRequest) -> bool {
        *self == request.account
    }

    fn of(request: &HashRequest) -> Self {
        request.account.clone()
    }
}

/// Lines that are served in turn; none of them is empty. They are few enough to be looked through, but not for each that
/// is served: those who have waited for too long are, many at once.
#[derive(Debug)]
struct RoundRobin<K, L> {
    lines: VecDeque<(K, L)>,
    len: usize,
}

impl<K, L> Default for RoundRobin<K, L> {
    fn default() -> Self {
        Self { lines: VecDeque::new(), len: 0 }
    }
}

impl<K: Key, L: Line> Line for RoundRobin<K, L> {
    type Item = L::Item;

    fn push(&mut self, request: &HashRequest, item: L::Item) {
        let at = self.lines.iter().position(|(key, _)| key.is_of(request)).unwrap_or_else(|| {
            self.lines.push_back((K::of(request), L::default()));
            self.lines.len() - 1
        });
        self.lines[at].1.push(request, item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<L::Item> {
        let (key, mut line) = self.lines.pop_front()?;
        let item = line.pop();
        if line.len() > 0 {
            self.lines.push_back((key, line));
        }
        self.len -= 1;
        item
    }

    /// Of the longest; of several that are as long, of the latest.
    fn pop_last(&mut self) -> Option<L::Item> {
        let lines = self.lines.iter_mut().enumerate();
        let (at, (_, line)) = lines.max_by_key(|(_, (_, line))| line.len())?;
        let item = line.pop_last();
        if line.len() == 0 {
            self.lines.remove(at);
        }
        self.len -= 1;
        item
    }

    fn len(&self) -> usize {
        self.len
    }
}

type Accounts<T> = RoundRobin<String, VecDeque<T>>;

#[derive(Debug)]
struct OfOneClient<T> {
    log_ins: Accounts<T>,
    registrations: Accounts<T>,
}

impl<T> Default for OfOneClient<T> {
    fn default() -> Self {
        Self { log_ins: Accounts::default(), registrations: Accounts::default() }
    }
}

impl<T> Line for OfOneClient<T> {
    type Item = T;

    fn push(&mut self, request: &HashRequest, item: T) {
        match request.purpose {
            Purpose::LogIn => self.log_ins.push(request, item),
            Purpose::Registration => self.registrations.push(request, item),
        }
    }

    fn pop(&mut self) -> Option<T> {
        self.log_ins.pop().or_else(|| self.registrations.pop())
    }

    fn pop_last(&mut self) -> Option<T> {
        self.registrations.pop_last().or_else(|| self.log_ins.pop_last())
    }

    fn len(&self) -> usize {
        self.log_ins.len() + self.registrations.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Purpose::*, *};

    fn request(client: u8, account: &str, purpose: Purpose) -> HashRequest {
        let address = IpAddr::V4(Ipv4Addr::new(198, 51, 100, client));
        purpose.by(account, address.into())
    }

    /// The order in which they are served: client and account.
    fn order(requests: &[(u8, &'static str, Purpose)]) -> Vec<(u8, &'static str)> {
        let mut queue = HashQueue::new(100);
        for &(client, account, purpose) in requests {
            assert_eq!(queue.push(&request(client, account, purpose), (client, account)), None);
        }
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn each_address_has_its_turn() {
        let mut requests: Vec<_> = (0..50).map(|_| (1, "a", Registration)).collect();
        requests.extend([(2, "bob", LogIn), (3, "cat", Registration), (2, "dan", LogIn)]);
        let first: Vec<_> = order(&requests).into_iter().take(6).collect();
        assert_eq!(first, [(1, "a"), (2, "bob"), (3, "cat"), (1, "a"), (2, "dan"), (1, "a")]);
    }

    #[test]
    fn of_one_address_log_ins_come_before_registrations() {
        let requests = [
            (1, "a", Registration),
            (1, "b", Registration),
            (1, "ann", LogIn),
            (2, "c", Registration),
            (1, "bob", LogIn),
        ];
        let expected = [(1, "ann"), (2, "c"), (1, "bob"), (1, "a"), (1, "b")];
        assert_eq!(order(&requests), expected);
    }

    #[test]
    fn of_one_address_each_account_has_its_turn() {
        let requests = [(1, "ann", LogIn), (1, "ann", LogIn), (1, "ann", LogIn), (1, "bob", LogIn)];
        assert_eq!(order(&requests), [(1, "ann"), (1, "bob"), (1, "ann"), (1, "ann")]);
    }

    #[test]
    fn who_has_most_waiting_gives_way_when_there_is_no_room() {
        let mut queue = HashQueue::new(4);
        for number in 0..3 {
            assert_eq!(queue.push(&request(1, "ann", LogIn), number), None);
        }
        assert_eq!(queue.push(&request(1, "new", Registration), 3), None);
        assert_eq!(queue.push(&request(2, "bob", LogIn), 4), Some(3), "a registration first");
        assert_eq!(queue.push(&request(2, "cat", LogIn), 5), Some(2), "then the last to come");
        assert_eq!(queue.push(&request(1, "ann", LogIn), 6), Some(6), "then whoever comes");
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [0, 4, 1, 5]);
        assert!(queue.clients.lines.is_empty());
    }
}
