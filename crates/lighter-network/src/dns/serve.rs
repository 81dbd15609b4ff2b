//! The loops of one resolver: datagrams, and connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::View;
use super::answer::{Decision, OUR_UDP, Transport, decide};
use super::names::Zones;
use super::place::Sockets;
use super::upstream::{Upstream, read_framed, write_framed};

/// Connections that a container may hold at once.
const MOST_CONNECTIONS: usize = 64;
/// A connection without a question for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// A pause when connections cannot be taken, for want of descriptors perhaps.
const BREATH: Duration = Duration::from_millis(100);

/// What a container's questions are answered from.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) zones: Arc<RwLock<Zones>>,
    pub(super) view: Arc<RwLock<Arc<View>>>,
    pub(super) upstream: Upstream,
}

/// A resolver that is being served. Dropped, it stops and its sockets close.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) view: Arc<RwLock<Arc<View>>>,
    tasks: [AbortHandle; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Starts to serve.
pub(super) fn serve(sockets: Sockets, resolver: Resolver) -> io::Result<Served> {
    let udp = Arc::new(UdpSocket::from_std(sockets.udp)?);
    let tcp = TcpListener::from_std(sockets.tcp)?;
    let view = Arc::clone(&resolver.view);
    let datagrams = tokio::spawn(datagrams(udp, resolver.clone())).abort_handle();
    let connections = tokio::spawn(connections(tcp, resolver)).abort_handle();
    Ok(Served { view, tasks: [datagrams, connections] })
}

impl Resolver {
    fn decide(&self, question: &[u8], transport: Transport) -> (Decision, Arc<View>) {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let view = Arc::clone(&self.view.read());
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let decision = decide(question, transport, &self.zones.read(), &view, turn);
        (decision, view)
    }
}

async fn datagrams(socket: Arc<UdpSocket>, resolver: Resolver) {
    // Ends with the resolver, whatever still waits for an answer.
    let mut forwarded = tokio::task::JoinSet::new();
    let mut buffer = vec![0; usize::from(OUR_UDP)];
    loop {
        while forwarded.try_join_next().is_some() {}
        let (question, client) = match socket.recv_from(&mut buffer).await {
            Ok((length, client)) => (buffer.get(..length).unwrap_or_default(), client),
            Err(error) => {
                tracing::debug!(%error, "a resolver cannot receive");
                sleep(BREATH).await;
                continue;
            }
        };
        let (decision, view) = resolver.decide(question, Transport::Udp);
        match decision {
            // A client that does not take its answer is its own affair.
            Decision::Reply(answer) => drop(socket.send_to(&answer, client).await),
            Decision::Ignore => {}
            Decision::Forward { otherwise } => {
                let (question, socket, upstream) = (question.to_vec(), Arc::clone(&socket), resolver.upstream.clone());
                forwarded.spawn(async move {
                    let answer = upstream.ask(&question, Transport::Udp, &view.servers).await.unwrap_or(otherwise);
                    let _ = socket.send_to(&answer, client).await;
                });
            }
        }
    }
}

async fn connections(listener: TcpListener, resolver: Resolver) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        // Never closed, so this does not fail.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let resolver = resolver.clone();
                open.spawn(async move {
                    if let Err(error) = connection(stream, &resolver).await {
                        tracing::debug!(%error, "a DNS connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a resolver cannot take connections");
                sleep(BREATH).await;
            }
        }
    }
}

async fn connection(mut stream: TcpStream, resolver: &Resolver) -> io::Result<()> {
    while let Some(question) = timeout(IDLE, read_framed(&mut stream)).await?? {
        let (decision, view) = resolver.decide(&question, Transport::Tcp);
        let answer = match decision {
            Decision::Reply(answer) => answer,
            Decision::Ignore => return Ok(()),
            Decision::Forward { otherwise } => {
                resolver.upstream.ask(&question, Transport::Tcp, &view.servers).await.unwrap_or(otherwise)
            }
        };
        timeout(IDLE, write_framed(&mut stream, &answer)).await??;
    }
    Ok(())
}
