//! Network namespaces: making them, keeping a few ready, and doing something inside one.
//!
//! A namespace belongs to a thread, so all of this happens on threads of our own that nobody else runs
//! on; a tokio worker that changed its namespace would take unrelated tasks with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::NetworkError;
use crate::links;
use crate::netlink::Netlink;

pub(crate) use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};

/// Nobody asked for a namespace for so long: those kept ready are let go.
const IDLE: Duration = Duration::from_secs(30);
/// How long after an order to make the next one for the stock. Making one takes locks that whoever just got a
/// namespace needs for its interfaces, and a core: a start, and the life of what runs for a moment only, are over by then.
const LULL: Duration = Duration::from_millis(25);

/// The network namespace of the calling thread.
pub(crate) fn current() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// A thread's way into other namespaces and back.
#[derive(Debug)]
pub(crate) struct Visitor {
    home: Arc<OwnedFd>,
    lost: bool,
}

impl Visitor {
    pub(crate) fn new(home: Arc<OwnedFd>) -> Self {
        Self { home, lost: false }
    }

    /// Whether the way back failed once. The thread must not do anything any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    fn come_home(&mut self) -> io::Result<()> {
        setns(self.home.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| {
            self.lost = true;
            errno.into()
        })
    }

    /// Runs `work` with the calling thread in namespace `there`.
    pub(crate) fn inside<T>(&mut self, there: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        setns(there, CloneFlags::CLONE_NEWNET)?;
        let result = work();
        self.come_home()?;
        result
    }

    /// A new namespace with its loopback up.
    pub(crate) fn make(&mut self) -> io::Result<OwnedFd> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let work = || {
            let netns = current()?;
            links::loopback_up(&mut Netlink::open(NETLINK_ROUTE)?)?;
            Ok(netns)
        };
        let result = work();
        self.come_home()?;
        result
    }
}

enum Order {
    Make(oneshot::Sender<io::Result<OwnedFd>>),
    Refill,
}

/// Hands out new namespaces, if possible without making the caller wait for the kernel.
///
/// Its thread starts with the first order. None is kept ready before that, nor after a while without orders.
#[derive(Debug)]
pub(crate) struct Factory {
    home: Arc<OwnedFd>,
    keep: usize,
    ready: Mutex<Vec<OwnedFd>>,
    orders: Mutex<Option<Sender<Order>>>,
}

impl Factory {
    /// Namespaces come from `home`'s side; up to `keep` are held ready.
    pub(crate) fn new(home: Arc<OwnedFd>, keep: usize) -> Arc<Self> {
        Arc::new(Self { home, keep, ready: Mutex::new(Vec::new()), orders: Mutex::new(None) })
    }

    /// A new namespace, loopback up.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<OwnedFd, NetworkError> {
        let failed = |error| NetworkError::kernel("create a network namespace", error);
        let ready = self.ready.lock().pop();
        if let Some(netns) = ready {
            self.order(Order::Refill).map_err(failed)?;
            return Ok(netns);
        }
        let (reply, answer) = oneshot::channel();
        self.order(Order::Make(reply)).map_err(failed)?;
        answer.await.map_err(|_| NetworkError::WorkerGone)?.map_err(failed)
    }

    fn order(self: &Arc<Self>, order: Order) -> io::Result<()> {
        let mut orders = self.orders.lock();
        let order = match orders.as_ref() {
            // A thread that has ended (see `Visitor::is_lost`) is replaced.
            Some(running) => match running.send(order) {
                Ok(()) => return Ok(()),
                Err(back) => back.0,
            },
            None => order,
        };
        let (sender, receiver) = channel();
        let factory = Arc::downgrade(self);
        let visitor = Visitor::new(Arc::clone(&self.home));
        std::thread::Builder::new()
            .name("lighter-netns".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || produce(&factory, visitor, &receiver))?;
        // The thread holds the receiver and takes nothing before this.
        let _ = sender.send(order);
        *orders = Some(sender);
        Ok(())
    }

    fn stock(&self, netns: OwnedFd) {
        let mut ready = self.ready.lock();
        if ready.len() < self.keep {
            ready.push(netns);
        }
    }

    /// How long to wait for the next order before doing something else.
    fn lull(&self) -> Option<Duration> {
        match self.ready.lock().len() {
            _ if self.keep == 0 => None,
            stock if stock < self.keep => Some(LULL),
            _ => Some(IDLE),
        }
    }

    /// How many are ready.
    #[cfg(test)]
    pub(crate) fn ready(&self) -> usize {
        self.ready.lock().len()
    }
}

/// Life of the thread. It holds the factory only while it works, so that the factory can be dropped.
fn produce(factory: &Weak<Factory>, mut visitor: Visitor, orders: &Receiver<Order>) {
    // The thread may have been started from anywhere; go where the namespaces are to be made from.
    if visitor.come_home().is_err() {
        tracing::error!("cannot enter the host's network namespace");
        return;
    }
    let mut wait = None;
    while !visitor.is_lost() {
        let order = match wait {
            Some(time) => orders.recv_timeout(time),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Some(factory) = factory.upgrade() else { return };
        wait = match order {
            Ok(Order::Make(reply)) => {
                // Nobody waits for it any more: then it is for the stock.
                if let Err(Ok(netns)) = reply.send(visitor.make()) {
                    factory.stock(netns);
                }
                factory.lull()
            }
            Ok(Order::Refill) => factory.lull(),
            Err(RecvTimeoutError::Timeout) if wait == Some(LULL) => match visitor.make() {
                Ok(netns) => {
                    factory.stock(netns);
                    factory.lull()
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot make a network namespace ahead of need");
                    None
                }
            },
            Err(RecvTimeoutError::Timeout) => {
                factory.ready.lock().clear();
                None
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
    tracing::error!("cannot return to the host's network namespace");
}
