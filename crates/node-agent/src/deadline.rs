//! Jobs one after the other on one thread, which costs least; a job that hangs is left alone, and
//! another thread goes on with the rest.
//!
//! Used twice: for the collectors of a scrape, and for the mounts of the filesystem collector.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// What is to be done.
pub trait Jobs: Send + Sync + 'static {
    /// What a job says.
    type Answer: Send + 'static;
    /// What one thread needs for its jobs.
    type Tools;

    /// Called once by each thread.
    fn tools(&self) -> Self::Tools;
    /// Does a job.
    fn run(&self, at: usize, tools: &mut Self::Tools) -> Self::Answer;
    /// A job was given up and still runs.
    fn hung(&self, at: usize);
    /// A job that was given up has ended.
    fn returned(&self, at: usize);
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a job before the rest goes to another thread; the job goes on.
    pub move_on: Duration,
    /// For a job before it is given up.
    pub give_up: Duration,
}

/// Threads that wait for work.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    idle: Arc<Mutex<Vec<mpsc::Sender<Task>>>>,
}

type Task = Box<dyn FnOnce() + Send>;

/// More threads that have nothing to do are let go.
const MOST_IDLE: usize = 1;
const STACK_BYTES: usize = 512 << 10;

impl Crew {
    fn start(&self, task: Task) -> std::io::Result<()> {
        let waiting = self.idle.lock().pop();
        match waiting {
            None => self.spawn(task),
            // The thread waits until its sender is gone, and we have it.
            Some(thread) => match thread.send(task) {
                Ok(()) => Ok(()),
                Err(unsent) => self.spawn(unsent.0),
            },
        }
    }

    fn spawn(&self, first: Task) -> std::io::Result<()> {
        let crew = Arc::downgrade(&self.idle);
        let thread = std::thread::Builder::new().name("collect".to_owned());
        thread.stack_size(STACK_BYTES).spawn(move || {
            let mut task = Some(first);
            while let Some(work) = task.take() {
                work();
                task = wait(&crew);
            }
        })?;
        Ok(())
    }
}

/// The next task; none when there are enough threads, or the crew is no more.
fn wait(crew: &Weak<Mutex<Vec<mpsc::Sender<Task>>>>) -> Option<Task> {
    let (sender, receiver) = mpsc::channel();
    let idle = crew.upgrade()?;
    {
        let mut idle = idle.lock();
        if idle.len() >= MOST_IDLE {
            return None;
        }
        idle.push(sender);
    }
    drop(idle);
    receiver.recv().ok()
}

enum Slot<A> {
    Waiting,
    Running(Instant),
    Done(A),
    GivenUp,
}

struct Board<A> {
    slots: Vec<Slot<A>>,
    next: usize,
    /// The thread that may take the next job; those before it end with the job they have.
    front: usize,
    running: VecDeque<usize>,
}

impl<A> Board<A> {
    fn is_finished(&self) -> bool {
        self.next == self.slots.len() && self.running.is_empty()
    }
}

struct Shared<J: Jobs> {
    jobs: Arc<J>,
    board: Mutex<Board<J::Answer>>,
    changed: Condvar,
}

/// Does the jobs `0..count`. `None` for what was given up.
pub fn run<J: Jobs>(
    crew: &Crew,
    jobs: &Arc<J>,
    count: usize,
    patience: Patience,
) -> Vec<Option<J::Answer>> {
    let shared = Arc::new(Shared {
        jobs: jobs.clone(),
        board: Mutex::new(Board {
            slots: (0..count).map(|_| Slot::Waiting).collect(),
            next: 0,
            front: 0,
            running: VecDeque::new(),
        }),
        changed: Condvar::new(),
    });
    let mut started = start(crew, &shared, 0);
    let mut board = shared.board.lock();
    while started && !board.is_finished() {
        let now = Instant::now();
        let mut wake = now + patience.give_up;
        let running: Vec<usize> = board.running.iter().copied().collect();
        for at in running {
            let Slot::Running(since) = board.slots[at] else {
                continue;
            };
            if now >= since + patience.give_up {
                board.slots[at] = Slot::GivenUp;
                board.running.retain(|other| *other != at);
                jobs.hung(at);
                continue;
            }
            wake = wake.min(since + patience.give_up);
        }
        // The job before the next one is the front thread's: given up or slow, the rest moves on.
        let rest = board.next < count;
        if rest {
            // The threads say when all is done, not when they begin something.
            wake = wake.min(now + patience.move_on);
        }
        if let Some(at) = board.next.checked_sub(1).filter(|_| rest) {
            let late = match board.slots[at] {
                Slot::Running(since) => {
                    wake = wake.min(since + patience.move_on);
                    now >= since + patience.move_on
                }
                Slot::GivenUp => true,
                Slot::Waiting | Slot::Done(_) => false,
            };
            if late {
                board.front += 1;
                started = start(crew, &shared, board.front);
                // The new thread takes its first job under this lock.
                wake = now + patience.move_on;
            }
        }
        if !board.is_finished() {
            shared.changed.wait_until(&mut board, wake);
        }
    }
    let slots = std::mem::take(&mut board.slots);
    // A thread that is still at work finds no place for its answer.
    board.running.clear();
    let answers = slots.into_iter().map(|slot| match slot {
        Slot::Done(answer) => Some(answer),
        Slot::Waiting | Slot::Running(_) | Slot::GivenUp => None,
    });
    answers.collect()
}

fn start<J: Jobs>(crew: &Crew, shared: &Arc<Shared<J>>, me: usize) -> bool {
    let work = shared.clone();
    let started = crew.start(Box::new(move || work.work(me)));
    if let Err(error) = &started {
        tracing::error!(err = %error, "cannot start a thread for the collectors");
    }
    started.is_ok()
}

impl<J: Jobs> Shared<J> {
    fn work(&self, me: usize) {
        let mut tools = self.jobs.tools();
        let mut answer: Option<(usize, J::Answer)> = None;
        loop {
            let mut board = self.board.lock();
            let was_front = board.front == me;
            if let Some((at, answer)) = answer.take() {
                match board.slots.get_mut(at) {
                    Some(slot @ Slot::Running(_)) => {
                        *slot = Slot::Done(answer);
                        board.running.retain(|other| *other != at);
                    }
                    _ => {
                        drop(board);
                        self.jobs.returned(at);
                        return;
                    }
                }
            }
            let at = board.next;
            if !was_front || at >= board.slots.len() {
                if board.is_finished() {
                    self.changed.notify_one();
                }
                return;
            }
            board.next += 1;
            board.slots[at] = Slot::Running(Instant::now());
            board.running.push_back(at);
            drop(board);
            answer = Some((at, self.jobs.run(at, &mut tools)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What jobs 1 and 2 do; the others answer at once.
    type Work = Box<dyn Fn() + Send + Sync>;

    struct Two {
        work: Work,
        hung: AtomicUsize,
        returned: AtomicUsize,
    }

    impl Jobs for Two {
        type Answer = usize;
        type Tools = ();
        fn tools(&self) {}
        fn run(&self, at: usize, (): &mut ()) -> usize {
            if at == 1 || at == 2 {
                (self.work)();
            }
            at
        }
        fn hung(&self, _: usize) {
            self.hung.fetch_add(1, Ordering::SeqCst);
        }
        fn returned(&self, _: usize) {
            self.returned.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn two(work: Work) -> Arc<Two> {
        Arc::new(Two {
            work,
            hung: AtomicUsize::new(0),
            returned: AtomicUsize::new(0),
        })
    }

    fn patience(move_on: u64, give_up: u64) -> Patience {
        Patience {
            move_on: Duration::from_millis(move_on),
            give_up: Duration::from_millis(give_up),
        }
    }

    #[test]
    fn quick_jobs_take_one_thread() {
        let (crew, jobs) = (Crew::default(), two(Box::new(|| {})));
        for _ in 0..3 {
            let answers = run(&crew, &jobs, 5, patience(5000, 9000));
            assert_eq!(answers, [0, 1, 2, 3, 4].map(Some));
        }
        assert_eq!(run(&crew, &jobs, 0, patience(5000, 9000)), []);
        assert_eq!(jobs.hung.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn slow_jobs_are_waited_for_while_others_go_on() {
        // Neither ends before the other has begun.
        let both = Barrier::new(2);
        let jobs = two(Box::new(move || {
            both.wait();
        }));
        let answers = run(&Crew::default(), &jobs, 5, patience(20, 60_000));
        assert_eq!(answers, [0, 1, 2, 3, 4].map(Some));
    }

    #[test]
    fn hung_jobs_cost_themselves_only() {
        let (send, receive) = mpsc::channel::<()>();
        let receive = Mutex::new(receive);
        let jobs = two(Box::new(move || {
            let _ = receive.lock().recv();
        }));
        let answers = run(&Crew::default(), &jobs, 5, patience(20, 300));
        assert_eq!(answers, [Some(0), None, None, Some(3), Some(4)]);
        assert_eq!(jobs.hung.load(Ordering::SeqCst), 2);
        assert_eq!(jobs.returned.load(Ordering::SeqCst), 0);
        drop(send);
        while jobs.returned.load(Ordering::SeqCst) < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
