//! Rows printed by a thread of their own, while the one that asks the database goes on.

use super::{Render, Rows};
use rusqlite::types::ValueRef;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// How many heaps of rows may wait to be printed.
const WAITING: usize = 4;

/// A renderer that is used by another thread from the first 64 KiB on; less costs no thread. Dropped before its end, it prints
/// what it was given and leaves the end out, as any renderer does.
pub struct Ahead {
    rows: Rows,
    state: State,
}

enum State {
    Here(Box<dyn Render + Send>),
    There(SyncSender<Given>, JoinHandle<io::Result<()>>),
    /// It has ended, or failed.
    Ended,
}

/// What the other thread is given: the renderer, rows, and the end.
enum Given {
    Renderer(Box<dyn Render + Send>),
    Rows(Rows),
    End,
}

impl Ahead {
    /// Into `inner`.
    pub fn new(inner: Box<dyn Render + Send>) -> Self {
        Ahead {
            rows: Rows::default(),
            state: State::Here(inner),
        }
    }

    /// Hands over what is gathered; from the first time on it is another thread that prints, where there can be one.
    fn hand_over(&mut self) -> io::Result<()> {
        if matches!(self.state, State::Here(_)) {
            let (give, take) = sync_channel(WAITING);
            let printer = thread::Builder::new().name("print".into());
            if let Ok(printer) = printer.spawn(move || print(&take))
                && let State::Here(inner) =
                    std::mem::replace(&mut self.state, State::There(give, printer))
            {
                self.give(Given::Renderer(inner))?;
            }
        }
        let rows = self.gathered();
        match &mut self.state {
            State::Here(inner) => rows.each(|values| inner.row(values)),
            _ => self.give(Given::Rows(rows)),
        }
    }

    /// The rows gathered so far, and room for as many more.
    fn gathered(&mut self) -> Rows {
        let more = self.rows.room();
        std::mem::replace(&mut self.rows, more)
    }

    /// Gives something to the other thread; the error with which it stopped.
    fn give(&mut self, what: Given) -> io::Result<()> {
        match &self.state {
            State::There(give, printer) if !printer.is_finished() && give.send(what).is_ok() => {
                Ok(())
            }
            _ => self
                .join()
                .and_then(|()| Err(io::Error::other("it has ended"))),
        }
    }

    /// Waits until all that was handed over is printed; the error that stopped it.
    fn join(&mut self) -> io::Result<()> {
        let State::There(give, printer) = std::mem::replace(&mut self.state, State::Ended) else {
            return Ok(());
        };
        drop(give);
        let printed = printer.join();
        printed.unwrap_or_else(|_| Err(io::Error::other("the printing thread failed")))
    }
}

fn print(given: &Receiver<Given>) -> io::Result<()> {
    let Ok(Given::Renderer(mut inner)) = given.recv() else {
        return Ok(());
    };
    loop {
        match given.recv() {
            Ok(Given::Rows(rows)) => rows.each(|values| inner.row(values))?,
            Ok(Given::End) => return inner.end(),
            Ok(Given::Renderer(_)) | Err(_) => return Ok(()),
        }
    }
}

impl Render for Ahead {
    fn begin(&mut self, columns: &[String]) -> io::Result<()> {
        match &mut self.state {
            State::Here(inner) => inner.begin(columns),
            _ => Ok(()),
        }
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.rows.push(values);
        let stopped = matches!(&self.state, State::There(_, printer) if printer.is_finished());
        if stopped || self.rows.size() >= Rows::MANY {
            self.hand_over()?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if let State::Here(inner) = &mut self.state {
            std::mem::take(&mut self.rows).each(|values| inner.row(values))?;
            return inner.end();
        }
        self.hand_over()?;
        self.give(Given::End)?;
        self.join()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let _ = match &mut self.state {
            State::Here(inner) => rows.each(|values| inner.row(values)),
            State::There(..) => self.give(Given::Rows(rows)).and_then(|()| self.join()),
            State::Ended => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Csv, Json};
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// What was written, and how much may be.
    #[derive(Clone)]
    struct Paper(Arc<Mutex<Vec<u8>>>, usize);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut paper = self.0.lock().unwrap();
            if paper.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            paper.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn render(rows: &[[ValueRef<'_>; 3]], out: &mut dyn Render) -> io::Result<()> {
        out.begin(&["a".into(), "b".into(), "c".into()])?;
        rows.iter().try_for_each(|row| out.row(row))?;
        out.end()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// The same as without a thread, whether there are few rows or many.
        #[test]
        fn the_same_rows(texts in proptest::collection::vec("[a-z]{0,20}", 1..50), times in prop_oneof![Just(1), Just(200), Just(3000)]) {
            let rows: Vec<[ValueRef<'_>; 3]> = (0..times).flat_map(|n| texts.iter().map(move |t| match n % 3 {
                0 => [ValueRef::Text(t.as_bytes()), ValueRef::Integer(n), ValueRef::Null],
                1 => [ValueRef::Null, ValueRef::Blob(t.as_bytes()), ValueRef::Text(b"x")],
                _ => [ValueRef::Real(n as f64), ValueRef::Text(b""), ValueRef::Blob(t.as_bytes())],
            })).collect();
            let (want, got) = (Paper(Arc::default(), usize::MAX), Paper(Arc::default(), usize::MAX));
            render(&rows, &mut Json::new(want.clone())).unwrap();
            render(&rows, &mut Ahead::new(Box::new(Json::new(got.clone())))).unwrap();
            prop_assert!(*got.0.lock().unwrap() == *want.0.lock().unwrap());
        }
    }

    /// Where the query fails, what it gave is printed, and no end that would make it look whole.
    #[test]
    fn what_is_cut_short_has_no_end() {
        let row = [
            ValueRef::Text(b"some text"),
            ValueRef::Null,
            ValueRef::Integer(7),
        ];
        for n in [3, 30_000] {
            let print = |ahead: bool| {
                let paper = Paper(Arc::default(), usize::MAX);
                let inner: Box<dyn Render + Send> = Box::new(Json::new(paper.clone()));
                let mut out: Box<dyn Render> = match ahead {
                    true => Box::new(Ahead::new(inner)),
                    false => inner,
                };
                out.begin(&["a".into(), "b".into(), "c".into()]).unwrap();
                (0..n).for_each(|_| out.row(&row).unwrap());
                drop(out);
                paper.0.lock().unwrap().clone()
            };
            let printed = print(true);
            assert!(printed == print(false) && printed.len() > n * 20);
            assert!(serde_json::from_slice::<serde_json::Value>(&printed).is_err());
        }
    }

    /// A reader that goes away ends it, whenever that is.
    #[test]
    fn what_cannot_be_written_is_told() {
        let rows = vec![
            [
                ValueRef::Text(b"some text"),
                ValueRef::Null,
                ValueRef::Integer(7)
            ];
            200_000
        ];
        for most in [0, 100_000, 2_500_000] {
            let inner = Box::new(Csv::new(Paper(Arc::default(), most)));
            let error = render(&rows, &mut Ahead::new(inner)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{most}");
        }
    }
}
