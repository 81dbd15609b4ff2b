//! What a make-believe program does, worked out from its arguments alone.
//!
//! Tests and client development need containers that print, read, fail and end in a predictable way. So a handful of
//! busybox's commands are understood, and of `sh -c` scripts those that are plain lists of such commands. Whatever is not
//! understood runs until a signal ends it. Called by [`crate::process`] when a container or an exec starts.

use lighter_domain::Signal;
use lighter_engine::stdcopy::Stream;
use std::collections::VecDeque;

/// The longest script that is looked at, in bytes; a longer one counts as not understood.
const MAX_SCRIPT: usize = 64 * 1024;

/// The most lines that one script counts: they are printed while a caller waits.
const MAX_LINES: u64 = 1_000_000;

/// One thing that a program does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Print(Stream, Vec<u8>),
    /// The numbers `next..=last`, one a line.
    Count {
        next: u64,
        last: u64,
    },
    /// Standard input to standard output, until it ends.
    Copy,
    /// Each line of standard input is a script.
    Shell,
    /// Until a signal.
    Sleep,
    /// Sets what a plain `exit`, or the end, gives.
    Status(i32),
    /// From now on this signal ends the program with this code.
    Trap(Signal, i32),
    /// `None`: with the last status.
    Exit(Option<i32>),
}

/// A program that cannot be started: the container's exit code and Docker's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotStarted {
    pub exit_code: i32,
    pub message: String,
}

/// The steps of `path args`.
pub(crate) fn interpret(path: &str, args: &[String]) -> Result<VecDeque<Step>, NotStarted> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name == "nosuch" || path.is_empty() {
        let why = if path.contains('/') {
            format!("stat {path}: no such file or directory")
        } else {
            "executable file not found in $PATH".to_owned()
        };
        return Err(NotStarted { exit_code: 127, message: format!("exec: \"{path}\": {why}") });
    }
    if path.starts_with("/etc/") || path.ends_with('/') {
        return Err(NotStarted { exit_code: 126, message: format!("exec: \"{path}\": permission denied") });
    }
    let words: Vec<String> = std::iter::once(name.to_owned()).chain(args.iter().cloned()).collect();
    Ok(command(&words, Stream::Stdout).filter(|steps| is_modest(steps)).unwrap_or_else(|| vec![Step::Sleep]).into())
}

/// The steps of a script, or one endless step when it is more than a list of known commands.
pub(crate) fn script(text: &str) -> Vec<Step> {
    parse_script(text).filter(|steps| is_modest(steps)).unwrap_or_else(|| vec![Step::Sleep])
}

fn is_modest(steps: &[Step]) -> bool {
    let lines = |step: &Step| match step {
        Step::Count { next, last } => last.saturating_sub(*next),
        _ => 0,
    };
    steps.iter().map(lines).fold(0, u64::saturating_add) <= MAX_LINES
}

fn command(words: &[String], to: Stream) -> Option<Vec<Step>> {
    let (name, args) = words.split_first()?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Some(match (name.as_str(), args.as_slice()) {
        ("true" | ":", _) => vec![Step::Status(0)],
        ("false", _) => vec![Step::Status(1)],
        ("echo", ["-n", rest @ ..]) => vec![Step::Print(to, rest.join(" ").into_bytes()), Step::Status(0)],
        ("echo", rest) => vec![Step::Print(to, (rest.join(" ") + "\n").into_bytes()), Step::Status(0)],
        ("seq", [last]) => vec![Step::Count { next: 1, last: last.parse().ok()? }, Step::Status(0)],
        ("seq", [first, last]) => vec![Step::Count { next: first.parse().ok()?, last: last.parse().ok()? }, Step::Status(0)],
        ("cat", []) => vec![Step::Copy, Step::Status(0)],
        ("exit", []) => vec![Step::Exit(None)],
        ("exit", [code]) => vec![Step::Exit(Some(code.parse::<u8>().ok()?.into()))],
        ("trap", [action, signal]) => {
            let code = action.strip_prefix("exit")?.trim();
            vec![Step::Trap(Signal::parse(signal).ok()?, code.parse::<u8>().ok()?.into())]
        }
        ("sh" | "ash" | "bash", []) => vec![Step::Shell],
        ("sh" | "ash" | "bash", ["-c", text, ..]) => script(text),
        // `-e` ends it at the first command that fails; of one command that is all the same, and of several nobody is fooled.
        ("sh" | "ash" | "bash", ["-ec", text]) if text.lines().count() <= 1 => script(text),
        ("sleep", ["0"]) => vec![Step::Status(0)],
        ("sleep" | "wait", _) => vec![Step::Sleep],
        _ => return None,
    })
}

fn parse_script(text: &str) -> Option<Vec<Step>> {
    if text.len() > MAX_SCRIPT {
        return None;
    }
    let mut steps = Vec::new();
    let (mut words, mut to) = (Vec::new(), Stream::Stdout);
    for token in tokens(text)?.into_iter().chain([Token::End]) {
        match token {
            Token::Word(word) => words.push(word),
            Token::ToStderr => to = Stream::Stderr,
            Token::End => {
                let words = std::mem::take(&mut words);
                let to = std::mem::replace(&mut to, Stream::Stdout);
                match words.first().map(String::as_str) {
                    None => {}
                    Some("exec") => steps.extend(command(&words[1..], to)?),
                    Some("nosuch") => {
                        steps.push(Step::Print(Stream::Stderr, b"sh: nosuch: not found\n".to_vec()));
                        steps.push(Step::Status(127));
                    }
                    // A shell in a shell would end the outer one with `exit`.
                    Some("sh" | "ash" | "bash") => return None,
                    Some(_) => steps.extend(command(&words, to)?),
                }
            }
            // Something in the background that nobody hears of again.
            Token::Background => match words.first().map(String::as_str) {
                Some("sleep") => words.clear(),
                _ => return None,
            },
        }
    }
    Some(steps)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    ToStderr,
    Background,
    End,
}

/// Splits a script into words and the few operators that are understood; `None` for anything that needs a real shell.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | ';' | '&' => {
                tokens.extend(word.take().map(Token::Word));
                match c {
                    '&' if chars.peek() == Some(&'&') => return None,
                    '&' => tokens.push(Token::Background),
                    '\n' | ';' => tokens.push(Token::End),
                    _ => {}
                }
            }
            '>' if word.is_none() && chars.next_if_eq(&'&').is_some() && chars.next_if_eq(&'2').is_some() => {
                tokens.push(Token::ToStderr);
            }
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '$' | '`' | '\\' if c == '"' => return None,
                        other => text.push(other),
                    }
                }
            }
            '$' | '`' | '\\' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | '#' => return None,
            other => word.get_or_insert_default().push(other),
        }
    }
    tokens.extend(word.map(Token::Word));
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(argv: &[&str]) -> Vec<Step> {
        let args: Vec<String> = argv[1..].iter().map(|s| (*s).to_owned()).collect();
        interpret(argv[0], &args).unwrap().into()
    }

    #[test]
    fn simple_commands() {
        assert_eq!(run(&["/bin/true"]), [Step::Status(0)]);
        assert_eq!(run(&["echo", "a", "b"]), [Step::Print(Stream::Stdout, b"a b\n".to_vec()), Step::Status(0)]);
        assert_eq!(run(&["sh", "-c", "exit 7"]), [Step::Exit(Some(7))]);
        assert_eq!(run(&["sleep", "5"]), [Step::Sleep]);
        assert_eq!(run(&["nginx", "-g", "daemon off;"]), [Step::Sleep]);
    }

    #[test]
    fn scripts() {
        assert_eq!(
            script("trap 'exit 3' TERM; echo \"x  y\" >&2\nsleep 9 & wait"),
            [Step::Trap(Signal::TERM, 3), Step::Print(Stream::Stderr, b"x  y\n".to_vec()), Step::Status(0), Step::Sleep]
        );
        for hard in [
            "echo $HOME",
            "a && b",
            "echo a | cat",
            "echo 'open",
            "while true; do :; done",
            "(true)",
            "sh -c 'exit 1'",
            "seq 900000; seq 900000",
        ] {
            assert_eq!(script(hard), [Step::Sleep], "{hard}");
        }
    }

    #[test]
    fn what_does_not_start() {
        let text = |p: &str| interpret(p, &[]).unwrap_err();
        assert_eq!(text("nosuch").message, "exec: \"nosuch\": executable file not found in $PATH");
        assert_eq!(text("/x/nosuch").exit_code, 127);
        assert_eq!(text("/etc/passwd").exit_code, 126);
    }
}
