//! MP4 and M4A: boxes, in each of which may lie others.
//!
//! A box is its length (4 bytes; 1: eight bytes behind the kind; 0: up to the end), its kind, and
//! its content. The tags are items of `moov/udta/meta/ilst`; a free one, `----`, holds who defined
//! it (`mean`), its name, and texts (`data`). Some tables say where in the file sound lies. What
//! lies behind `moov` moves as that grows, and so do they; where a place might not move with its
//! sound, the file is left alone.

use std::ops::Range;

use super::content::{Content, Edit, length};
use super::{Container, MOOD, NOT_TEXT, Part, SEPARATOR};
use crate::{Error, Result};

/// Who defined the free items that players read.
const MEAN: &[u8] = b"com.apple.iTunes";
/// What the content of a `data` is: not said, or text in UTF-8 or UTF-16.
const UNSAID: u32 = 0;
const UTF_8: u32 = 1;
const UTF_16: u32 = 2;
/// Says that items follow as iTunes writes them: version, a zero, and the names of both.
const HANDLER: &[u8] = b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0";
/// Boxes that hold nothing but others, on the way to tables.
const NESTED: [&[u8; 4]; 7] = [b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mfra"];
/// How many of these may lie in one another; four do.
const DEEPEST: usize = 8;
/// `tfhd`'s flag for a place in the file, and `trun`'s for how far it is from there.
const HAS_BASE: u32 = 1;
const HAS_OFFSET: u32 = 1;

/// Why places cannot be moved with certainty, and what to do.
const UNKNOWN: &str = "it has places of data that are not known how to move; copy its sound into \
                       another file with `ffmpeg -i INPUT -c copy OUTPUT.m4a`, and tag that";
const ACROSS: &str = "places of its fragments lie on the other side of its index (moov); copy its \
                      sound into another file with `ffmpeg -i INPUT -c copy OUTPUT.m4a`, and tag that";
const ASTRAY: &str = "places of its sound lead into its index (moov) or in front of its first box; \
                      remove the ID3 tag in front of it if it has one, or make the file anew";
const ENDLESS: &str = "a box that is no sound goes on to the end of the file, and programs differ in \
                       what they read there; it may be damaged: make or download the file anew";

#[derive(Clone)]
struct BoxAt {
    kind: [u8; 4],
    /// With its header.
    range: Range<u64>,
    /// Without.
    inner: Range<u64>,
}

/// The boxes in `range`, and what is too short for another.
fn boxes(content: &Content<'_>, range: Range<u64>) -> Result<(Vec<BoxAt>, Range<u64>)> {
    let broken = || Error::input("a box is not as long as it says");
    let (mut boxes, mut at) = (Vec::new(), range.start);
    while range.end - at >= 8 {
        let size = u32::from_be_bytes(content.array(at)?);
        let kind = content.array(at + 4)?;
        let (head, size) = match size {
            0 => (8, range.end - at),
            1 => (16, u64::from_be_bytes(content.array(at + 8)?)),
            size => (8, size.into()),
        };
        // The sound may be cut short; nothing stands behind it then.
        let cut = kind == *b"mdat" && range.end == content.len();
        let end = match at.checked_add(size).ok_or_else(broken)? {
            end if end > range.end && cut => range.end,
            end => end,
        };
        if size < head || end > range.end || at + head > end {
            return Err(broken());
        }
        boxes.push(BoxAt { kind, range: at..end, inner: at + head..end });
        at = end;
    }
    Ok((boxes, at..range.end))
}

/// Where the boxes in `it` stand.
fn contents(content: &Content<'_>, it: &BoxAt) -> Result<Range<u64>> {
    let inner = it.inner.clone();
    // Version and flags of four bytes, which QuickTime leaves out.
    if it.kind == *b"meta" && length(&inner) >= 8 && content.array(inner.start + 4)? != *b"hdlr" {
        return Ok(inner.start + 4..inner.end);
    }
    Ok(inner)
}

/// The place in `children` of the first of this kind that has a box of the `next` kind; without
/// one, of the first of this kind.
fn on_the_way(
    content: &Content<'_>,
    children: &[BoxAt],
    kind: &[u8; 4],
    next: Option<&&[u8; 4]>,
) -> Result<Option<usize>> {
    let mut first = None;
    for (index, child) in children.iter().enumerate().filter(|(_, child)| child.kind == *kind) {
        let (inner, _) = boxes(content, contents(content, child)?)?;
        if next.is_some_and(|next| inner.iter().any(|it| it.kind == **next)) {
            return Ok(Some(index));
        }
        first = first.or(Some(index));
    }
    Ok(first)
}

/// A table of places in the file.
struct Table {
    /// The box that holds it.
    range: Range<u64>,
    /// Where the first place stands, how many bytes it has, how far it is to the next, and how many
    /// there are.
    first: u64,
    width: usize,
    stride: u64,
    count: u64,
}

impl Table {
    /// The table in the box, if its kind has one.
    fn of(content: &Content<'_>, it: &BoxAt) -> Result<Option<Self>> {
        let at = it.inner.start;
        let number = |at: u64| content.array(at).map(u32::from_be_bytes);
        let (first, width, stride, count) = match &it.kind {
            b"stco" => (at + 8, 4, 4, number(at + 4)?),
            b"co64" => (at + 8, 8, 8, number(at + 4)?),
            b"tfhd" => (at + 8, 8, 8, u32::from(number(at)? & HAS_BASE != 0)),
            // Version, track, lengths of three numbers less one in two bits each, and how many
            // entries: a time, a place, and those numbers.
            b"tfra" => {
                let width = if content.array::<1>(at)? == [0] { 4 } else { 8 };
                let lengths = number(at + 8)?;
                let numbers = [0, 2, 4].map(|shift| u64::from(lengths >> shift & 3) + 1);
                let stride = 2 * width as u64 + numbers.iter().sum::<u64>();
                (at + 16 + width as u64, width, stride, number(at + 12)?)
            }
            _ => return Ok(None),
        };
        let count = u64::from(count);
        let table = Self { range: it.range.clone(), first, width, stride, count };
        let end = first + stride * count.saturating_sub(1) + width as u64;
        match count == 0 || end <= it.range.end {
            true => Ok(Some(table)),
            false => Err(Error::input("a table of places is longer than its box")),
        }
    }

    /// The bytes of its box, with what `new` makes of each place.
    fn with(
        &self,
        content: &Content<'_>,
        mut new: impl FnMut(u64) -> Result<u64>,
    ) -> Result<Vec<u8>> {
        let mut bytes = content.read(self.range.clone())?;
        let first = self.first - self.range.start;
        for index in 0..self.count {
            let at = (first + index * self.stride) as usize;
            let place = &mut bytes[at..at + self.width];
            let old = place.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
            let new = new(old)?.to_be_bytes();
            let (high, low) = new.split_at(8 - self.width);
            if high.iter().any(|&byte| byte != 0) {
                return Err(too_long());
            }
            place.copy_from_slice(low);
        }
        Ok(bytes)
    }
}

fn too_long() -> Error {
    Error::input("it would be longer than its format allows")
}

pub struct Mp4 {
    /// The outermost boxes.
    top: Vec<BoxAt>,
    /// The boxes on the way to the items that are there, `moov` first.
    way: Vec<BoxAt>,
    /// Where a box inside the last of these can be added.
    end: u64,
    /// Items that name moods, and what they name.
    moods: Vec<(Range<u64>, Vec<String>)>,
    tables: Vec<Table>,
    /// Why not all places can be moved with certainty, if they cannot.
    doubt: Option<&'static str>,
    rest: Vec<Part>,
}

impl Mp4 {
    /// # Errors
    /// The boxes do not fill the file, or hold tags of another kind.
    pub fn parse(content: &Content<'_>, start: u64) -> Result<Self> {
        let (top, behind) = boxes(content, start..content.len())?;
        let mut indices = top.iter().filter(|it| it.kind == *b"moov");
        let (Some(index), None) = (indices.next(), indices.next()) else {
            return Err(Error::input("it does not have one index (moov)"));
        };
        let way = vec![index.clone()];
        let (moods, tables) = (Vec::new(), Vec::new());
        let rest = vec![Part::Kept(0..start)];
        let mut mp4 = Self { way, end: 0, moods, tables, doubt: None, rest, top };
        for it in mp4.top.clone() {
            match &it.kind {
                b"moov" => mp4.walk_way(content, it, &[b"udta", b"meta", b"ilst"])?,
                _ => mp4.walk(content, &it, DEEPEST)?,
            }
        }
        mp4.keep(behind);
        Ok(mp4)
    }

    /// Goes through a box on the way to the items, which `next` are the other boxes of.
    fn walk_way(&mut self, content: &Content<'_>, it: BoxAt, next: &[&[u8; 4]]) -> Result<()> {
        let (children, behind) = boxes(content, contents(content, &it)?)?;
        self.end = behind.start;
        let handler = children.iter().find(|child| child.kind == *b"hdlr");
        if it.kind == *b"meta"
            && let Some(handler) = handler
            && content.array::<4>(handler.inner.start + 8)? != *b"mdir"
        {
            return Err(Error::input("its tags are of a kind that iTunes does not write"));
        }
        let chosen = match next {
            [kind, behind @ ..] => on_the_way(content, &children, kind, behind.first())?,
            [] => None,
        };
        for (index, child) in children.into_iter().enumerate() {
            if chosen == Some(index) {
                self.way.push(child.clone());
                self.walk_way(content, child, &next[1..])?;
            } else if it.kind == *b"ilst" {
                match moods(content, &child)? {
                    Some(moods) => self.moods.push((child.range, moods)),
                    None => self.rest.push(Part::Kept(child.range)),
                }
            } else if child.kind != *b"hdlr" || content.read(child.inner.clone())? != HANDLER {
                // The handler is made together with the first item.
                self.walk(content, &child, DEEPEST)?;
            }
        }
        self.keep(behind);
        Ok(())
    }

    /// None where there is nothing, as in a box that is made together with the first item.
    fn keep(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.rest.push(Part::Kept(range));
        }
    }

    /// Goes through any other box, and as many boxes in one another as `depth` says.
    fn walk(&mut self, content: &Content<'_>, it: &BoxAt, depth: usize) -> Result<()> {
        if NESTED.contains(&&it.kind) {
            let deeper = depth
                .checked_sub(1)
                .ok_or_else(|| Error::input("its boxes lie too deep in one another"))?;
            self.rest.push(Part::Kept(it.range.start..it.inner.start));
            let (children, behind) = boxes(content, it.inner.clone())?;
            if it.kind == *b"traf" && self.leads_across(content, it, &children)? {
                self.doubt = Some(ACROSS);
            }
            for child in &children {
                self.walk(content, child, deeper)?;
            }
            self.keep(behind);
            return Ok(());
        }
        let unknown = match &it.kind {
            b"saio" => true,
            // It counts from its own end.
            b"sidx" => it.range.start < self.moving(),
            b"meta" => content.read(it.inner.clone())?.windows(4).any(|kind| kind == b"iloc"),
            _ => false,
        };
        if unknown {
            self.doubt = Some(UNKNOWN);
        }
        // Zeros up to the end are padding.
        let endless = content.array(it.range.start)? == [0; 4] && it.kind != *b"mdat";
        if endless && !content.is_blank(it.inner.clone())? {
            self.doubt = Some(ENDLESS);
        }
        let Some(table) = Table::of(content, it)? else {
            self.rest.push(Part::Kept(it.range.clone()));
            return Ok(());
        };
        // Which box each place leads to, and where in it.
        let (mut leads, mut astray) = (Vec::new(), false);
        let bytes = table.with(content, |place| {
            let index = self.top.partition_point(|it| it.range.start <= place);
            let start = index.checked_sub(1).map_or(0, |index| self.top[index].range.start);
            leads.extend((index as u32).to_le_bytes());
            leads.extend((place - start).to_le_bytes());
            // No sound is there: places count from the end of a tag in front, or are damaged.
            astray |= place < self.top[0].range.start || self.way[0].range.contains(&place);
            Ok(0)
        })?;
        if astray {
            self.doubt = Some(ASTRAY);
        }
        self.rest.extend([Part::Value(bytes), Part::Value(leads)]);
        self.tables.push(table);
        Ok(())
    }

    /// What lies here and behind moves.
    fn moving(&self) -> u64 {
        self.way[0].range.end
    }

    /// Whether a fragment (`traf`), the place that it counts from, and its sound lie on both sides of
    /// the index: not all of them would move.
    fn leads_across(
        &self,
        content: &Content<'_>,
        fragment: &BoxAt,
        children: &[BoxAt],
    ) -> Result<bool> {
        // The start of the outermost box, unless the header has another.
        let index = self.top.partition_point(|it| it.range.start <= fragment.range.start);
        let mut base = self.top[index - 1].range.start;
        for child in children {
            let at = child.inner.start;
            let has = |flag| Ok::<_, Error>(u32::from_be_bytes(content.array(at)?) & flag != 0);
            if child.kind == *b"tfhd" && has(HAS_BASE)? {
                base = u64::from_be_bytes(content.array(at + 8)?);
            } else if child.kind == *b"trun" {
                let offset = match has(HAS_OFFSET)? {
                    true => i32::from_be_bytes(content.array(at + 8)?),
                    false => 0,
                };
                let moves = |place: u64| place >= self.moving();
                let sound = base.saturating_add_signed(offset.into());
                if [base, sound].map(moves) != [moves(fragment.range.start); 2] {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// New lengths of the boxes on the way, and new places, once `edits` are made.
    fn consequences(&self, content: &Content<'_>, growth: i64) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        for it in &self.way {
            let size = length(&it.range).saturating_add_signed(growth);
            let at = it.range.start;
            match u32::from_be_bytes(content.array(at)?) {
                // Up to the end.
                0 => {}
                1 => {
                    edits.push(Edit { range: at + 8..at + 16, bytes: size.to_be_bytes().to_vec() })
                }
                _ => {
                    let size = u32::try_from(size).map_err(|_| too_long())?;
                    edits.push(Edit { range: at..at + 4, bytes: size.to_be_bytes().to_vec() });
                }
            }
        }
        let moving = self.moving();
        for table in &self.tables {
            let bytes = table.with(content, |place| match place >= moving {
                true => place.checked_add_signed(growth).ok_or_else(too_long),
                false => Ok(place),
            })?;
            edits.push(Edit { range: table.range.clone(), bytes });
        }
        if let Some(doubt) = self.doubt
            && growth != 0
            && self.top.iter().any(|it| it.range.start >= moving)
        {
            return Err(Error::input(doubt));
        }
        Ok(edits)
    }
}

impl Container for Mp4 {
    fn field(&self) -> &'static str {
        "----:com.apple.iTunes:MOOD"
    }

    fn moods(&self) -> Vec<String> {
        self.moods.iter().flat_map(|(_, moods)| moods).cloned().collect()
    }

    /// A new item behind all others, in place of those that name moods.
    fn edits(&self, content: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>> {
        let mut edits: Vec<_> =
            self.moods.iter().map(|(range, _)| Edit::remove(range.clone())).collect();
        if !moods.is_empty() {
            let mut new = item(moods);
            // Whatever boxes are missing on the way.
            for missing in (self.way.len()..4).rev() {
                new = match missing {
                    3 => boxed(b"ilst", &[&new]),
                    2 => boxed(b"meta", &[&[0; 4], &boxed(b"hdlr", &[HANDLER]), &new]),
                    _ => boxed(b"udta", &[&new]),
                };
            }
            edits.push(Edit::insert(self.end, new));
        }
        let mut consequences = self.consequences(content, Edit::growth(&edits))?;
        edits.append(&mut consequences);
        Ok(edits)
    }

    fn rest(&self) -> Vec<Part> {
        self.rest.clone()
    }
}

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let size = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    [&(size as u32).to_be_bytes()[..], kind, &parts.concat()].concat()
}

/// The item that names `moods`.
fn item(moods: &[String]) -> Vec<u8> {
    let mut content = boxed(b"mean", &[&[0; 4], MEAN]);
    content.extend(boxed(b"name", &[&[0; 4], MOOD.as_bytes()]));
    for mood in moods {
        content.extend(boxed(b"data", &[&UTF_8.to_be_bytes(), &[0; 4], mood.as_bytes()]));
    }
    boxed(b"----", &[&content])
}

/// What an item names if it is about moods.
fn moods(content: &Content<'_>, item: &BoxAt) -> Result<Option<Vec<String>>> {
    if item.kind != *b"----" {
        return Ok(None);
    }
    let (parts, _) = boxes(content, item.inner.clone())?;
    // The content of the first of this kind, behind version and flags.
    let text = |kind: &[u8; 4]| {
        let part = parts.iter().find(|part| part.kind == *kind);
        part.map(|part| content.read(part.inner.clone())).transpose()
    };
    let (mean, name) = (text(b"mean")?, text(b"name")?);
    let is = |text: &Option<Vec<u8>>, wanted: &[u8]| {
        text.as_ref()
            .and_then(|text| text.get(4..))
            .is_some_and(|it| it.eq_ignore_ascii_case(wanted))
    };
    if !is(&mean, MEAN) || !is(&name, MOOD.as_bytes()) {
        return Ok(None);
    }
    let mut moods = Vec::new();
    for part in parts.iter().filter(|part| part.kind == *b"data") {
        let data = content.read(part.inner.clone())?;
        let Some((kind, text)) = data.split_first_chunk::<4>() else { continue };
        let text = text.get(4..).unwrap_or_default();
        let text = match u32::from_be_bytes(*kind) {
            // Without a kind it is what the item usually is.
            UNSAID | UTF_8 => String::from_utf8(text.to_vec()).ok(),
            UTF_16 => {
                let units = text.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
                String::from_utf16(&units.collect::<Vec<_>>()).ok()
            }
            _ => None,
        };
        let text = text.ok_or_else(|| Error::input(NOT_TEXT))?;
        let parts = text.split(SEPARATOR).flat_map(|part| part.split('\0'));
        moods.extend(parts.filter(|mood| !mood.is_empty()).map(str::to_owned));
    }
    Ok(Some(moods))
}
