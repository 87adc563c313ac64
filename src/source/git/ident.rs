//! `ident`: `$Id$` becomes `$Id: <the blob's id> $` on checkout (gitattributes(5)).
//!
//! git has two ways to do it, which differ in what they take for a keyword: one for bodies that it streams, one for those it
//! holds whole (convert.c, `ident_filter_fn` and `ident_to_worktree`). A body is cut here where git would cut it, oddities
//! included, and is never copied.

use std::ops::Range;

use git2::Oid;

/// By which of git's two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ident {
    Streamed,
    Whole,
}

/// A stretch of what is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of the body as it is stored.
    Stored(Range<usize>),
    /// What follows `$Id`.
    Id,
}

/// Goes through a body, which every call is handed anew.
#[derive(Debug)]
pub(super) struct Pieces {
    ident: Option<Ident>,
    text: String,
    /// What was given away already.
    from: usize,
    /// Where the next keyword is looked for.
    at: usize,
    /// Where what git's stream still holds back begins: `$Idx` stays there until something else follows.
    held: Option<usize>,
    id_is_next: bool,
}

/// A keyword: what is kept of it ends here, and the body goes on there.
struct Keyword {
    end: usize,
    resume: usize,
}

impl Pieces {
    /// Without `ident` the body is one piece.
    pub fn new(ident: Option<Ident>, id: Oid) -> Self {
        Self { ident, text: format!(": {id} $"), from: 0, at: 0, held: None, id_is_next: false }
    }

    /// What stands for [`Piece::Id`].
    pub fn id(&self) -> &[u8] {
        self.text.as_bytes()
    }

    pub fn next(&mut self, body: &[u8]) -> Option<Piece> {
        if std::mem::take(&mut self.id_is_next) {
            return Some(Piece::Id);
        }
        let from = self.from;
        let keyword = match self.ident {
            None => None,
            Some(Ident::Streamed) => self.streamed(body),
            Some(Ident::Whole) => self.whole(body),
        };
        let is_keyword = keyword.is_some();
        let Keyword { end, resume } = keyword.unwrap_or(Keyword { end: body.len(), resume: body.len() });
        (self.from, self.at, self.held, self.id_is_next) = (resume, resume, None, is_keyword);
        (end > from).then_some(Piece::Stored(from..end)).or_else(|| self.next_id())
    }

    fn next_id(&mut self) -> Option<Piece> {
        std::mem::take(&mut self.id_is_next).then_some(Piece::Id)
    }

    /// `ident_to_worktree`.
    fn whole(&self, body: &[u8]) -> Option<Keyword> {
        let mut at = self.at;
        loop {
            let name = find(body, at, b"$")? + 1;
            at = name;
            let rest = &body[name..];
            if rest.len() < 3 || !rest.starts_with(b"Id") {
                continue;
            }
            match rest[2] {
                b'$' => return Some(Keyword { end: name + 2, resume: name + 3 }),
                b':' => {
                    let dollar = find(body, name + 3, b"$")?;
                    let value = &body[name + 3..dollar];
                    // A space that is neither the first nor the last character: some other system's keyword.
                    let inner = value.get(1..value.len().max(2) - 1).unwrap_or_default();
                    if !value.contains(&b'\n') && !inner.contains(&b' ') {
                        return Some(Keyword { end: name + 2, resume: dollar + 1 });
                    }
                }
                _ => {}
            }
        }
    }

    /// `ident_filter_fn`: after every near miss it goes on behind the byte that missed, even where that is a dollar.
    fn streamed(&mut self, body: &[u8]) -> Option<Keyword> {
        loop {
            let dollar = find(body, self.at, b"$")?;
            // What is held back is given away by the first byte that begins no keyword.
            let held = self.held.take().filter(|_| dollar == self.at).unwrap_or(dollar);
            let follows = |n: usize| body.get(dollar + n).copied();
            if let Some(miss) = (1..3).find(|n| follows(*n) != Some(b"$Id"[*n])) {
                follows(miss)?;
                self.at = dollar + miss + 1;
                continue;
            }
            match follows(3)? {
                b'$' => return Some(Keyword { end: dollar + 3, resume: dollar + 4 }),
                b':' => {
                    let end = find(body, dollar + 4, b"$\n")?;
                    if body[end] == b'$' && !is_foreign(&body[held..=end]) {
                        return Some(Keyword { end: held + 3, resume: end + 1 });
                    }
                    self.at = end + 1;
                }
                // C's string "$Id" has a fourth byte, and this matches it.
                0 => {
                    follows(4)?;
                    self.at = dollar + 5;
                }
                _ => {
                    self.held = Some(held);
                    self.at = dollar + 4;
                }
            }
        }
    }
}

/// convert.c, `is_foreign_ident`, which reads a C string.
fn is_foreign(text: &[u8]) -> bool {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    let Some(value) = text.strip_prefix(b"$Id: ") else { return false };
    let blank = |b: u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
    (0..value.len()).any(|n| blank(value[n]) && value.get(n + 1) != Some(&b'$'))
}

/// The first of these bytes, from here on.
fn find(body: &[u8], from: usize, any: &[u8]) -> Option<usize> {
    let found = body.get(from..)?.iter().position(|b| any.contains(b))?;
    Some(from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(ident: Ident, body: &str) -> String {
        let mut pieces = Pieces::new(Some(ident), Oid::ZERO_SHA1);
        let mut out = String::new();
        while let Some(piece) = pieces.next(body.as_bytes()) {
            match piece {
                Piece::Stored(range) => out.push_str(&body[range]),
                Piece::Id => out.push('@'),
            }
        }
        out
    }

    #[test]
    fn keywords_are_cut_as_git_cuts_them() {
        for (body, streamed, whole) in [
            ("", "", ""),
            ("no keyword", "no keyword", "no keyword"),
            ("$Id$", "$Id@", "$Id@"),
            ("a $Id$ b $Id$", "a $Id@ b $Id@", "a $Id@ b $Id@"),
            ("$Id: old $\n", "$Id@\n", "$Id@\n"),
            ("$Id:$", "$Id@", "$Id@"),
            ("$Id: a,v 1.2 $", "$Id: a,v 1.2 $", "$Id: a,v 1.2 $"),
            ("$Id: cut\noff $", "$Id: cut\noff $", "$Id: cut\noff $"),
            ("$Id", "$Id", "$Id"),
            ("$Id: open", "$Id: open", "$Id: open"),
            // Where the two differ.
            ("$$Id$", "$$Id$", "$$Id@"),
            ("$Idx$Id: y$", "$Id@", "$Idx$Id@"),
            ("$Idx.$Id: y$", "$Idx.$Id@", "$Idx.$Id@"),
        ] {
            assert_eq!((expanded(Ident::Streamed, body), expanded(Ident::Whole, body)), (streamed.into(), whole.into()), "{body:?}");
        }
    }
}
