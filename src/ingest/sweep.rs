//! An ordered, bounded, parallel list of work.
//!
//! Tasks stand in a line. Workers always take the earliest task not yet taken; a finished task leaves its output
//! and may put further tasks right behind itself. The one consumer gets outputs strictly in the order of the line,
//! whoever made them and whenever. So the result does not depend on the number of workers, and since everybody works
//! near the head of the line, little waits in memory: when more than a limit does, only the head is worked on.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Outputs are handed over when this much weight is ready, to wake the consumer seldom.
const HAND_OVER: usize = 4096;
/// Weight that may wait before workers hold back: some 40 MiB, and as long as the consumer takes over an index.
const LIMIT: usize = 256 * 1024;

const NONE: usize = usize::MAX;

struct Node<T, O> {
    task: Option<T>,
    output: Option<(O, usize)>,
    done: bool,
    next: usize,
    /// The line of unfinished nodes, a part of the whole line.
    open_next: usize,
    open_prev: usize,
}

struct Line<T, O> {
    nodes: Vec<Node<T, O>>,
    free: Vec<usize>,
    head: usize,
    tail: usize,
    open_head: usize,
    open_tail: usize,
    waiting: usize, // weight of outputs not yet consumed
    aborted: bool,
}

/// The list. `T` is a task, `O` an output.
pub struct Sweep<T, O> {
    line: Mutex<Line<T, O>>,
    /// Something changed for workers.
    work: Condvar,
    /// Something changed for the consumer.
    ready: Condvar,
}

impl<T, O> Sweep<T, O> {
    /// A list of these tasks.
    pub fn new(tasks: impl IntoIterator<Item = T>) -> Self {
        let mut line = Line {
            nodes: Vec::new(),
            free: Vec::new(),
            head: NONE,
            tail: NONE,
            open_head: NONE,
            open_tail: NONE,
            waiting: 0,
            aborted: false,
        };
        for task in tasks {
            line.insert_after(line.tail, line.open_tail, task);
        }
        Sweep {
            line: Mutex::new(line),
            work: Condvar::new(),
            ready: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line<T, O>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until the list is empty. `step` turns a task into an output, its weight, and the tasks that follow it.
    /// When `step` panics the list is aborted, so that nobody waits for ever.
    pub fn work(&self, mut step: impl FnMut(T) -> (O, usize, Vec<T>)) {
        struct AbortOnUnwind<'a, T, O>(&'a Sweep<T, O>);
        impl<T, O> Drop for AbortOnUnwind<'_, T, O> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.abort();
                }
            }
        }
        let _guard = AbortOnUnwind(self);
        let mut line = self.lock();
        loop {
            let Some((at, task)) = self.take(line) else {
                return;
            };
            let (output, weight, more) = step(task);
            line = self.lock();
            line.finish(at, output, weight, more);
            if line.consumer_may_go() {
                self.ready.notify_one();
            }
            self.work.notify_all();
        }
    }

    /// Waits for the earliest task not yet taken; `None` when there will be no more.
    fn take(&self, mut line: MutexGuard<'_, Line<T, O>>) -> Option<(usize, T)> {
        loop {
            if line.aborted || line.open_head == NONE {
                return None;
            }
            if let Some(at) = line.earliest()
                && (line.waiting < LIMIT || at == line.head)
            {
                let task = line.nodes[at].task.take()?;
                return Some((at, task));
            }
            line = self.work.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next outputs in order, waiting for them; `None` at the end, or after an abort.
    pub fn next(&self) -> Option<VecDeque<O>> {
        let mut line = self.lock();
        loop {
            if line.aborted {
                return None;
            }
            if line.consumer_may_go() {
                let out = line.drain();
                self.work.notify_all();
                return Some(out).filter(|o| !o.is_empty());
            }
            line = self
                .ready
                .wait(line)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all work soon: the consumer cannot go on.
    pub fn abort(&self) {
        self.lock().aborted = true;
        self.work.notify_all();
        self.ready.notify_all();
    }
}

impl<T, O> Line<T, O> {
    /// Puts a task behind node `after` of the whole line and `open_after` of the unfinished ones.
    fn insert_after(&mut self, after: usize, open_after: usize, task: T) -> usize {
        let next = if after == NONE {
            self.head
        } else {
            self.nodes[after].next
        };
        let open_next = if open_after == NONE {
            self.open_head
        } else {
            self.nodes[open_after].open_next
        };
        let node = Node {
            task: Some(task),
            output: None,
            done: false,
            next,
            open_next,
            open_prev: open_after,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        match after {
            NONE => self.head = at,
            after => self.nodes[after].next = at,
        }
        if next == NONE {
            self.tail = at;
        }
        match open_after {
            NONE => self.open_head = at,
            open_after => self.nodes[open_after].open_next = at,
        }
        match open_next {
            NONE => self.open_tail = at,
            open_next => self.nodes[open_next].open_prev = at,
        }
        at
    }

    /// The earliest task nobody has taken. Only taken ones stand before it: as many as there are workers.
    fn earliest(&self) -> Option<usize> {
        let mut at = self.open_head;
        while at != NONE {
            if self.nodes[at].task.is_some() {
                return Some(at);
            }
            at = self.nodes[at].open_next;
        }
        None
    }

    fn finish(&mut self, at: usize, output: O, weight: usize, more: Vec<T>) {
        let (mut after, mut open_after) = (at, at);
        for task in more {
            after = self.insert_after(after, open_after, task);
            open_after = after;
        }
        let node = &mut self.nodes[at];
        node.output = Some((output, weight));
        node.done = true;
        let (prev, next) = (node.open_prev, node.open_next);
        match prev {
            NONE => self.open_head = next,
            prev => self.nodes[prev].open_next = next,
        }
        match next {
            NONE => self.open_tail = prev,
            next => self.nodes[next].open_prev = prev,
        }
        self.waiting += weight;
    }

    /// Whether it is worth waking the consumer: enough is ready, or nothing more will come before it is taken.
    fn consumer_may_go(&self) -> bool {
        let head_done = self.head == NONE || self.nodes[self.head].done;
        self.aborted || (head_done && (self.waiting >= HAND_OVER || self.open_head == NONE))
    }

    fn drain(&mut self) -> VecDeque<O> {
        let mut out = VecDeque::new();
        while self.head != NONE && self.nodes[self.head].done {
            let at = self.head;
            if let Some((o, weight)) = self.nodes[at].output.take() {
                self.waiting -= weight;
                out.push_back(o);
            }
            self.head = self.nodes[at].next;
            self.free.push(at);
        }
        if self.head == NONE {
            self.tail = NONE;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tree of work: a node's output is its label, its children follow it.
    #[derive(Clone, Debug)]
    struct Tree(u32, Vec<Tree>);

    fn tree() -> impl Strategy<Value = Tree> {
        any::<u32>()
            .prop_map(|n| Tree(n, Vec::new()))
            .prop_recursive(6, 200, 8, |inner| {
                (any::<u32>(), proptest::collection::vec(inner, 0..8))
                    .prop_map(|(n, kids)| Tree(n, kids))
            })
    }

    fn preorder(t: &Tree, out: &mut Vec<u32>) {
        out.push(t.0);
        t.1.iter().for_each(|k| preorder(k, out));
    }

    proptest! {
        #[test]
        fn outputs_come_in_order_whoever_works(trees in proptest::collection::vec(tree(), 0..5), workers in 1usize..6, weight in prop_oneof![Just(1usize), Just(5000), Just(200_000)]) {
            let mut want = Vec::new();
            trees.iter().for_each(|t| preorder(t, &mut want));
            let sweep = Sweep::new(trees);
            let mut got = Vec::new();
            std::thread::scope(|s| {
                for _ in 0..workers {
                    s.spawn(|| sweep.work(|t: Tree| (t.0, weight, t.1)));
                }
                while let Some(batch) = sweep.next() {
                    got.extend(batch);
                }
            });
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn an_abort_ends_it() {
        let sweep: Sweep<u32, u32> = Sweep::new(0..100);
        std::thread::scope(|s| {
            s.spawn(|| sweep.work(|t| (t, 1_000_000, Vec::new())));
            assert!(sweep.next().is_some());
            sweep.abort();
            assert!(sweep.next().is_none());
        });
    }

    #[test]
    fn a_panic_in_a_worker_does_not_hang_the_consumer() {
        let sweep: Sweep<u32, u32> = Sweep::new(0..3);
        std::thread::scope(|s| {
            let worker = s.spawn(|| {
                sweep.work(|t| {
                    if t == 1 {
                        panic!("on purpose")
                    } else {
                        (t, 1, Vec::new())
                    }
                })
            });
            while sweep.next().is_some() {}
            assert!(worker.join().is_err());
        });
    }
}
