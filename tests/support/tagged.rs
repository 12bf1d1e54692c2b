//! Files with tags, made of their parts.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub const SOUND: &[u8] = b"\xff\xfb\x90\x00the sound \xff\x00\xff\xe0 of the file";

pub fn moods() -> Vec<String> {
    ["dark", "epic"].map(str::to_owned).to_vec()
}

pub fn sevens(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

pub fn frame(version: u8, id: &[u8], content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let size = if version == 4 { sevens(length) } else { (length as u32).to_be_bytes() };
    match version {
        2 => [id, &size[1..], content].concat(),
        _ => [id, &size, &[0, 0], content].concat(),
    }
}

pub fn tag(version: u8, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [b"ID3", &[version, 0, flags][..], &sevens(body.len()), &body].concat()
}

pub fn tmoo() -> Vec<u8> {
    frame(4, b"TMOO", b"\x03dark\0epic")
}

pub fn txxx(version: u8) -> Vec<u8> {
    let utf_16 = |text: &str| -> Vec<u8> {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let content = [&[1][..], &utf_16("MOOD"), &[0, 0], &utf_16("dark; epic")].concat();
    frame(version, if version == 2 { b"TXX" } else { b"TXXX" }, &content)
}

/// With a zero behind every 0xff, each of which needs one here.
pub fn unsynchronised(bytes: &[u8]) -> Vec<u8> {
    let zeros = |byte: u8| usize::from(byte == 0xff);
    bytes.iter().flat_map(|&byte| [byte, 0].into_iter().take(1 + zeros(byte))).collect()
}

pub fn comments(vendor: &str, items: &[&[u8]]) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let items_counted: Vec<u8> = items.iter().flat_map(|item| counted(item)).collect();
    let count = (items.len() as u32).to_le_bytes();
    [counted(vendor.as_bytes()), count.to_vec(), items_counted].concat()
}

pub fn flac(blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = b"fLaC".to_vec();
    for (index, (kind, content)) in blocks.iter().enumerate() {
        let last = if index + 1 == blocks.len() { 0x80 } else { 0 };
        out.push(kind | last);
        out.extend(&(content.len() as u32).to_be_bytes()[1..]);
        out.extend(*content);
    }
    out.extend(b"\xff\xf8 and the rest of the sound");
    out
}

/// A page of an Ogg file, the lengths of whose segments are `lacing`.
pub fn page(
    flags: u8,
    granule: i64,
    serial: u32,
    number: u32,
    lacing: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let mut page =
        [b"OggS\0", &[flags][..], &granule.to_le_bytes(), &serial.to_le_bytes()].concat();
    page.extend(number.to_le_bytes());
    page.extend([0, 0, 0, 0, lacing.len() as u8]);
    page.extend([lacing, body].concat());
    let mut sum = 0_u32;
    for byte in &page {
        sum ^= u32::from(*byte) << 24;
        (0..8).for_each(|_| sum = sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 });
    }
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// A page of a file, to be changed.
pub struct Page {
    pub flags: u8,
    pub granule: i64,
    pub serial: u32,
    pub number: u32,
    pub lacing: Vec<u8>,
    pub body: Vec<u8>,
}

impl Page {
    pub fn bytes(&self) -> Vec<u8> {
        page(self.flags, self.granule, self.serial, self.number, &self.lacing, &self.body)
    }
}

/// The pages of a file that is whole.
pub fn pages(ogg: &[u8]) -> Vec<Page> {
    let (mut pages, mut at) = (Vec::new(), 0);
    while at < ogg.len() {
        let lacing = ogg[at + 27..][..ogg[at + 26].into()].to_vec();
        let body = at + 27 + lacing.len();
        let end = body + lacing.iter().map(|&length| usize::from(length)).sum::<usize>();
        let granule = i64::from_le_bytes(ogg[at + 6..at + 14].try_into().unwrap());
        let number = |at: usize| u32::from_le_bytes(ogg[at..at + 4].try_into().unwrap());
        let (serial, count, flags) = (number(at + 14), number(at + 18), ogg[at + 5]);
        let body = ogg[body..end].to_vec();
        pages.push(Page { flags, granule, serial, number: count, lacing, body });
        at = end;
    }
    pages
}

pub fn laced(length: usize) -> Vec<u8> {
    [vec![255; length / 255], vec![(length % 255) as u8]].concat()
}

/// Pages with comments and what follows them: (continued, granule, lacing, body), each numbered.
pub fn stream(pages: &[(u8, i64, &[u8], &[u8])]) -> Vec<u8> {
    let first = page(2, 0, 5, 0, &[30], &[b"\x01vorbis", &[1; 23][..]].concat());
    let pages = (1..).zip(pages).map(|(number, (flags, granule, lacing, body))| {
        page(*flags, *granule, 5, number, lacing, body)
    });
    [vec![first], pages.collect()].concat().concat()
}

pub fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&(8 + content.len() as u32).to_be_bytes()[..], kind, &content].concat()
}

/// An M4A file with `tags` in its index and places of sound in tables of either kind, fragments too.
pub fn m4a(tags: &[u8], index_in_front: bool) -> Vec<u8> {
    let start = boxed(b"ftyp", &[b"M4A "]);
    let sound = boxed(b"mdat", &[b"some sound"]);
    let index = |place: u32| {
        let tables = [
            boxed(
                b"stco",
                &[&[0, 0, 0, 0, 0, 0, 0, 2], &place.to_be_bytes(), &(place + 5).to_be_bytes()],
            ),
            boxed(b"co64", &[&[0, 0, 0, 0, 0, 0, 0, 1], &u64::from(place + 3).to_be_bytes()]),
        ];
        let table = boxed(b"stbl", &[&boxed(b"stsd", &[b"of a kind"]), &tables.concat()]);
        let media = boxed(b"mdia", &[&boxed(b"minf", &[&table])]);
        boxed(b"moov", &[&boxed(b"mvhd", &[&[3; 12]]), &boxed(b"trak", &[&media]), tags])
    };
    let length = index(0).len() as u32;
    let front = start.len() as u32 + if index_in_front { length } else { 0 };
    let index = index(front + 8);
    let fragment = (start.len() + index.len() + sound.len()) as u64;
    let header = boxed(b"tfhd", &[&[0, 0, 0, 1, 0, 0, 0, 1], &fragment.to_be_bytes()]);
    let entry = [&[0; 8][..], &fragment.to_be_bytes(), &[1; 3]].concat();
    let head = [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    let fragments = [
        boxed(b"moof", &[&boxed(b"traf", &[&header])]),
        boxed(b"mfra", &[&boxed(b"tfra", &[&head, &entry])]),
    ]
    .concat();
    match index_in_front {
        true => [start, index, sound, fragments].concat(),
        false => [start, sound, index, fragments].concat(),
    }
}

pub fn value(text: &[u8]) -> Vec<u8> {
    boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], text])
}

/// An item with a name of its own.
pub fn free(name: &[u8], texts: &[&[u8]]) -> Vec<u8> {
    let mean = boxed(b"mean", &[&[0; 4], b"com.apple.iTunes"]);
    let values: Vec<u8> = texts.iter().flat_map(|text| value(text)).collect();
    boxed(b"----", &[&mean, &boxed(b"name", &[&[0; 4], name]), &values])
}

pub fn chunk(big: bool, id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = content.len() as u32;
    let size = if big { length.to_be_bytes() } else { length.to_le_bytes() };
    [id, &size[..], content, &vec![0; content.len() % 2]].concat()
}
