//! Asks for a password: without showing it on a terminal, else from the first line of standard input.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

/// The longest password, so that no stream without a line end fills the memory.
const MAX: u64 = 1024;

/// What somebody types, without the line end. [`io::ErrorKind::Interrupted`] is Ctrl-C.
pub(super) fn password(question: &str) -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return line(&mut io::stdin().lock());
    }
    // The terminal itself, whatever standard output is.
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    (&terminal).write_all(question.as_bytes())?;
    let silence = Silence::of(&terminal)?;
    let typed = typed(BufReader::new(&terminal));
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

/// What is typed on a silent terminal, key by key. Ctrl-C is a key here and no signal: a signal would end us before the
/// terminal shows again what is typed.
fn typed(from: impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    for key in from.bytes() {
        match key? {
            0x03 => return Err(io::ErrorKind::Interrupted.into()),
            0x04 | b'\r' | b'\n' => break,
            0x08 | 0x7f => {
                // A character with all its bytes.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            0x15 => line.clear(),
            byte => line.push(byte),
        }
        if line.len() as u64 > MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A terminal that shows nothing of what is typed and hands on each key, until this is dropped.
struct Silence<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silence<'t> {
    fn of(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
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

    #[test]
    fn keys_that_mend_a_line_are_known() {
        let read = |keys: &str| typed(keys.as_bytes()).map_err(|e| e.kind());
        assert_eq!(read("tiger\r more").as_deref(), Ok("tiger"));
        assert_eq!(read("no\u{15}tié\u{7f}\u{8}ger\n").as_deref(), Ok("tger"));
        assert_eq!(read("\u{7f}a\u{4}").as_deref(), Ok("a"));
        assert_eq!(read("tiger\u{3}"), Err(io::ErrorKind::Interrupted));
        assert_eq!(read(&"x".repeat(2000)), Err(io::ErrorKind::InvalidData));
    }
}
