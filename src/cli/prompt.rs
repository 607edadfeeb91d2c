//! Asks for a password: without showing it on a terminal, else from the first line of standard input.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

/// The longest password, so that no stream without a line end fills the memory.
const MAX: u64 = 1024;

/// What somebody types, without the line end.
pub(super) fn password(question: &str) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return line(&mut io::stdin().lock());
    }
    // The terminal itself, whatever standard output is.
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    (&terminal).write_all(question.as_bytes())?;
    let silence = Silence::of(&terminal)?;
    let typed = line(&mut BufReader::new(&terminal));
    drop(silence);
    (&terminal).write_all(b"\n")?;
    typed
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX + 1).read_line(&mut line)?;
    let kept = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(kept);
    if kept as u64 > MAX { Err(io::ErrorKind::InvalidData.into()) } else { Ok(line) }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silence<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silence<'t> {
    fn of(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_without_its_end() {
        let read = |text: &str| line(&mut text.as_bytes());
        assert_eq!(read("tiger\r\nmore").unwrap(), "tiger");
        assert_eq!(read(" ti ger ").unwrap(), " ti ger ");
        assert_eq!(read("").unwrap(), "");
        assert!(read(&"x".repeat(2000)).is_err());
        assert!(line(&mut [0xff, b'\n'].as_slice()).is_err());
    }
}
