//! Writes the tar format. Headers come from the `tar` crate; the order of records, long names and holes are here, because that crate
//! pads a file by what it read: one that shrinks in between would shift everything behind it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use pipeline::Result;
use rustix::fs::Stat;
use tar::{EntryType, GnuExtSparseHeader, Header};

use crate::thread::Outlet;

/// One piece of the stream.
pub(super) const BUFFER: usize = 1 << 20;
const BLOCK: usize = 512;
/// What fits in a header's name field.
const NAME: usize = 100;

/// A run of data inside a file with holes: offset and length.
pub(super) type Extent = (u64, u64);

/// The stream being made.
pub(super) struct Archive<'a> {
    outlet: &'a Outlet,
    buffer: Vec<u8>,
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl<'a> Archive<'a> {
    pub(super) fn new(outlet: &'a Outlet) -> Self {
        Self {
            outlet,
            buffer: Vec::with_capacity(BUFFER),
            users: names("/etc/passwd"),
            groups: names("/etc/group"),
        }
    }

    /// One entry without data: a directory, a link, a device. `name` is what the archive calls it.
    pub(super) fn entry(&mut self, name: &[u8], stat: &Stat, kind: EntryType, target: &[u8]) -> Result<()> {
        let mut header = self.header(stat, kind);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            // These fail only on a header that is not GNU's, and ours is.
            header.set_device_major(rustix::fs::major(stat.st_rdev)).ok();
            header.set_device_minor(rustix::fs::minor(stat.st_rdev)).ok();
        }
        self.put_header(header, name, target)
    }

    /// The header of a file whose data follows with [`Archive::copy`] and [`Archive::pad`]. With `extents` only those follow.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        stat: &Stat,
        size: u64,
        extents: Option<&[Extent]>,
    ) -> Result<()> {
        let Some(extents) = extents else {
            let mut header = self.header(stat, EntryType::Regular);
            header.set_size(size);
            return self.put_header(header, name, b"");
        };
        let mut header = self.header(stat, EntryType::GNUSparse);
        header.set_size(extents.iter().map(|(_, length)| length).sum());
        // The last entry, of length zero, says how long a file is that ends with a hole.
        let mut map: Vec<Extent> = extents.to_vec();
        if map.last().is_none_or(|(offset, length)| offset + length < size) {
            map.push((size, 0));
        }
        let mut rest = map.as_slice();
        if let Some(gnu) = header.as_gnu_mut() {
            gnu.set_real_size(size);
            rest = fill(&mut gnu.sparse, rest);
            gnu.set_is_extended(!rest.is_empty());
        }
        self.put_header(header, name, b"")?;
        while !rest.is_empty() {
            let mut more = GnuExtSparseHeader::new();
            rest = fill(&mut more.sparse, rest);
            more.set_is_extended(!rest.is_empty());
            self.put(more.as_bytes())?;
        }
        Ok(())
    }

    /// Copies up to `count` bytes from the file's position and says how many there were.
    pub(super) fn copy(&mut self, file: &File, count: u64) -> Result<std::io::Result<u64>> {
        let mut left = count;
        while left > 0 {
            self.make_room()?;
            let room = (BUFFER - self.buffer.len()) as u64;
            // Takes exactly what fits, so that the buffer never grows; and without zeroing it first.
            match file.take(room.min(left)).read_to_end(&mut self.buffer) {
                Ok(0) => break,
                Ok(taken) => left -= taken as u64,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(count - left))
    }

    pub(super) fn zeros(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            self.make_room()?;
            let room = BUFFER - self.buffer.len();
            let now = usize::try_from(count).map_or(room, |count| count.min(room));
            self.buffer.resize(self.buffer.len() + now, 0);
            count -= now as u64;
        }
        Ok(())
    }

    /// Fills up the last block after `size` bytes of data.
    pub(super) fn pad(&mut self, size: u64) -> Result<()> {
        self.zeros(size.next_multiple_of(BLOCK as u64) - size)
    }

    /// The two zero blocks.
    pub(super) fn finish(mut self) -> Result<()> {
        self.zeros(2 * BLOCK as u64)?;
        self.outlet.send(Bytes::from(self.buffer))
    }

    fn header(&self, stat: &Stat, kind: EntryType) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(stat.st_uid.into());
        header.set_gid(stat.st_gid.into());
        header.set_size(0);
        // Before 1970 there were no files; GNU's negative times are not written.
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        if let Some(gnu) = header.as_gnu_mut() {
            if let Some(name) = self.users.get(&stat.st_uid) {
                fit(&mut gnu.uname, name);
            }
            if let Some(name) = self.groups.get(&stat.st_gid) {
                fit(&mut gnu.gname, name);
            }
        }
        header
    }

    fn put_header(&mut self, mut header: Header, name: &[u8], target: &[u8]) -> Result<()> {
        if target.len() > NAME {
            self.long(EntryType::GNULongLink, target)?;
        }
        if name.len() > NAME {
            self.long(EntryType::GNULongName, name)?;
        }
        fit(&mut header.as_old_mut().name, name);
        fit(&mut header.as_old_mut().linkname, target);
        header.set_cksum();
        self.put(header.as_bytes())
    }

    /// A name that does not fit goes in front as a file of its own.
    fn long(&mut self, kind: EntryType, text: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let size = text.len() as u64 + 1;
        header.set_size(size);
        fit(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        self.put(header.as_bytes())?;
        self.put(text)?;
        self.put(b"\0")?;
        self.pad(size)
    }

    fn put(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            self.make_room()?;
            let (now, later) = data.split_at(data.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<()> {
        if self.buffer.len() < BUFFER {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(BUFFER));
        self.outlet.send(Bytes::from(full))
    }
}

/// Copies the beginning that fits.
fn fit(field: &mut [u8], text: &[u8]) {
    let count = text.len().min(field.len());
    field[..count].copy_from_slice(&text[..count]);
}

/// Fills the map entries of one header and returns what is left for the next.
fn fill<'m>(entries: &mut [tar::GnuSparseHeader], map: &'m [Extent]) -> &'m [Extent] {
    let (now, later) = map.split_at(map.len().min(entries.len()));
    for (entry, (offset, length)) in entries.iter_mut().zip(now) {
        entry.set_offset(*offset);
        entry.set_length(*length);
    }
    later
}

/// Names by number, from the two files only: in a container the numbers of a volume often have no name, and asking a directory service
/// for each of a million files would be worse than none.
fn names(path: &str) -> HashMap<u32, Vec<u8>> {
    let text = std::fs::read(path).unwrap_or_default();
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        if let (Some(name), Some(_), Some(number)) = (fields.next(), fields.next(), fields.next())
            && let Some(number) = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok())
            // A longer name does not fit the field, and a cut one would be somebody else's.
            && name.len() < 32
        {
            names.entry(number).or_insert_with(|| name.to_vec());
        }
    }
    names
}
