//! Who follows a log is told when its directory changes. One inotify descriptor for the whole engine: there are few of them
//! per user, and followers are many (the daemon itself follows every container).

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// Watches directories. Made at first use.
#[derive(Default)]
pub(crate) struct Watcher {
    shared: Mutex<Option<Arc<Shared>>>,
}

struct Shared {
    inotify: AsyncFd<OwnedFd>,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    by_path: HashMap<PathBuf, Weak<Watch>>,
    by_number: HashMap<i32, Weak<Watch>>,
}

/// Interest in one directory; ends when dropped.
pub(crate) struct Watch {
    path: PathBuf,
    number: i32,
    changes: watch::Sender<u64>,
    shared: Weak<Shared>,
}

impl Watcher {
    /// Watches `dir` from now on. Needs a tokio runtime.
    pub(crate) fn watch(&self, dir: &Path) -> io::Result<Arc<Watch>> {
        let shared = self.shared()?;
        let mut watched = shared.watched.lock();
        if let Some(watch) = watched.by_path.get(dir).and_then(Weak::upgrade) {
            return Ok(watch);
        }
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(shared.inotify.get_ref(), dir, flags)?;
        let watch =
            Arc::new(Watch { path: dir.to_owned(), number, changes: watch::Sender::new(0), shared: Arc::downgrade(&shared) });
        watched.by_path.insert(dir.to_owned(), Arc::downgrade(&watch));
        watched.by_number.insert(number, Arc::downgrade(&watch));
        Ok(watch)
    }

    fn shared(&self) -> io::Result<Arc<Shared>> {
        let mut slot = self.shared.lock();
        if let Some(shared) = &*slot {
            return Ok(Arc::clone(shared));
        }
        let inotify = crate::sys::readable(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)?;
        let shared = Arc::new(Shared { inotify, watched: Mutex::default() });
        let reader = Arc::downgrade(&shared);
        tokio::spawn(pass_on(reader));
        *slot = Some(Arc::clone(&shared));
        Ok(shared)
    }
}

impl Watch {
    /// Changes from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut watched = shared.watched.lock();
        // Another may have taken our place while the last user of this one went away.
        let replaced = watched.by_path.get(&self.path).is_some_and(|w| w.strong_count() > 0);
        if !replaced {
            watched.by_path.remove(&self.path);
            watched.by_number.remove(&self.number);
            let _ = inotify::remove_watch(shared.inotify.get_ref(), self.number);
        }
    }
}

/// Reads events until the watcher is gone.
async fn pass_on(shared: Weak<Shared>) {
    let mut space = [MaybeUninit::uninit(); 4096];
    while let Some(shared) = shared.upgrade() {
        let Ok(mut ready) = shared.inotify.readable().await else { return };
        let mut reader = inotify::Reader::new(shared.inotify.get_ref(), &mut space);
        let mut changed = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    changed.push(event.wd());
                    if reader.is_buffer_empty() {
                        break;
                    }
                }
                Err(_) => {
                    ready.clear_ready();
                    break;
                }
            }
        }
        changed.sort_unstable();
        changed.dedup();
        let watched = shared.watched.lock();
        let everybody = changed.contains(&-1); // events were lost
        for (number, watch) in &watched.by_number {
            if (everybody || changed.binary_search(number).is_ok())
                && let Some(watch) = watch.upgrade()
            {
                watch.changes.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
    }
}
