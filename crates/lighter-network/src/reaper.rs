//! Endpoints on their way out.
//!
//! Deleting a veth takes the kernel 20 ms and holds up every other change of interfaces meanwhile. When the
//! last process and the last descriptor of a namespace are gone, the kernel removes the veth by itself,
//! in the background and many at once. So we only look now and then whether it has, before the address is
//! given to somebody else, and step in when something else keeps the namespace alive.

use std::time::{Duration, Instant};

use crate::leases::Endpoint;
use crate::links;
use crate::netlink::Netlink;

/// How often to look.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// How long to leave it to the kernel.
const GRACE: Duration = Duration::from_secs(2);
/// The most to look at in one go, so that whoever wants a container now does not wait.
const BATCH: usize = 64;

#[derive(Debug)]
struct Pending {
    endpoint: Endpoint,
    deadline: Instant,
}

/// The endpoints whose interface may still exist.
#[derive(Debug)]
pub(crate) struct Reaper {
    pending: Vec<Pending>,
    next: Instant,
}

impl Reaper {
    pub(crate) fn new() -> Self {
        Self { pending: Vec::new(), next: Instant::now() }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn is_due(&self) -> bool {
        !self.is_idle() && Instant::now() >= self.next
    }

    pub(crate) fn push(&mut self, endpoint: Endpoint) {
        self.pending.push(Pending { endpoint, deadline: Instant::now() + GRACE });
    }

    /// Deletes what stands in the way of somebody who wants these addresses now; returns whether anything did.
    pub(crate) fn hurry(&mut self, nl: &mut Netlink, in_the_way: impl Fn(&Endpoint) -> bool) -> Vec<Endpoint> {
        let (wanted, others): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|pending| in_the_way(&pending.endpoint));
        self.pending = others;
        let (gone, left): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|pending| is_gone(nl, pending, true));
        self.pending.extend(left);
        gone.into_iter().map(|pending| pending.endpoint).collect()
    }

    /// Looks at some of them; returns those that are gone. With `now`, all are looked at and deleted.
    pub(crate) fn reap(&mut self, nl: &mut Netlink, now: bool) -> Vec<Endpoint> {
        let time = Instant::now();
        self.next = time + TICK;
        let count = if now { self.pending.len() } else { self.pending.len().min(BATCH) };
        let mut gone = Vec::new();
        let mut left = Vec::new();
        for mut pending in self.pending.drain(..count) {
            if is_gone(nl, &pending, now || time >= pending.deadline) {
                gone.push(pending.endpoint);
            } else {
                if time >= pending.deadline {
                    pending.deadline = time + GRACE;
                }
                left.push(pending);
            }
        }
        // Behind the others, so that each gets its turn.
        self.pending.extend(left);
        gone
    }
}

fn is_gone(nl: &mut Netlink, pending: &Pending, delete: bool) -> bool {
    let name = &pending.endpoint.host_ifname;
    match links::by_name(nl, name) {
        Ok(None) => true,
        Ok(Some(link)) if link.group != links::VETH_GROUP => true,
        Ok(Some(_)) if !delete => false,
        Ok(Some(_)) => match links::delete(nl, name) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(interface = name, %error, "cannot delete the interface of a container that is gone");
                false
            }
        },
        Err(error) => {
            tracing::warn!(interface = name, %error, "cannot look for the interface of a container that is gone");
            false
        }
    }
}
