//! What a compiling child says: a word, a zero byte, and then the code, or the texts of the error with zero bytes
//! between them.

use super::super::LoadError;

/// The answer as bytes. A text has no zero byte: it would end there.
pub fn encode(result: Result<Vec<u8>, LoadError>) -> Vec<u8> {
    let (word, texts) = match result {
        Ok(code) => return [b"code\0".as_slice(), &code].concat(),
        Err(LoadError::NotAComponent { found, hint }) => ("not-a-component", vec![found, hint]),
        Err(LoadError::Malformed(detail)) => ("malformed", vec![detail]),
        Err(LoadError::Proposal { proposal, detail }) => ("proposal", vec![proposal, detail]),
        Err(LoadError::Bomb(what)) => ("bomb", vec![what]),
        Err(LoadError::Compile(why)) => ("compile", vec![why]),
        Err(other) => ("compile", vec![other.to_string()]),
    };
    let texts: Vec<_> = texts.iter().map(|text| text.replace('\0', "\u{fffd}")).collect();
    format!("{word}\0{}", texts.join("\0")).into_bytes()
}

/// The code, or the error, as [`encode`] was given it.
///
/// # Errors
/// The error of the child.
pub fn decode(mut answer: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    let end = answer.iter().position(|byte| *byte == 0).unwrap_or(answer.len());
    let rest = answer.split_off((end + 1).min(answer.len()));
    if answer == b"code\0" {
        return Ok(rest);
    }
    let rest = String::from_utf8_lossy(&rest).into_owned();
    let (first, second) = rest.split_once('\0').map_or((&*rest, ""), |texts| texts);
    let (first, second) = (first.to_owned(), second.to_owned());
    Err(match &*answer {
        b"not-a-component\0" => LoadError::NotAComponent { found: first, hint: second },
        b"malformed\0" => LoadError::Malformed(first),
        b"proposal\0" => LoadError::Proposal { proposal: first, detail: second },
        b"bomb\0" => LoadError::Bomb(first),
        b"compile\0" => LoadError::Compile(first),
        _ => LoadError::CompileLost("it gave no answer".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_the_same_on_both_sides() {
        let (found, hint) = ("text".to_owned(), "; is the path right?".to_owned());
        let errors = [
            LoadError::NotAComponent { found, hint },
            LoadError::Malformed("at 7\nof 9".to_owned()),
            LoadError::Proposal { proposal: "gc".to_owned(), detail: "at 7".to_owned() },
            LoadError::Bomb("60001 functions".to_owned()),
            LoadError::Compile("\u{fc}".to_owned()),
        ];
        for error in errors {
            let text = format!("{error:?}");
            assert_eq!(format!("{:?}", decode(encode(Err(error))).unwrap_err()), text);
        }
    }

    #[test]
    fn code_is_handed_over_as_it_is_and_no_answer_is_an_error() {
        for code in [vec![], vec![0], b"code\0code\0".to_vec()] {
            assert_eq!(decode(encode(Ok(code.clone()))).unwrap(), code);
        }
        for nothing in [&b""[..], b"code", b"co\0de", b"\0"] {
            assert!(matches!(decode(nothing.to_vec()), Err(LoadError::CompileLost(_))));
        }
    }
}
