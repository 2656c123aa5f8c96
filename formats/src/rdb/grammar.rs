//! The layout of every value type, as data.
//!
//! One table serves both the skipper, which only wants to know where a value ends, and the decoder, which wants to
//! know what each piece means: the roles are the decoder's, and cost the skipper nothing.

use super::kind::Shape;

/// What a piece of a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    // Strings
    Element,
    Field,
    Value,
    Member,
    Blob(Blob),
    /// A quicklist node: plain or a listpack, as the number before it says.
    Node,
    StreamNodeId,
    GroupName,
    ConsumerName,
    ProducerId,
    IdempotentId,
    ModuleString,
    // Numbers
    Container,
    FieldTtl,
    StreamLength,
    LastMs,
    LastSeq,
    FirstMs,
    FirstSeq,
    MaxDeletedMs,
    MaxDeletedSeq,
    EntriesAdded,
    GroupMs,
    GroupSeq,
    EntriesRead,
    Deliveries,
    IdmpDuration,
    IdmpMax,
    EntryMs,
    EntrySeq,
    IidsAdded,
    IidsDuplicates,
    InsertIndex,
    Index,
    ModuleId,
    ModuleNumber,
    // Fixed sizes
    Score,
    MinTtl,
    FieldExpiry,
    PendingEntry,
    SeenTime,
    ActiveTime,
    ConsumerPending,
    Nack,
    ArrayInt,
    ArrayFloat,
    ModuleFloat,
    ModuleDouble,
    // Counts
    Length,
    Nodes,
    Count,
}

/// What is packed inside one string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blob {
    ListZiplist,
    HashZiplist,
    ZsetZiplist,
    HashZipmap,
    Intset,
    /// A set's or a list node's.
    ElementsListpack,
    HashListpack,
    ZsetListpack,
    /// Triples of field, value, expiry.
    HashListpackTtl,
    StreamNode,
    /// Field names of a template.
    TemplateFields,
    /// A template's number and the values.
    TemplateValues,
}

/// A step of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A string.
    Str(Part),
    /// A length as a number.
    Num(Part),
    /// A number that must be 1 or 2.
    Container,
    /// So many bytes.
    Fixed(Part, u8),
    /// The double of the first sorted sets: a length byte and text, or 253, 254, 255 for NaN and the infinities.
    TextDouble,
    /// A count, then the inner steps that many times.
    Repeat(Part, &'static [Step]),
    /// A count that is kept for a later `Counted`.
    Count(Part),
    /// The inner steps as often as the kept count says.
    Counted(&'static [Step]),
    /// 0 or 1; at 0 the next step is left out.
    Flag,
    /// A module's pieces up to its end mark.
    ModuleItems,
    /// A tag and the element that it announces.
    ArrayElement,
    /// A template's number; the inner steps once per field of that template.
    Template(&'static [Step]),
    /// How a template's fields are written: 0 as one listpack, 1 as a count and strings.
    TemplateFields {
        /// True when the value count must be known afterwards.
        counted: bool,
    },
}

use Step::{Container, Count, Counted, Fixed, Flag, Num, Repeat, Str, Template, TextDouble};

const STREAM_NODES: Step = Repeat(Part::Nodes, &[Str(Part::StreamNodeId), Str(Part::Blob(Blob::StreamNode))]);
const PENDING: Step = Repeat(Part::Count, &[Fixed(Part::PendingEntry, 24), Num(Part::Deliveries)]);
const CONSUMER_PENDING: Step = Repeat(Part::Count, &[Fixed(Part::ConsumerPending, 16)]);

/// Consumers as streams 1 and 2 have them, and with the active time since 3.
const CONSUMERS_1: Step =
    Repeat(Part::Count, &[Str(Part::ConsumerName), Fixed(Part::SeenTime, 8), CONSUMER_PENDING]);
const CONSUMERS_3: Step = Repeat(
    Part::Count,
    &[Str(Part::ConsumerName), Fixed(Part::SeenTime, 8), Fixed(Part::ActiveTime, 8), CONSUMER_PENDING],
);

const GROUP_ID: [Step; 3] = [Str(Part::GroupName), Num(Part::GroupMs), Num(Part::GroupSeq)];
const READ: Step = Num(Part::EntriesRead);
const GROUPS_1: Step = Repeat(Part::Count, &[GROUP_ID[0], GROUP_ID[1], GROUP_ID[2], PENDING, CONSUMERS_1]);
const GROUPS_2: Step =
    Repeat(Part::Count, &[GROUP_ID[0], GROUP_ID[1], GROUP_ID[2], READ, PENDING, CONSUMERS_1]);
const GROUPS_3: Step =
    Repeat(Part::Count, &[GROUP_ID[0], GROUP_ID[1], GROUP_ID[2], READ, PENDING, CONSUMERS_3]);
const GROUPS_5: Step = Repeat(
    Part::Count,
    &[
        GROUP_ID[0],
        GROUP_ID[1],
        GROUP_ID[2],
        READ,
        PENDING,
        CONSUMERS_3,
        Repeat(Part::Count, &[Fixed(Part::Nack, 16)]),
    ],
);

/// Length and IDs: the first three steps in every version, the others since 2.
const IDS: [Step; 8] = [
    Num(Part::StreamLength),
    Num(Part::LastMs),
    Num(Part::LastSeq),
    Num(Part::FirstMs),
    Num(Part::FirstSeq),
    Num(Part::MaxDeletedMs),
    Num(Part::MaxDeletedSeq),
    Num(Part::EntriesAdded),
];
/// Idempotent producers, since 4.
const IDMP: [Step; 5] = [
    Num(Part::IdmpDuration),
    Num(Part::IdmpMax),
    Repeat(
        Part::Count,
        &[
            Str(Part::ProducerId),
            Repeat(Part::Count, &[Str(Part::IdempotentId), Num(Part::EntryMs), Num(Part::EntrySeq)]),
        ],
    ),
    Num(Part::IidsAdded),
    Num(Part::IidsDuplicates),
];

const TTL_FIELDS: Step = Repeat(Part::Length, &[Num(Part::FieldTtl), Str(Part::Field), Str(Part::Value)]);

/// The steps of a value.
pub(crate) fn layout(shape: Shape) -> &'static [Step] {
    match shape {
        Shape::String => const { &[Str(Part::Element)] },
        Shape::List | Shape::Set => const { &[Repeat(Part::Length, &[Str(Part::Element)])] },
        Shape::ZsetText => const { &[Repeat(Part::Length, &[Str(Part::Member), TextDouble])] },
        Shape::ZsetBinary => const { &[Repeat(Part::Length, &[Str(Part::Member), Fixed(Part::Score, 8)])] },
        Shape::Hash => const { &[Repeat(Part::Length, &[Str(Part::Field), Str(Part::Value)])] },
        Shape::Module => const { &[Num(Part::ModuleId), Step::ModuleItems] },
        Shape::HashZipmap => const { &[Str(Part::Blob(Blob::HashZipmap))] },
        Shape::ListZiplist => const { &[Str(Part::Blob(Blob::ListZiplist))] },
        Shape::SetIntset => const { &[Str(Part::Blob(Blob::Intset))] },
        Shape::ZsetZiplist => const { &[Str(Part::Blob(Blob::ZsetZiplist))] },
        Shape::HashZiplist => const { &[Str(Part::Blob(Blob::HashZiplist))] },
        Shape::ListQuicklist => const { &[Repeat(Part::Nodes, &[Str(Part::Blob(Blob::ListZiplist))])] },
        Shape::ListQuicklist2 => const { &[Repeat(Part::Nodes, &[Container, Str(Part::Node)])] },
        Shape::HashListpack => const { &[Str(Part::Blob(Blob::HashListpack))] },
        Shape::ZsetListpack => const { &[Str(Part::Blob(Blob::ZsetListpack))] },
        Shape::SetListpack => const { &[Str(Part::Blob(Blob::ElementsListpack))] },
        Shape::HashTtlPre => const { &[TTL_FIELDS] },
        Shape::HashTtl => const { &[Fixed(Part::MinTtl, 8), TTL_FIELDS] },
        Shape::HashListpackTtlPre => const { &[Str(Part::Blob(Blob::HashListpackTtl))] },
        Shape::HashListpackTtl => const { &[Fixed(Part::MinTtl, 8), Str(Part::Blob(Blob::HashListpackTtl))] },
        Shape::ValkeyHash2 => {
            const { &[Repeat(Part::Length, &[Str(Part::Field), Str(Part::Value), Fixed(Part::FieldExpiry, 8)])] }
        }
        Shape::Stream1 => const { &[STREAM_NODES, IDS[0], IDS[1], IDS[2], GROUPS_1] },
        Shape::Stream2 => {
            const { &[STREAM_NODES, IDS[0], IDS[1], IDS[2], IDS[3], IDS[4], IDS[5], IDS[6], IDS[7], GROUPS_2] }
        }
        Shape::Stream3 => {
            const { &[STREAM_NODES, IDS[0], IDS[1], IDS[2], IDS[3], IDS[4], IDS[5], IDS[6], IDS[7], GROUPS_3] }
        }
        Shape::Stream4 => {
            const {
                &[
                    STREAM_NODES,
                    IDS[0],
                    IDS[1],
                    IDS[2],
                    IDS[3],
                    IDS[4],
                    IDS[5],
                    IDS[6],
                    IDS[7],
                    GROUPS_3,
                    IDMP[0],
                    IDMP[1],
                    IDMP[2],
                    IDMP[3],
                    IDMP[4],
                ]
            }
        }
        Shape::Stream5 => {
            const {
                &[
                    STREAM_NODES,
                    IDS[0],
                    IDS[1],
                    IDS[2],
                    IDS[3],
                    IDS[4],
                    IDS[5],
                    IDS[6],
                    IDS[7],
                    GROUPS_5,
                    IDMP[0],
                    IDMP[1],
                    IDMP[2],
                    IDMP[3],
                    IDMP[4],
                ]
            }
        }
        Shape::Array => {
            const {
                &[
                    Count(Part::Length),
                    Flag,
                    Num(Part::InsertIndex),
                    Counted(&[Num(Part::Index), Step::ArrayElement]),
                ]
            }
        }
        Shape::TemplateListpack => {
            const { &[Step::TemplateFields { counted: false }, Str(Part::Blob(Blob::TemplateValues))] }
        }
        Shape::TemplateListpackRef => const { &[Str(Part::Blob(Blob::TemplateValues))] },
        Shape::TemplateArray => {
            const { &[Step::TemplateFields { counted: true }, Counted(&[Str(Part::Value)])] }
        }
        Shape::TemplateArrayRef => const { &[Template(&[Str(Part::Value)])] },
    }
}

/// A module's data outside keys: pieces up to the end mark.
pub(crate) const MODULE_AUX: &[Step] = &[Step::ModuleItems];

/// The most steps that can be open inside each other: a stream's pending entries inside its consumers, groups
/// and the value itself.
pub(crate) const DEPTH: usize = 4;
