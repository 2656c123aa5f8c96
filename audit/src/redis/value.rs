//! A value's digest, the same for every encoding and every version that can hold it.

use formats::rdb::{DataType, Decoder, Item, Kind, Role};

/// Longest string that is shown as it is.
const SHOWN: usize = 64;

/// Takes one value after the other.
#[derive(Default)]
pub(super) struct Digest {
    decoder: Decoder,
    sums: Sums,
}

#[derive(Default)]
struct Sums {
    kind: Option<DataType>,
    /// The string that is coming.
    string: blake3::Hasher,
    length: u64,
    beginning: Vec<u8>,
    /// What has an order.
    ordered: blake3::Hasher,
    /// What has none.
    sum: u128,
    elements: u64,
    /// A member, or a field with its value and expiry, that waits for what belongs to it.
    waits: Option<[u8; 16]>,
    value: [u8; 16],
    expires: i64,
    raw: blake3::Hasher,
}

fn low(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut low = [0; 16];
    low.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    low
}

fn together(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    u128::from_le_bytes(low(&hasher))
}

impl Digest {
    /// Begins a value.
    pub(super) fn begin(&mut self, kind: Kind) {
        self.decoder.begin(kind);
        self.sums = Sums { kind: Some(kind.data_type()), ..Sums::default() };
    }

    /// Takes its next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> formats::rdb::Result<()> {
        let Self { decoder, sums } = self;
        if sums.kind == Some(DataType::Module) {
            // Only its module can read it.
            sums.raw.update(bytes);
        }
        decoder.push::<formats::rdb::Error, _>(bytes, &mut |item| {
            sums.item(&item);
            Ok(())
        })?;
        Ok(())
    }

    /// Ends it: the value itself where it is short and readable, else how much it is and its digest.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let sums = &mut self.sums;
        sums.field();
        if sums.kind == Some(DataType::String) && sums.length <= SHOWN as u64 {
            return std::mem::take(&mut sums.beginning);
        }
        let digest =
            together(&[&sums.sum.to_le_bytes(), &low(&sums.ordered), &low(&sums.raw), &low(&sums.string)]);
        let (count, what) = match sums.kind {
            Some(DataType::String) => (sums.length, "bytes"),
            _ => (sums.elements, "elements"),
        };
        format!("{count} {what}, digest {digest:032x}").into_bytes()
    }
}

impl Sums {
    /// A field of a hash is whole when the next begins.
    fn field(&mut self) {
        if self.kind == Some(DataType::Hash)
            && let Some(field) = self.waits.take()
        {
            let whole = together(&[&field, &self.value, &self.expires.to_le_bytes()]);
            self.sum = self.sum.wrapping_add(whole);
            self.expires = 0;
        }
    }

    fn put(&mut self, mark: u8, parts: &[&[u8]]) {
        self.ordered.update(&[mark]);
        for part in parts {
            self.ordered.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
    }

    fn string(&mut self, role: Role) {
        let hash = low(&self.string);
        match (self.kind, role) {
            // Kept for the end.
            (Some(DataType::String), _) => return,
            (Some(DataType::Set), _) => {
                self.elements += 1;
                self.sum = self.sum.wrapping_add(u128::from_le_bytes(hash));
            }
            (Some(DataType::SortedSet), _) => self.waits = Some(hash),
            (Some(DataType::Hash), Role::Field) => {
                self.field();
                self.elements += 1;
                self.waits = Some(hash);
            }
            (Some(DataType::Hash), _) => self.value = hash,
            _ => {
                self.elements += 1;
                self.ordered.update(&hash);
            }
        }
        self.string.reset();
        self.length = 0;
    }

    fn item(&mut self, item: &Item<'_>) {
        match *item {
            Item::Bytes { role, data, last, .. } => {
                self.string.update(data);
                self.length += data.len() as u64;
                if self.kind == Some(DataType::String) && self.beginning.len() < SHOWN {
                    let room = SHOWN - self.beginning.len();
                    self.beginning.extend_from_slice(&data[..data.len().min(room)]);
                }
                if last {
                    self.string(role);
                }
            }
            Item::Score(score) => {
                // The two zeros are one score.
                let bits = if score == 0.0 { 0 } else { score.to_bits() };
                if let Some(member) = self.waits.take() {
                    self.elements += 1;
                    self.sum = self.sum.wrapping_add(together(&[&member, &bits.to_le_bytes()]));
                }
            }
            Item::FieldExpires(at) => self.expires = at,
            Item::Entry { id, fields } => {
                self.put(b'e', &[id.to_string().as_bytes(), &fields.to_le_bytes()]);
            }
            // The lowest ID follows from the entries. Streams from before 7.0 know neither deleted ones nor how many there ever were, and a newer
            // server then takes them for what is assumed here.
            Item::Stream { length, last_id, more } => {
                let (deleted, added) =
                    more.map_or_else(|| ("0-0".to_owned(), length), |(_, id, added)| (id.to_string(), added));
                self.put(
                    b's',
                    &[
                        &length.to_le_bytes(),
                        last_id.to_string().as_bytes(),
                        deleted.as_bytes(),
                        &added.to_le_bytes(),
                    ],
                );
            }
            // How many entries a group has read, and when a consumer was last seen, are estimates that a server makes anew.
            Item::Group { name, last_id, .. } => self.put(b'g', &[name, last_id.to_string().as_bytes()]),
            Item::Pending { id, delivered_at, deliveries } => self.put(
                b'p',
                &[id.to_string().as_bytes(), &delivered_at.to_le_bytes(), &deliveries.to_le_bytes()],
            ),
            Item::Consumer { name, .. } => self.put(b'c', &[name]),
            Item::ConsumerPending(id) => self.put(b'o', &[id.to_string().as_bytes()]),
            Item::Released(id) => self.put(b'r', &[id.to_string().as_bytes()]),
            Item::Idempotence { duration, max } => {
                self.put(b'i', &[&duration.to_le_bytes(), &max.to_le_bytes()]);
            }
            Item::Producer(name) => self.put(b'P', &[name]),
            Item::Idempotent { name, id } => self.put(b'I', &[name, id.to_string().as_bytes()]),
            Item::Index(index) => self.put(b'x', &[&index.to_le_bytes()]),
            Item::InsertIndex(index) => self.put(b'X', &[&index.to_le_bytes()]),
            Item::Module { id } => self.put(b'm', &[&id.to_le_bytes()]),
            Item::Length(_) | Item::IdempotentTotals { .. } => {}
        }
    }
}
